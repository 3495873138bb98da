/** Shaka Player, loaded on demand. */
import type shaka from "shaka-player/dist/shaka-player.dash-es2021";

export type Shaka = typeof shaka;
export type Player = shaka.Player;

let loading: Promise<Shaka> | null = null;

async function load(): Promise<Shaka> {
  const loaded = (await import("shaka-player/dist/shaka-player.dash-es2021")).default;
  loaded.polyfill.installAll();
  makeAbortable(loaded);
  return loaded;
}

type Request = shaka.extern.Request;
type Operation = shaka.extern.IAbortableOperation<shaka.extern.Response>;

const operations = new WeakMap<Request, Operation>();

/** Remember the operation of each request, so that it can be aborted. */
function makeAbortable({ net }: Shaka): void {
  if (!net.HttpFetchPlugin.isSupported()) return;
  const send: shaka.extern.SchemePlugin = (uri, request, type, onProgress, onHeaders, config) => {
    const operation = net.HttpFetchPlugin.parse(uri, request, type, onProgress, onHeaders, config);
    operations.set(request, operation);
    return operation;
  };
  for (const scheme of ["http", "https"]) net.NetworkingEngine.registerScheme(scheme, send, net.NetworkingEngine.PluginPriority.APPLICATION, true);
}

/**
 * Abort the request of a segment: the segment is requested again in the quality that was chosen meanwhile. Shaka Player
 * 5.2 would do this itself after a switch, but it takes the bits of a segment of a template for its bytes.
 */
export const abortRequest = (request: Request): void => void operations.get(request)?.abort();

export function loadShaka(): Promise<Shaka> {
  loading ??= load().catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

interface PlayerEvents {
  onError: (error: unknown) => void;
  onBuffering: (buffering: boolean) => void;
  onTracks: () => void;
}

/** Subscribe to the events of a player. */
export function addPlayerListeners(player: Player, events: PlayerEvents): void {
  player.addEventListener("error", (event) => events.onError((event as unknown as { detail: unknown }).detail));
  player.addEventListener("buffering", (event) => events.onBuffering((event as unknown as { buffering: boolean }).buffering));
  for (const name of ["trackschanged", "adaptation", "variantchanged", "textchanged", "audiotrackschanged"]) player.addEventListener(name, events.onTracks);
}

/** The bandwidth that is assumed without any measurement: the lowest quality, because a late first frame is worse than a soft one. */
const UNKNOWN_BPS = 800_000;

/** Create the configuration of the player. The buffer is small at first, so that the first frame is shown early. */
export function createConfiguration(startBps: number): object {
  // A transfer may take long on a slow network: only one that does not begin, or that stalls, has failed.
  const retries = { maxAttempts: 3, baseDelay: 300, backoffFactor: 2, fuzzFactor: 0.3, timeout: 0, connectionTimeout: 6_000, stallTimeout: 8_000 };
  return {
    abr: {
      defaultBandwidthEstimate: startBps > 0 ? startBps : UNKNOWN_BPS,
      useNetworkInformation: false,
      restrictToElementSize: true,
      // The share of the throughput that a quality may need.
      bandwidthDowngradeTarget: 0.85,
      bandwidthUpgradeTarget: 0.85,
    },
    // Every byte shows that a transfer has not stalled.
    networking: { minBytesForProgressEvents: 0 },
    drm: { retryParameters: retries },
    manifest: { retryParameters: retries },
    streaming: {
      bufferingGoal: START_BUFFER_GOAL_S,
      rebufferingGoal: 0.3,
      bufferBehind: 30,
      // With prefetching, a seek while the first segments load makes Shaka Player 5.2 wait forever.
      segmentPrefetchLimit: 0,
      inaccurateManifestTolerance: 0,
      // Each further attempt uses the next edge: see `Edges.chooseUrl`.
      retryParameters: { ...retries, maxAttempts: 5, baseDelay: 120, backoffFactor: 1.7 },
    },
  };
}

/** One segment of sound and picture: a second one of the sound would delay the first one of the picture. */
const START_BUFFER_GOAL_S = 2;
/** The same after the first frame, for the second segments. */
const SAFE_BUFFER_GOAL_S = 6;
/** The length of the buffer during playback. */
const BUFFER_GOAL_S = 45;

/** Choose how much to buffer, when playback goes on and so much is buffered. */
export const chooseBufferGoal = (bufferedS: number): number => (bufferedS < SAFE_BUFFER_GOAL_S ? SAFE_BUFFER_GOAL_S : BUFFER_GOAL_S);
