/** What a viewer went through since the last heartbeat. Pure: every time comes in. */
import type { Heartbeat, HeartbeatState } from "../../api";

export interface Instant {
  now: number;
  positionMs: number;
  droppedFrames: number;
  bandwidthBps: number | null;
  rendition: string | null;
  edgeId: string | null;
}

export class Meter {
  private state: HeartbeatState = "starting";
  private since: number;
  private playingMs = 0;
  private rebufferingMs = 0;
  private rebuffers = 0;
  private dropped = 0;
  private joinTimeMs: number | null = null;
  private joinTold = false;
  /** Over the whole showing, for the statistics. */
  totalRebuffers = 0;

  constructor(private readonly pressedAt: number) {
    this.since = pressedAt;
  }

  get current(): HeartbeatState {
    return this.state;
  }

  get joinedIn(): number | null {
    return this.joinTimeMs;
  }

  /** The player is in another state from now on. */
  turn(state: HeartbeatState, now: number): void {
    this.settle(now);
    if (state === "rebuffering" && this.state !== "rebuffering") {
      this.rebuffers += 1;
      this.totalRebuffers += 1;
    }
    this.state = state;
  }

  /** The first frame is on the screen. */
  joined(now: number): void {
    this.joinTimeMs ??= Math.round(now - this.pressedAt);
  }

  private settle(now: number): void {
    const passed = Math.max(0, now - this.since);
    if (this.state === "playing") this.playingMs += passed;
    if (this.state === "rebuffering") this.rebufferingMs += passed;
    this.since = now;
  }

  /** The heartbeat for an instant; counting begins anew. */
  heartbeat(at: Instant, state: HeartbeatState = this.state, errorCode: string | null = null): Heartbeat {
    this.settle(at.now);
    const heartbeat: Heartbeat = {
      position_ms: Math.max(0, Math.round(at.positionMs)),
      state,
      at: new Date(at.now).toISOString(),
      playing_ms: Math.round(this.playingMs),
      rebuffering_ms: Math.round(this.rebufferingMs),
      rebuffer_count: this.rebuffers,
      join_time_ms: this.joinTold ? null : this.joinTimeMs,
      bandwidth_bps: at.bandwidthBps === null ? null : Math.round(at.bandwidthBps),
      rendition: at.rendition,
      dropped_frames: Math.max(0, at.droppedFrames - this.dropped),
      edge_id: at.edgeId,
      error_code: errorCode,
    };
    this.joinTold ||= this.joinTimeMs !== null;
    this.playingMs = 0;
    this.rebufferingMs = 0;
    this.rebuffers = 0;
    this.dropped = at.droppedFrames;
    return heartbeat;
  }
}
