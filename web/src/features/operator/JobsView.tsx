import { useState } from "react";
import { api, type Job, type JobState } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { Button } from "../../ui/Button";
import { Choice, ProblemNote } from "../../ui/Field";
import { JobCard } from "./JobCard";

const EVERY_MS = 1_500;
const STATES: (JobState | "all")[] = ["all", "running", "queued", "failed", "done", "cancelled"];

export const useJobs = (state?: JobState) => useScreen(`operator:jobs:${state ?? ""}`, () => api.operator.listJobs(state), EVERY_MS);

export function JobsView() {
  const { t } = useText();
  const [state, setState] = useState<JobState | "all">("all");
  const [older, setOlder] = useState<{ items: Job[]; cursor: string | null | undefined }>({ items: [], cursor: undefined });
  const [problem, setProblem] = useState<unknown>(null);
  const asked = state === "all" ? undefined : state;
  const { data, error, reload } = useJobs(asked);
  const cursor = older.cursor === undefined ? data?.next_cursor : older.cursor;

  async function more() {
    try {
      const page = await api.operator.listJobs(asked, cursor);
      setOlder((before) => ({ items: [...before.items, ...page.items], cursor: page.next_cursor }));
    } catch (failure) {
      setProblem(failure);
    }
  }

  const jobs = [...(data?.items ?? []), ...older.items];
  return (
    <>
      <h1>{t("jobs.title")}</h1>
      <Choice label={t("titles.state")} value={state} options={STATES.map((value) => ({ value, label: t(`jobs.${value}`) }))} onChange={(next) => {
        setOlder({ items: [], cursor: undefined });
        setState(next);
      }} />
      <ProblemNote problem={problem ?? error} />
      {jobs.map((job) => <JobCard key={job.job_id} job={job} onChange={reload} />)}
      {data && jobs.length === 0 && <p className="operator-empty">{t("jobs.empty")}</p>}
      {cursor && <Button onClick={() => void more()}>{t("app.more")}</Button>}
    </>
  );
}
