/** The playback of one title: a play session, the player on it, and the recovery from failures. */
import { Store } from "../../ui/store";
import { api, type HeartbeatState, type PlaySession, Problem } from "../../api";
import { invalidateScreens } from "../../api/screens";
import { getCapabilities, isNativeOnly } from "./capabilities";
import { type Adaptation, adaptToNetwork } from "./abr";
import { Edges } from "./edges";
import { sendRepeatedly } from "./heartbeats";
import { type Sample, PlaybackMetrics } from "./metrics";
import { Recovery } from "./recovery";
import { Renewals } from "./renewals";
import { authorizeRequests } from "./requests";
import { chooseBufferGoal, createConfiguration, addPlayerListeners, loadShaka, type Player, type Shaka } from "./shaka";
import { createState, type PlayerState, type PlaybackRequest } from "./state";
import { Subtitles } from "./subtitles";
import { savePreferences, type Preferences } from "./preferences";
import { Tracks } from "./tracks";
import { InsecurePage, explainFailure, isSessionOver, isShakaError, isRecoverable, isUnreachable, describeError, OFFLINE } from "./errors";

/** Starting fails when nothing arrives for this time: the player waits forever for a licence that was refused. */
const START_LIMIT_MS = 25_000;

export class Playback {
  readonly store = new Store<PlayerState>(createState());
  readonly metrics = new PlaybackMetrics(Date.now());
  readonly tracks: Tracks;
  player: Player | null = null;
  readonly edges = new Edges([]);
  lastEdge: string | null = null;
  private session: PlaySession | null = null;
  private timers: number[] = [];
  private cleanups: (() => void)[] = [];
  private closed = false;
  private adaptation: Adaptation | null = null;
  private isStarting = false;
  private bufferGoalS = 0;
  private startLimit = 0;
  private readonly renewals: Renewals;
  private readonly recovery: Recovery;
  private isBeaconSent = false;

  constructor(readonly video: HTMLVideoElement, private readonly request: PlaybackRequest) {
    this.tracks = new Tracks(this.store, () => this.player, (change) => this.setPreferences(change));
    const { edges, store } = this;
    this.renewals = new Renewals({
      edges,
      getSession: () => this.session,
      setSession: (session) => { this.session = session; },
      reopen: () => this.reopen(),
      fail: (error) => this.fail(error),
    });
    this.recovery = new Recovery({
      edges,
      renewals: this.renewals,
      isBuffering: () => store.get().buffering,
      setOutage: (outage) => outage !== store.get().outage && store.set({ outage }),
      retry: () => this.player?.retryStreaming(0.1),
      giveUp: (error) => void this.giveUp(error),
    });
  }

  /** Open the play session and start the player; failures are put into the state. */
  async start(): Promise<void> {
    this.isStarting = true;
    this.onProgress();
    this.addVideoListeners();
    this.recovery.start();
    try {
      await this.open();
    } catch (error) {
      await this.giveUp(error);
    } finally {
      this.isStarting = false;
      clearTimeout(this.startLimit);
    }
  }

