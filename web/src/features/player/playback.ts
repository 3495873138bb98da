/** The playback of one title: a play session, the player on it, and the recovery from failures. */
import { Store } from "../../ui/store";
import { api, type HeartbeatState, type PlaySession, Problem } from "../../api";
import { invalidateScreens } from "../../api/screens";
import { getCapabilities, isNativeOnly } from "./capabilities";
import { Edges } from "./edges";
import { type Sample, PlaybackMetrics } from "./metrics";
import { authorizeRequests } from "./requests";
import { createConfiguration, BUFFER_GOAL_S, addPlayerListeners, loadShaka, type Player, type Shaka } from "./shaka";
import { createState, type PlayerState, type PlaybackRequest } from "./state";
import { Subtitles } from "./subtitles";
import { savePreferences, type Preferences } from "./preferences";
import { Tracks } from "./tracks";
import { InsecurePage, explainFailure, isSessionOver, isShakaError, isRecoverable, getHttpStatus, describeError } from "./errors";

/** Starting fails after this time, because the player waits forever for a licence that was refused. */
const START_LIMIT_MS = 25_000;
/** URLs are renewed this long before they expire. */
const RENEW_MARGIN_MS = 60_000;
/** How long to recover from network errors before playback fails. */
const RECOVERY_LIMIT_MS = 60_000;

export class Playback {
  readonly store = new Store<PlayerState>(createState());
  readonly metrics = new PlaybackMetrics(Date.now());
  readonly tracks: Tracks;
  player: Player | null = null;
  edges = new Edges([]);
  lastEdge: string | null = null;
  private session: PlaySession | null = null;
  private timers: number[] = [];
  private cleanups: (() => void)[] = [];
  private closed = false;
  private recoveringSince = 0;
  private renewing: Promise<void> | null = null;
  private reopening: Promise<void> | null = null;
  private renewal = 0;
  /** The error of the last renewal, `null` if it succeeded. */
  private renewError: unknown = null;
  private isBeaconSent = false;

  constructor(readonly video: HTMLVideoElement, private readonly request: PlaybackRequest) {
    this.tracks = new Tracks(this.store, () => this.player, (change) => this.setPreferences(change));
  }

  /** Open the play session and start the player; failures are put into the state. */
  async start(): Promise<void> {
    const limit = window.setTimeout(() => void this.onStartTimeout(), START_LIMIT_MS);
    this.timers.push(limit);
    this.addVideoListeners();
    try {
      await this.open();
    } catch (error) {
      await this.giveUp(error);
    } finally {
      clearTimeout(limit);
    }
  }

  /** The position at which a retry continues; `null` if this attempt had none. */
  get resumeAt(): number | null {
    return this.session ? this.store.get().position : this.request.at;
  }

  private async requestSession(fromStart: boolean): Promise<PlaySession> {
    const { titleId, episodeId } = this.request;
    return api.startPlayback({ title_id: titleId, episode_id: episodeId, from_start: fromStart, capabilities: await getCapabilities() });
  }

  private async open(): Promise<void> {
    if (!isSecureContext && !isNativeOnly()) throw new InsecurePage();
    const { fromStart, at } = this.request;
    // The player and its decryption module are prepared while the session is requested.
    const [player, opened] = await Promise.all([this.createPlayer(), this.requestSession(fromStart && at === null)]);
    const session = at === null ? opened : { ...opened, resume_ms: Math.round(at * 1000) };
    if (this.closed) return this.discard(session, player);
    this.session = session;
    this.edges.setDeliveries(session.deliveries);
    this.store.set({ session, duration: session.duration_ms / 1000, position: session.resume_ms / 1000 });
    await this.loadMedia(player, session);
    if (this.closed) return;
    this.store.set({ phase: "ready" });
    this.tracks.update();
    this.tracks.selectDefaults(this.request.language);
    this.startTimers(session);
    await this.play();
  }

  /** End a session that is no longer needed, because the viewer left while it was opened. */
  private discard(session: PlaySession, player?: Player): void {
    for (const request of [api.endPlayback(session.session_id, this.createHeartbeat("ended")), player?.destroy()]) request?.catch(() => undefined);
  }

