/** Heartbeats that an overloaded service refused are sent again, because their measurements are in no other. */
import { type Heartbeat, Problem } from "../../api";
import { Backoff } from "./backoff";

const ATTEMPTS = 5;
const FIRST_WAIT_MS = 1_000, LONGEST_WAIT_MS = 15_000;

export interface HeartbeatDependencies {
  send: (heartbeat: Heartbeat) => Promise<void>;
  wait: (ms: number) => Promise<void>;
  now: () => number;
  random: () => number;
}

/** Send a heartbeat. Other failures than a refusal are not repeated: the heartbeat may have been counted. */
export async function sendRepeatedly(heartbeat: Heartbeat, { send, wait, now, random }: HeartbeatDependencies): Promise<void> {
  const backoff = new Backoff(FIRST_WAIT_MS, LONGEST_WAIT_MS);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send({ ...heartbeat, sent_at: new Date(now()).toISOString() });
    } catch (error) {
      const isRefused = error instanceof Problem && error.status === 503;
      if (!isRefused || attempt === ATTEMPTS) throw error;
      await wait(backoff.next(random()));
    }
  }
}