  /** Give the start more time, because something arrived. */
  private readonly onProgress = (): void => {
    clearTimeout(this.startLimit);
    if (this.isStarting && !this.closed) this.startLimit = window.setTimeout(() => void this.onStartTimeout(), START_LIMIT_MS);
  };

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
    this.onProgress();
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
    this.onProgress();
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
    this.adaptation = adaptToNetwork(shaka, player, this.onProgress);
    authorizeRequests(shaka, player, this.adaptation, () => ({ edges: this.edges, licencePath: this.session?.licence_path ?? "", licenceToken: this.session?.licence_token ?? "" }));
    net?.registerResponseFilter((type, response) => {
      this.onProgress();
      if (type !== shaka.net.NetworkingEngine.RequestType.SEGMENT) return;
      this.lastEdge = this.edges.findEdge(response.uri) ?? this.lastEdge;
      this.recovery.onSegment();
    });
    net?.addEventListener("retry", (event) => this.recovery.onAttemptFailed((event as unknown as { error: unknown }).error));
  }

  /** Open a new session when the old one has ended; `null` if playback does not go on. */
  private async reopen(): Promise<PlaySession | null> {
    const previous = this.session;
    if (!previous || this.closed || this.store.get().phase !== "ready") return null;
    const session = await this.requestSession(false);
    if (this.closed) {
      this.discard(session);
      return null;
    }
    this.session = session;
    this.edges.setDeliveries(session.deliveries);
    this.store.set({ session });
    if (session.asset_id !== previous.asset_id) await this.player?.load(session.dash_path, this.video.currentTime);
    return session;
  }

  private onPlayerError(error: unknown): void {
    if (this.closed || this.store.get().phase === "failed") return;
    if (!isRecoverable(error) || this.store.get().phase === "starting") {
      if (isShakaError(error) && error.severity < 2) return;
      return void this.giveUp(error);
    }
    this.recovery.onRequestFailed(error);
  }

  private async onStartTimeout(): Promise<void> {
    const hasFailedEdges = this.edges.listFailed(Date.now()).length > 0;
    if (hasFailedEdges) await this.renewals.renew();
    this.fail(new Problem("timeout", 0, "too late"), hasFailedEdges ? explainFailure(this.renewals.error) : undefined);
  }

  /** Fail after finding out whether the network or the edges are at fault. */
  private async giveUp(error: unknown): Promise<void> {
    if (!isRecoverable(error) || !this.session) return this.fail(error);
    await this.renewals.renew();
    this.fail(error, explainFailure(this.renewals.error));
  }

  private fail(error: unknown, kind?: string): void {
    if (this.closed || this.store.get().phase === "failed") return;
    const isOffline = !navigator.onLine && (isRecoverable(error) || isUnreachable(error));
    const description = isOffline ? OFFLINE : describeError(error, kind);
    this.store.set({ phase: "failed", error: description, buffering: false });
    this.video.pause();
    if (this.session) void this.send(this.session, "failed", description.code).catch(() => undefined);
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
    if (this.metrics.joinTimeMs !== null) this.setBufferGoal(chooseBufferGoal(buffered - at));
  }

  private onPlaying(): void {
    this.metrics.recordFirstFrame(Date.now());
    this.metrics.setState("playing", Date.now());
    this.store.set({ buffering: false, paused: false, ended: false });
    // Playback has started: now there is time to fill the buffer.
    this.player?.configure("streaming.rebufferingGoal", 1);
    this.updatePosition();
  }

  private setBufferGoal(goalS: number): void {
    if (this.bufferGoalS !== goalS) this.player?.configure("streaming.bufferingGoal", goalS);
    this.bufferGoalS = goalS;
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
    this.renewals.schedule(session.expires_at);
    this.timers.push(window.setInterval(() => this.sendHeartbeat(), session.heartbeat_ms || 30_000));
  }

  private sample(): Sample {
    const stats = this.player?.getStats();
    return {
      now: Date.now(),
      positionMs: this.video.currentTime * 1000 || this.store.get().position * 1000,
      droppedFrames: stats?.droppedFrames || 0,
      bandwidthBps: this.adaptation?.measureBps() ?? null,
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
    void this.send(this.session).catch((error: unknown) => (isSessionOver(error) ? this.renewals.reopen() : undefined));
  }

  private send({ session_id }: PlaySession, state?: HeartbeatState, code: string | null = null): Promise<void> {
    return sendRepeatedly(this.createHeartbeat(state, code), {
      send: (heartbeat) => api.sendHeartbeat(session_id, heartbeat),
      wait: (ms) => new Promise((resolve) => { setTimeout(resolve, ms); }),
      now: () => Date.now(),
      random: () => Math.random(),
    });
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
    clearTimeout(this.startLimit);
    this.renewals.close();
    this.recovery.close();
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
