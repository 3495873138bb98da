/** The playback metrics since the last heartbeat. Pure: times are arguments. */
import type { Heartbeat, HeartbeatState } from "../../api";

export interface Sample {
  now: number;
  positionMs: number;
  droppedFrames: number;
  bandwidthBps: number | null;
  rendition: string | null;
  edgeId: string | null;
}

export class PlaybackMetrics {
  state: HeartbeatState = "starting";
  private since: number;
  private playingMs = 0;
  private rebufferingMs = 0;
  private rebuffers = 0;
  private dropped = 0;
  joinTimeMs: number | null = null;
  private isJoinTimeReported = false;
  /** Since the start of the playback, for the statistics. */
  totalRebufferCount = 0;

  constructor(private readonly startedAt: number) {
    this.since = startedAt;
  }

  /** Change the state of the player. */
  setState(state: HeartbeatState, now: number): void {
    this.addElapsedTime(now);
    if (state === "rebuffering" && this.state !== "rebuffering") {
      this.rebuffers += 1;
      this.totalRebufferCount += 1;
    }
    this.state = state;
  }

  /** Record the time of the first frame. */
  recordFirstFrame(now: number): void {
    this.joinTimeMs ??= Math.round(now - this.startedAt);
  }

  private addElapsedTime(now: number): void {
    const passed = Math.max(0, now - this.since);
    if (this.state === "playing") this.playingMs += passed;
    if (this.state === "rebuffering") this.rebufferingMs += passed;
    this.since = now;
  }

  /** Create the heartbeat for a sample and reset the counters. */
  createHeartbeat(sample: Sample, state: HeartbeatState = this.state, errorCode: string | null = null): Heartbeat {
    this.addElapsedTime(sample.now);
    const heartbeat: Heartbeat = {
      position_ms: Math.max(0, Math.round(sample.positionMs)),
      state,
      at: new Date(sample.now).toISOString(),
      sent_at: new Date(sample.now).toISOString(),
      playing_ms: Math.round(this.playingMs),
      rebuffering_ms: Math.round(this.rebufferingMs),
      rebuffer_count: this.rebuffers,
      join_time_ms: this.isJoinTimeReported ? null : this.joinTimeMs,
      bandwidth_bps: sample.bandwidthBps === null ? null : Math.round(sample.bandwidthBps),
      rendition: sample.rendition,
      dropped_frames: Math.max(0, sample.droppedFrames - this.dropped),
      edge_id: sample.edgeId,
      error_code: errorCode,
    };
    this.isJoinTimeReported ||= this.joinTimeMs !== null;
    this.playingMs = 0;
    this.rebufferingMs = 0;
    this.rebuffers = 0;
    this.dropped = sample.droppedFrames;
    return heartbeat;
  }
}
