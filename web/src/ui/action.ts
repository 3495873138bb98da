import { useState } from "react";

export interface Action {
  busy: boolean;
  problem: unknown;
  /** What the last run returned. */
  result: string;
  /** Run a task; its failure becomes the problem. Return whether it succeeded. */
  run: (task: () => Promise<string | void>) => Promise<boolean>;
}

/** The state of something that a button does. */
export function useAction(): Action {
  const [state, setState] = useState<Omit<Action, "run">>({ busy: false, problem: null, result: "" });

  async function run(task: () => Promise<string | void>): Promise<boolean> {
    setState({ busy: true, problem: null, result: "" });
    try {
      const result = (await task()) ?? "";
      setState({ busy: false, problem: null, result });
      return true;
    } catch (problem) {
      setState({ busy: false, problem, result: "" });
      return false;
    }
  }
  return { ...state, run };
}
