/** One showing: a play session, the player on it, and everything that keeps the picture going. */
import { Store } from "../../ui/store";
import { api, type HeartbeatState, client, type PlaySession, Problem } from "../../api";
import { staleScreens } from "../../api/screens";
import { capabilities, nativeOnly } from "./capabilities";
import { Edges } from "./edges";
import { type Instant, Meter } from "./meter";
import { configuration, GOAL_S, listen, loadShaka, type Player, type Shaka } from "./shaka";
import { blank, type PlayerState, type Wanted } from "./state";
import { Subtitles } from "./subtitles";
import { saveTaste, type Taste } from "./taste";
import { Tracks } from "./tracks";
import { blame, isOver, isShakaError, mendable, statusOf, troubleOf } from "./trouble";

/** A licence that is refused leaves the player waiting for ever: past this, it has failed. */
const START_LIMIT_MS = 25_000;
/** URLs are renewed this long before they end. */
const RENEW_MARGIN_MS = 60_000;
/** So long the way to the picture may be mended before the viewer is told that it failed. */
const MEND_LIMIT_MS = 60_000;

export class Showing {
  readonly store = new Store<PlayerState>(blank());
  readonly meter = new Meter(Date.now());
  readonly tracks: Tracks;
  player: Player | null = null;
  edges = new Edges([]);
  lastEdge: string | null = null;
  private session: PlaySession | null = null;
  private timers: number[] = [];
  private undo: (() => void)[] = [];
  private closed = false;
  private mendingSince = 0;
  private renewing: Promise<void> | null = null;
  private reopening: Promise<void> | null = null;
  private renewal = 0;
  /** Why the last renewal failed; `null` when it did not. */
  private renewFault: unknown = null;
  private parted = false;

  constructor(readonly video: HTMLVideoElement, private readonly wanted: Wanted) {
    this.tracks = new Tracks(this.store, () => this.player, (change) => this.taste(change));
  }

  /** Opens the session and brings the picture; failures end up in the state. */
  async start(): Promise<void> {
    const limit = window.setTimeout(() => void this.late(), START_LIMIT_MS);
    this.timers.push(limit);
    this.listen();
    try {
      await this.open();
    } catch (error) {
      await this.giveUp(error);
    } finally {
      clearTimeout(limit);
    }
  }

  /** Where another attempt goes on; `null` where this one never had a position. */
  get resumeAt(): number | null {
    return this.session ? this.store.get().position : this.wanted.at;
  }

  private async ask(fromStart: boolean): Promise<PlaySession> {
    const { titleId, episodeId } = this.wanted;
    return api.play({ title_id: titleId, episode_id: episodeId, from_start: fromStart, capabilities: await capabilities() });
  }

  private async open(): Promise<void> {
    const { fromStart, at } = this.wanted;
    // The player and its decryption module are made ready while the session is on its way.
    const [player, asked] = await Promise.all([this.prepare(), this.ask(fromStart && at === null)]);
    const session = at === null ? asked : { ...asked, resume_ms: Math.round(at * 1000) };
    if (this.closed) return this.discard(session, player);
    this.session = session;
    this.edges.renew(session.deliveries);
    this.store.set({ session, duration: session.duration_ms / 1000, position: session.resume_ms / 1000 });
    await this.bring(player, session);
    if (this.closed) return;
    this.store.set({ phase: "ready" });
    this.tracks.read();
    this.tracks.choose(this.wanted.language);
    this.keepTime(session);
    await this.play();
  }

  /** Somebody left before it began. */
  private discard(session: PlaySession, player?: Player): void {
    for (const end of [api.endPlay(session.session_id, this.heartbeat("ended")), player?.destroy()]) end?.catch(() => undefined);
  }

  private async prepare(): Promise<Player> {
    const shaka = await loadShaka();
    if (!shaka.Player.isBrowserSupported()) throw new Problem("no-rendition", 0, "unsupported");
    const player = new shaka.Player();
    this.player = player;
    (window as { __matineePlayer?: Player }).__matineePlayer = player;
    this.filter(shaka, player);
    listen(player, { error: (what) => this.trouble(what), buffering: (now) => this.buffering(now), tracks: () => this.tracks.read() });
    await player.attach(this.video);
    return player;
  }

  private async bring(player: Player, session: PlaySession): Promise<void> {
    player.configure(configuration(session.start_bandwidth_bps));
    player.configure({
      drm: { servers: { "org.w3.clearkey": session.licence_path } },
      textDisplayFactory: (_player: Player) => new Subtitles((lines) => this.store.set({ lines })),
    });
    const path = nativeOnly() ? session.hls_path : session.dash_path;
    await player.load(path, session.resume_ms > 0 ? session.resume_ms / 1000 : undefined);
  }