  private async createPlayer(): Promise<Player> {
    const shaka = await loadShaka();
    if (!shaka.Player.isBrowserSupported()) throw new Problem("no-rendition", 0, "unsupported");
    const player = new shaka.Player();
    this.player = player;
    (window as { __matineePlayer?: Player }).__matineePlayer = player;
    this.addRequestFilters(shaka, player);
    addPlayerListeners(player, { onError: (error) => this.onPlayerError(error), onBuffering: (buffering) => this.onBuffering(buffering), onTracks: () => this.tracks.update() });
    await player.attach(this.video);
    return player;
  }

  private async loadMedia(player: Player, session: PlaySession): Promise<void> {
    player.configure(createConfiguration(session.start_bandwidth_bps));
    player.configure({
      drm: { servers: { "org.w3.clearkey": session.licence_path } },
      textDisplayFactory: (_player: Player) => new Subtitles((lines) => this.store.set({ lines })),
    });
    const path = isNativeOnly() ? session.hls_path : session.dash_path;
    await player.load(path, session.resume_ms > 0 ? session.resume_ms / 1000 : undefined);
  }

  /** Authorise the requests, and notice which edges answer and which fail. */
  private addRequestFilters(shaka: Shaka, player: Player): void {
    const net = player.getNetworkingEngine();
    authorizeRequests(shaka, player, () => ({ edges: this.edges, licencePath: this.session?.licence_path ?? "", licenceToken: this.session?.licence_token ?? "" }));
    net?.registerResponseFilter((type, response) => {
      if (type !== shaka.net.NetworkingEngine.RequestType.SEGMENT) return;
      this.lastEdge = this.edges.findEdge(response.uri) ?? this.lastEdge;
      this.onRecovery();
    });
    net?.addEventListener("retry", (event) => this.onEdgeError((event as unknown as { error: unknown }).error));
  }

  private onEdgeError(error: unknown): void {
    if (!isShakaError(error)) return;
    const edge = typeof error.data[0] === "string" ? this.edges.findEdge(error.data[0]) : null;
    if (!edge) return;
    this.edges.markFailed(edge, Date.now());
    if (this.store.get().buffering) this.store.set({ recovering: true });
    void this.renew();
  }

  /** Renew the URLs. A failure shows as missing segments, and the renewal is retried with them. */
  private renew(): Promise<void> {
    this.renewing ??= this.renewOnce().finally(() => {
      this.renewing = null;
    });
    return this.renewing;
  }

  private async renewOnce(): Promise<void> {
    if (!this.session) return;
    try {
      const renewal = await api.renewPlayback(this.session.session_id, this.edges.listFailed(Date.now()));
      this.session = { ...this.session, ...renewal };
      this.edges.setDeliveries(renewal.deliveries);
      this.scheduleRenewal(renewal.expires_at);
      this.renewError = null;
    } catch (error) {
      if (isSessionOver(error)) return this.reopen();
      this.renewError = error;
      this.scheduleRenewal(new Date(Date.now() + RENEW_MARGIN_MS + 10_000).toISOString());
    }
  }

  /** Open a new session when the old one has ended, for example after a long pause; playback continues. */
  private reopen(): Promise<void> {
    this.reopening ??= this.reopenOnce().finally(() => {
      this.reopening = null;
    });
    return this.reopening;
  }

