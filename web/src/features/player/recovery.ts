/** The recovery from failures of the network during playback: try again with growing waiting times. */
import { Backoff } from "./backoff";
import type { Edges } from "./edges";
import { isEdgeFault, isUnreachable } from "./errors";
import type { Renewals } from "./renewals";
import type { Outage } from "./state";

/** The waiting time after a first failure, and the longest one. */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;
/** Playback fails when the network does not recover in this time, unless the browser is offline. */
const LIMIT_MS = 60_000;

interface Situation {
  isOnline: boolean;
  isRecovering: boolean;
  renewError: unknown;
}

/** Find what to tell the viewer. Pure. */
export function findOutage({ isOnline, isRecovering, renewError }: Situation): Outage | null {
  if (!isOnline) return "offline";
  if (!isRecovering) return null;
  return isUnreachable(renewError) ? "unreachable" : "edge";
}

export interface RecoveryHost {
  edges: Edges;
  renewals: Renewals;
  isBuffering: () => boolean;
  setOutage: (outage: Outage | null) => void;
  /** Load the segments again that failed. */
  retry: () => void;
  giveUp: (error: unknown) => void;
}

export class Recovery {
  private since = 0;
  private timer = 0;
  private isClosed = false;
  private readonly backoff = new Backoff(FIRST_WAIT_MS, LONGEST_WAIT_MS);

  constructor(private readonly host: RecoveryHost) {}

  /** Follow the state of the network. */
  start(): void {
    addEventListener("online", this.onOnline);
    addEventListener("offline", this.update);
  }

  /** Rank an edge last after a failed attempt that is its own fault, and ask for other edges. */
  onAttemptFailed(error: unknown): void {
    if (!navigator.onLine || !isEdgeFault(error)) return this.update();
    const { edges, renewals } = this.host;
    const edge = typeof error.data[0] === "string" ? edges.findEdge(error.data[0]) : null;
    if (!edge) return;
    const isNew = !edges.hasFailed(edge, Date.now());
    edges.markFailed(edge, Date.now());
    if (!isNew) return;
    this.since ||= Date.now();
    this.update();
    void renewals.renewIfDue().then(this.update);
  }

  /** Try again after a failure that ended the attempts of a request. */
  onRequestFailed(error: unknown): void {
    this.since ||= Date.now();
    this.onAttemptFailed(error);
    if (navigator.onLine && Date.now() - this.since > LIMIT_MS && this.host.isBuffering()) return this.host.giveUp(error);
    // Failures of sound and picture are recovered together.
    if (!this.timer && !this.isClosed) this.timer = window.setTimeout(() => void this.retry(), this.backoff.next(Math.random()));
  }

  private async retry(): Promise<void> {
    await this.host.renewals.renewIfDue();
    this.timer = 0;
    this.update();
    if (!this.isClosed) this.host.retry();
  }

  /** Forget the failures, because a segment has arrived. */
  onSegment(): void {
    this.since = 0;
    this.backoff.reset();
    this.update();
  }

  private readonly onOnline = (): void => {
    this.backoff.reset();
    this.host.renewals.reset();
    clearTimeout(this.timer);
    this.timer = 0;
    // The time offline does not count.
    if (this.since) this.since = Date.now();
    void this.retry();
  };

  private readonly update = (): void => {
    if (this.isClosed) return;
    this.host.setOutage(findOutage({ isOnline: navigator.onLine, isRecovering: this.since > 0, renewError: this.host.renewals.error }));
  };

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    removeEventListener("online", this.onOnline);
    removeEventListener("offline", this.update);
  }
}
