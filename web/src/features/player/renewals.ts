/** The renewal of a play session: its URLs and tokens expire while it goes on, and it may end on the server. */
import { api, type PlaySession, Problem, type Renewal } from "../../api";
import { Backoff } from "./backoff";
import type { Edges } from "./edges";
import { isSessionOver, isUnreachable } from "./errors";

/** URLs are renewed this long before they expire. */
const RENEW_MARGIN_MS = 60_000;
/** The waiting time after a first failed renewal, and the longest one. */
const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 30_000;

export interface RenewalHost {
  edges: Edges;
  getSession: () => PlaySession | null;
  setSession: (session: PlaySession) => void;
  /** Open a new session instead of one that has ended; `null` if playback does not go on. */
  reopen: () => Promise<PlaySession | null>;
  /** End playback, because the server refuses it. */
  fail: (error: Problem) => void;
}

export class Renewals {
  /** The error of the last renewal, `null` if it succeeded. */
  error: unknown = null;
  private renewing: Promise<void> | null = null;
  private reopening: Promise<void> | null = null;
  private timer = 0;
  private notBefore = 0;
  private isClosed = false;
  private readonly backoff = new Backoff(FIRST_WAIT_MS, LONGEST_WAIT_MS);

  constructor(private readonly host: RenewalHost) {}

  /** Renew now. A failure is kept in `error`. */
  renew(): Promise<void> {
    this.renewing ??= this.renewOnce().finally(() => {
      this.renewing = null;
    });
    return this.renewing;
  }

  /** Renew unless renewals have failed a short time ago. */
  async renewIfDue(): Promise<void> {
    if (Date.now() >= this.notBefore) await this.renew();
  }

  /** Forget the failures, because the network is back. */
  reset(): void {
    this.backoff.reset();
    this.notBefore = 0;
  }

  private async renewOnce(): Promise<void> {
    const { edges } = this.host;
    const session = this.host.getSession();
    if (!session || this.isClosed) return;
    try {
      const renewal: Renewal = await api.renewPlayback(session.session_id, edges.listFailed(Date.now()));
      edges.setDeliveries(renewal.deliveries);
      this.host.setSession({ ...session, ...renewal });
      this.onSuccess(renewal.expires_at);
    } catch (error) {
      if (isSessionOver(error)) return this.reopen();
      this.onFailure(error);
    }
  }

  /** Open a new session when the old one has ended, for example after a long pause; playback continues. */
  reopen(): Promise<void> {
    this.reopening ??= this.reopenOnce().finally(() => {
      this.reopening = null;
    });
    return this.reopening;
  }

  private async reopenOnce(): Promise<void> {
    try {
      const session = await this.host.reopen();
      if (session) this.onSuccess(session.expires_at);
    } catch (error) {
      this.onFailure(error);
      // An outage is temporary; a refusal is final.
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) this.host.fail(error);
    }
  }

  private onSuccess(expiresAt: string): void {
    this.error = null;
    this.reset();
    this.schedule(expiresAt);
  }

  private onFailure(error: unknown): void {
    this.error = error;
    if (isUnreachable(error)) this.host.edges.doubtFailures();
    const waitMs = this.backoff.next(Math.random());
    this.notBefore = Date.now() + waitMs;
    this.wait(waitMs);
  }

  /** Schedule the next renewal: at half of a short lifetime, a minute before the end of a long one. */
  schedule(expiresAt: string): void {
    const leftMs = Date.parse(expiresAt) - Date.now();
    this.wait(Math.max(5_000, Math.max(leftMs / 2, leftMs - RENEW_MARGIN_MS)));
  }

  private wait(waitMs: number): void {
    clearTimeout(this.timer);
    // A longer time would be taken for none.
    if (!this.isClosed) this.timer = window.setTimeout(() => void this.renew(), Math.min(waitMs, 2 ** 31 - 1));
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
  }
}
