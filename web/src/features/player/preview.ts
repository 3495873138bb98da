/** The muted preview of a title. It stores no position, because its session ends as one that was only starting. */
import { api, type Card, type PlaySession } from "../../api";
import { getCapabilities } from "./capabilities";
import { adaptToNetwork } from "./abr";
import { Edges } from "./edges";
import { PlaybackMetrics } from "./metrics";
import { authorizeRequests } from "./requests";
import { createConfiguration, loadShaka, type Player, type Shaka } from "./shaka";

/** A preview needs no more than the card is wide. */
const MAX_HEIGHT = 480;
const BUFFER_S = 4;
/** A film that was not begun is shown from here, after its titles. */
const START_SHARE = 0.15;

/** Play in a video element until the signal is aborted. Failures are thrown. */
export async function playPreview(video: HTMLVideoElement, card: Card, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const capabilities = { ...(await getCapabilities()), max_height_px: MAX_HEIGHT };
  const [shaka, session] = await Promise.all([loadShaka(), api.startPlayback({ title_id: card.title_id, episode_id: card.progress?.episode_id ?? null, from_start: false, capabilities })]);
  const player = new shaka.Player();
  const stop = () => {
    void player.destroy().catch(() => undefined);
    void endSession(session);
  };
  if (signal.aborted) return stop();
  signal.addEventListener("abort", stop, { once: true });
  await load(shaka, player, video, session);
  if (!signal.aborted) await video.play();
}

async function load(shaka: Shaka, player: Player, video: HTMLVideoElement, session: PlaySession): Promise<void> {
  const edges = new Edges(session.deliveries);
  authorizeRequests(shaka, player, adaptToNetwork(shaka, player), () => ({ edges, licencePath: session.licence_path, licenceToken: session.licence_token }));
  await player.attach(video);
  player.configure(createConfiguration(session.start_bandwidth_bps));
  player.configure({ drm: { servers: { "org.w3.clearkey": session.licence_path } }, streaming: { bufferingGoal: BUFFER_S }, abr: { restrictions: { maxHeight: MAX_HEIGHT } } });
  await player.load(session.dash_path, (session.resume_ms || session.duration_ms * START_SHARE) / 1000);
  player.selectTextTrack(null);
}

async function endSession(session: PlaySession): Promise<void> {
  const sample = { now: Date.now(), positionMs: session.resume_ms, droppedFrames: 0, bandwidthBps: null, rendition: null, edgeId: null };
  await api.endPlayback(session.session_id, new PlaybackMetrics(Date.now()).createHeartbeat(sample, "starting")).catch(() => undefined);
}