  private async reopenOnce(): Promise<void> {
    const previous = this.session;
    if (!previous || this.closed || this.store.get().phase !== "ready") return;
    try {
      const session = await this.requestSession(false);
      if (this.closed) return this.discard(session);
      this.session = session;
      this.edges.setDeliveries(session.deliveries);
      this.store.set({ session });
      this.scheduleRenewal(session.expires_at);
      this.renewError = null;
      if (session.asset_id !== previous.asset_id) await this.player?.load(session.dash_path, this.video.currentTime);
    } catch (error) {
      this.renewError = error;
      // An outage is temporary, and the next heartbeat tries again; a refusal is final.
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) this.fail(error);
    }
  }

  private scheduleRenewal(expiresAt: string): void {
    const left = Date.parse(expiresAt) - Date.now();
    // At half of a short lifetime, a minute before the end of a long one.
    clearTimeout(this.renewal);
    if (!this.closed) this.renewal = window.setTimeout(() => void this.renew(), Math.max(5_000, Math.max(left / 2, left - RENEW_MARGIN_MS)));
  }

  private onPlayerError(error: unknown): void {
    if (this.closed || this.store.get().phase === "failed") return;
    if (!isRecoverable(error) || this.store.get().phase === "starting") {
      if (isShakaError(error) && error.severity < 2) return;
      return void this.giveUp(error);
    }
    void this.recover(error);
  }

  private async recover(error: unknown): Promise<void> {
    this.recoveringSince ||= Date.now();
    if (Date.now() - this.recoveringSince > RECOVERY_LIMIT_MS && this.store.get().buffering) return this.giveUp(error);
    this.store.set({ recovering: this.store.get().buffering });
    // An expired token does not count as a failure of its edge.
    if (isShakaError(error) && ![401, 403].includes(getHttpStatus(error))) this.onEdgeError(error);
    await this.renew();
    this.timers.push(window.setTimeout(() => !this.closed && this.player?.retryStreaming(0.1), 500));
  }

  private onRecovery(): void {
    this.recoveringSince = 0;
    if (this.store.get().recovering) this.store.set({ recovering: false });
  }

  private async onStartTimeout(): Promise<void> {
    const hasFailedEdges = this.edges.listFailed(Date.now()).length > 0;
    if (hasFailedEdges) await this.renew();
    this.fail(new Problem("timeout", 0, "too late"), hasFailedEdges ? explainFailure(this.renewError) : undefined);
  }

  /** Fail after finding out whether the network or the edges are at fault. */
  private async giveUp(error: unknown): Promise<void> {
    if (!isRecoverable(error) || !this.session) return this.fail(error);
    await this.renew();
    this.fail(error, explainFailure(this.renewError));
  }

  private fail(error: unknown, kind?: string): void {
    if (this.closed || this.store.get().phase === "failed") return;
    const description = describeError(error, kind);
    this.store.set({ phase: "failed", error: description, buffering: false });
    this.video.pause();
    if (this.session) void api.sendHeartbeat(this.session.session_id, this.createHeartbeat("failed", description.code)).catch(() => undefined);
  }

  async play(): Promise<void> {
    try {
      await this.video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError" || this.video.muted) return;
      this.video.muted = true;
      this.store.set({ mutedByBrowser: true });
      await this.video.play().catch(() => undefined);
    }
  }

  private addVideoListeners(): void {
    const { video } = this;
    video.volume = this.store.get().volume;
    video.muted = this.store.get().muted;
    const on = (name: string, handler: () => void) => {
      video.addEventListener(name, handler);
      this.cleanups.push(() => video.removeEventListener(name, handler));
    };
    on("timeupdate", () => this.updatePosition());
    on("progress", () => this.updatePosition());
    on("durationchange", () => Number.isFinite(video.duration) && this.store.set({ duration: video.duration }));
    on("playing", () => this.onPlaying());
    on("pause", () => this.onPause());
    on("play", () => this.store.set({ paused: false, ended: false }));
    on("seeking", () => this.metrics.setState("seeking", Date.now()));
    on("seeked", () => this.onSeeked());
    on("ended", () => this.onEnded());
    on("ratechange", () => this.store.set({ rate: video.playbackRate }));
    on("volumechange", () => this.onVolumeChange());
    const onHidden = () => document.visibilityState === "hidden" && this.sendBeacon();
    const onVisible = () => document.visibilityState === "visible" && (this.isBeaconSent = false);
    document.addEventListener("visibilitychange", onHidden);
    document.addEventListener("visibilitychange", onVisible);
    addEventListener("pagehide", this.sendBeacon);
    this.cleanups.push(() => {
      document.removeEventListener("visibilitychange", onHidden);
      document.removeEventListener("visibilitychange", onVisible);
      removeEventListener("pagehide", this.sendBeacon);
    });
  }

  private updatePosition(): void {
    const { video } = this;
    const at = video.currentTime;
    let buffered = at;
    for (let index = 0; index < video.buffered.length; index += 1) {
      if (video.buffered.start(index) <= at + 0.1 && video.buffered.end(index) > buffered) buffered = video.buffered.end(index);
    }
    this.store.set({ position: at, buffered });
  }

  private onPlaying(): void {
    this.metrics.recordFirstFrame(Date.now());
    this.metrics.setState("playing", Date.now());
    this.store.set({ buffering: false, paused: false, ended: false, recovering: false });
    // Playback has started: now there is time to fill the buffer.
    this.player?.configure("streaming.bufferingGoal", BUFFER_GOAL_S);
    this.player?.configure("streaming.rebufferingGoal", 1);
  }

  private onBuffering(buffering: boolean): void {
    this.store.set({ buffering });
    if (buffering && this.metrics.state === "playing") this.metrics.setState("rebuffering", Date.now());
    if (!buffering && this.metrics.state === "rebuffering") this.metrics.setState(this.video.paused ? "paused" : "playing", Date.now());
  }

  private onPause(): void {
    if (this.video.ended) return;
    this.metrics.setState("paused", Date.now());
    this.store.set({ paused: true });
    this.sendHeartbeat();
  }

  private onSeeked(): void {
    this.updatePosition();
    this.metrics.setState(this.video.paused ? "paused" : "playing", Date.now());
    this.sendHeartbeat();
  }

  private onEnded(): void {
    this.metrics.setState("ended", Date.now());
    this.store.set({ ended: true, paused: true });
    this.sendHeartbeat();
  }

  private onVolumeChange(): void {
    const { volume, muted } = this.video;
    const { mutedByBrowser } = this.store.get();
    this.store.set({ volume, muted, mutedByBrowser: mutedByBrowser && muted });
    if (!mutedByBrowser) this.setPreferences({ volume, muted });
  }

  setPreferences(change: Partial<Preferences>): void {
    const preferences = { ...this.store.get().preferences, ...change };
    this.store.set({ preferences });
    savePreferences(preferences);
  }

  private startTimers(session: PlaySession): void {
    this.scheduleRenewal(session.expires_at);
    this.timers.push(window.setInterval(() => this.sendHeartbeat(), session.heartbeat_ms || 30_000));
    const onOnline = () => this.player?.retryStreaming(0.1);
    addEventListener("online", onOnline);
    this.cleanups.push(() => removeEventListener("online", onOnline));
  }

  private sample(): Sample {
    const stats = this.player?.getStats();
    return {
      now: Date.now(),
      positionMs: this.video.currentTime * 1000 || this.store.get().position * 1000,
      droppedFrames: stats?.droppedFrames || 0,
      bandwidthBps: stats?.estimatedBandwidth || null,
      rendition: stats?.height ? `${stats.height}p` : null,
      edgeId: this.lastEdge,
    };
  }

  private createHeartbeat(state?: HeartbeatState, code: string | null = null) {
    return this.metrics.createHeartbeat(this.sample(), state, code);
  }

  /** Send a heartbeat, also while paused. */
  private sendHeartbeat(): void {
    if (!this.session || this.store.get().phase !== "ready") return;
    void api.sendHeartbeat(this.session.session_id, this.createHeartbeat()).catch((error: unknown) => (isSessionOver(error) ? this.reopen() : undefined));
  }

  /** Send a beacon when the page is hidden, because it may not return. */
  private sendBeacon = (): void => {
    if (!this.session || this.isBeaconSent || this.store.get().phase !== "ready") return;
    this.isBeaconSent = true;
    navigator.sendBeacon(this.session.beacon_path, new Blob([JSON.stringify(this.createHeartbeat())], { type: "application/json" }));
  };

  /** End the playback: close the session and invalidate the screens that show progress. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.renewal);
    this.timers.forEach((timer) => clearTimeout(timer));
    this.cleanups.forEach((cleanup) => cleanup());
    const { session } = this;
    if (session) {
      const state = this.store.get().ended ? "ended" : this.store.get().phase === "failed" ? "failed" : "paused";
      const end = api.endPlayback(session.session_id, this.createHeartbeat(state)).catch(() => undefined);
      void end.then(() => ["home", "title:", "history"].forEach(invalidateScreens));
    }
    await this.player?.destroy().catch(() => undefined);
  }
}