  /** Licences carry who asks and what for; segments go to the edges and tokens that are good now. */
  private filter(shaka: Shaka, player: Player): void {
    const net = player.getNetworkingEngine();
    const { LICENSE, SEGMENT } = shaka.net.NetworkingEngine.RequestType;
    net?.registerRequestFilter(async (type, request) => {
      if (type === LICENSE) {
        request.headers.Authorization = `Bearer ${await client.token()}`;
        request.headers["X-Licence-Token"] = this.session?.licence_token ?? "";
        request.headers["Content-Type"] = "application/json";
      }
      if (type === SEGMENT) request.uris = this.edges.urls(request.uris[0] ?? "", Date.now()) ?? request.uris;
    });
    net?.registerResponseFilter((type, response) => {
      if (type !== SEGMENT) return;
      this.lastEdge = this.edges.edgeOf(response.uri) ?? this.lastEdge;
      this.mended();
    });
    net?.addEventListener("retry", (event) => this.failedEdge((event as unknown as { error: unknown }).error));
  }

  private failedEdge(error: unknown): void {
    if (!isShakaError(error)) return;
    const edge = typeof error.data[0] === "string" ? this.edges.edgeOf(error.data[0]) : null;
    if (!edge) return;
    this.edges.fail(edge, Date.now());
    if (this.store.get().buffering) this.store.set({ mending: true });
    void this.renew();
  }

  /** Fresh URLs. What goes wrong here shows as missing segments, and is tried again with them. */
  private renew(): Promise<void> {
    this.renewing ??= this.renewOnce().finally(() => {
      this.renewing = null;
    });
    return this.renewing;
  }

  private async renewOnce(): Promise<void> {
    if (!this.session) return;
    try {
      const fresh = await api.renew(this.session.session_id, this.edges.failed(Date.now()));
      this.session = { ...this.session, ...fresh };
      this.edges.renew(fresh.deliveries);
      this.planRenewal(fresh.expires_at);
      this.renewFault = null;
    } catch (error) {
      if (isOver(error)) return this.reopen();
      this.renewFault = error;
      this.planRenewal(new Date(Date.now() + RENEW_MARGIN_MS + 10_000).toISOString());
    }
  }

  /** The session is over, after a long pause or a night's sleep: a new one takes its place under the same picture. */
  private reopen(): Promise<void> {
    this.reopening ??= this.reopenOnce().finally(() => {
      this.reopening = null;
    });
    return this.reopening;
  }

  private async reopenOnce(): Promise<void> {
    const old = this.session;
    if (!old || this.closed || this.store.get().phase !== "ready") return;
    try {
      const session = await this.ask(false);
      if (this.closed) return this.discard(session);
      this.session = session;
      this.edges.renew(session.deliveries);
      this.store.set({ session });
      this.planRenewal(session.expires_at);
      this.renewFault = null;
      if (session.asset_id !== old.asset_id) await this.player?.load(session.dash_path, this.video.currentTime);
    } catch (error) {
      this.renewFault = error;
      // What is away comes back, and the next heartbeat asks again; a refusal is for good.
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) this.fail(error);
    }
  }

  private planRenewal(expiresAt: string): void {
    const left = Date.parse(expiresAt) - Date.now();
    // Half of a short life, a minute before the end of a long one.
    clearTimeout(this.renewal);
    if (!this.closed) this.renewal = window.setTimeout(() => void this.renew(), Math.max(5_000, Math.max(left / 2, left - RENEW_MARGIN_MS)));
  }

  private trouble(error: unknown): void {
    if (this.closed || this.store.get().phase === "failed") return;
    if (!mendable(error) || this.store.get().phase === "starting") {
      if (isShakaError(error) && error.severity < 2) return;
      return void this.giveUp(error);
    }
    void this.mend(error);
  }

  private async mend(error: unknown): Promise<void> {
    this.mendingSince ||= Date.now();
    if (Date.now() - this.mendingSince > MEND_LIMIT_MS && this.store.get().buffering) return this.giveUp(error);
    this.store.set({ mending: this.store.get().buffering });
    // A token that ended says nothing against its edge; an edge that is silent does.
    if (isShakaError(error) && ![401, 403].includes(statusOf(error))) this.failedEdge(error);
    await this.renew();
    this.timers.push(window.setTimeout(() => !this.closed && this.player?.retryStreaming(0.1), 500));
  }

  private mended(): void {
    this.mendingSince = 0;
    if (this.store.get().mending) this.store.set({ mending: false });
  }

  private async late(): Promise<void> {
    const silent = this.edges.failed(Date.now()).length > 0;
    if (silent) await this.renew();
    this.fail(new Problem("timeout", 0, "too late"), silent ? blame(this.renewFault) : undefined);
  }

  /** Before the viewer is told: is it the network, or only the servers that deliver the picture? */
  private async giveUp(error: unknown): Promise<void> {
    if (!mendable(error) || !this.session) return this.fail(error);
    await this.renew();
    this.fail(error, blame(this.renewFault));
  }

  private fail(error: unknown, kind?: string): void {
    if (this.closed || this.store.get().phase === "failed") return;
    const trouble = troubleOf(error, kind);
    this.store.set({ phase: "failed", trouble, buffering: false });
    this.video.pause();
    if (this.session) void api.heartbeat(this.session.session_id, this.heartbeat("failed", trouble.code)).catch(() => undefined);
  }

  async play(): Promise<void> {
    try {
      await this.video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError" || this.video.muted) return;
      this.video.muted = true;
      this.store.set({ hushed: true });
      await this.video.play().catch(() => undefined);
    }
  }

  private listen(): void {
    const { video } = this;
    video.volume = this.store.get().volume;
    video.muted = this.store.get().muted;
    const on = (name: string, handler: () => void) => {
      video.addEventListener(name, handler);
      this.undo.push(() => video.removeEventListener(name, handler));
    };
    on("timeupdate", () => this.look());
    on("progress", () => this.look());
    on("durationchange", () => Number.isFinite(video.duration) && this.store.set({ duration: video.duration }));
    on("playing", () => this.playing());
    on("pause", () => this.paused());
    on("play", () => this.store.set({ paused: false, ended: false }));
    on("seeking", () => this.meter.turn("seeking", Date.now()));
    on("seeked", () => this.seeked());
    on("ended", () => this.ended());
    on("ratechange", () => this.store.set({ rate: video.playbackRate }));
    on("volumechange", () => this.heard());
    const leave = () => document.visibilityState === "hidden" && this.part();
    const back = () => document.visibilityState === "visible" && (this.parted = false);
    document.addEventListener("visibilitychange", leave);
    document.addEventListener("visibilitychange", back);
    addEventListener("pagehide", this.part);
    this.undo.push(() => {
      document.removeEventListener("visibilitychange", leave);
      document.removeEventListener("visibilitychange", back);
      removeEventListener("pagehide", this.part);
    });
  }

  private look(): void {
    const { video } = this;
    const at = video.currentTime;
    let buffered = at;
    for (let index = 0; index < video.buffered.length; index += 1) {
      if (video.buffered.start(index) <= at + 0.1 && video.buffered.end(index) > buffered) buffered = video.buffered.end(index);
    }
    this.store.set({ position: at, buffered });
  }

  private playing(): void {
    this.meter.joined(Date.now());
    this.meter.turn("playing", Date.now());
    this.store.set({ buffering: false, paused: false, ended: false, mending: false });
    // The picture runs: from now on there is time to fetch ahead.
    this.player?.configure("streaming.bufferingGoal", GOAL_S);
    this.player?.configure("streaming.rebufferingGoal", 1);
  }

  private buffering(on: boolean): void {
    this.store.set({ buffering: on });
    if (on && this.meter.current === "playing") this.meter.turn("rebuffering", Date.now());
    if (!on && this.meter.current === "rebuffering") this.meter.turn(this.video.paused ? "paused" : "playing", Date.now());
  }

  private paused(): void {
    if (this.video.ended) return;
    this.meter.turn("paused", Date.now());
    this.store.set({ paused: true });
    this.tell();
  }

  private seeked(): void {
    this.look();
    this.meter.turn(this.video.paused ? "paused" : "playing", Date.now());
    this.tell();
  }

  private ended(): void {
    this.meter.turn("ended", Date.now());
    this.store.set({ ended: true, paused: true });
    this.tell();
  }

  private heard(): void {
    const { volume, muted } = this.video;
    const { hushed } = this.store.get();
    this.store.set({ volume, muted, hushed: hushed && muted });
    if (!hushed) this.taste({ volume, muted });
  }

  taste(change: Partial<Taste>): void {
    const taste = { ...this.store.get().taste, ...change };
    this.store.set({ taste });
    saveTaste(taste);
  }

  private keepTime(session: PlaySession): void {
    this.planRenewal(session.expires_at);
    this.timers.push(window.setInterval(() => this.tell(), session.heartbeat_ms || 30_000));
    const online = () => this.player?.retryStreaming(0.1);
    addEventListener("online", online);
    this.undo.push(() => removeEventListener("online", online));
  }

  private instant(): Instant {
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

  private heartbeat(state?: HeartbeatState, code: string | null = null) {
    return this.meter.heartbeat(this.instant(), state, code);
  }

  /** A heartbeat, also from a paused picture; one that is lost is made up for by the next. */
  private tell(): void {
    if (!this.session || this.store.get().phase !== "ready") return;
    void api.heartbeat(this.session.session_id, this.heartbeat()).catch((error: unknown) => (isOver(error) ? this.reopen() : undefined));
  }

  /** The page goes out of sight and may not come back: the last word goes by beacon. */
  private part = (): void => {
    if (!this.session || this.parted || this.store.get().phase !== "ready") return;
    this.parted = true;
    navigator.sendBeacon(this.session.beacon_path, new Blob([JSON.stringify(this.heartbeat())], { type: "application/json" }));
  };

  /** Ends the showing: the session is closed, and home looks again at how far one is. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.renewal);
    this.timers.forEach((timer) => clearTimeout(timer));
    this.undo.forEach((undo) => undo());
    const { session } = this;
    if (session) {
      const state = this.store.get().ended ? "ended" : this.store.get().phase === "failed" ? "failed" : "paused";
      const ending = api.endPlay(session.session_id, this.heartbeat(state)).catch(() => undefined);
      void ending.then(() => ["home", "title:", "history"].forEach(staleScreens));
    }
    await this.player?.destroy().catch(() => undefined);
  }
}
