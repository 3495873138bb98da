/** Shaka Player, loaded on demand. */
import type shaka from "shaka-player/dist/shaka-player.dash-es2021";

export type Shaka = typeof shaka;
export type Player = shaka.Player;

let loading: Promise<Shaka> | null = null;

async function load(): Promise<Shaka> {
  const loaded = (await import("shaka-player/dist/shaka-player.dash-es2021")).default;
  loaded.polyfill.installAll();
  return loaded;
}

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

/** Create the configuration of the player. The buffer is small at first, so that the first frame is shown early. */
export function createConfiguration(startBps: number): object {
  const retries = { maxAttempts: 3, baseDelay: 300, backoffFactor: 2, fuzzFactor: 0.3, timeout: 15_000, connectionTimeout: 5_000, stallTimeout: 6_000 };
  return {
    abr: { defaultBandwidthEstimate: startBps > 0 ? startBps : 2_000_000, useNetworkInformation: false, restrictToElementSize: true },
    drm: { retryParameters: { ...retries, timeout: 8_000 } },
    manifest: { retryParameters: { ...retries, timeout: 10_000 } },
    streaming: {
      bufferingGoal: START_BUFFER_GOAL_S,
      rebufferingGoal: 0.3,
      bufferBehind: 30,
      // With prefetching, a seek while the first segments load makes Shaka Player 5.2 wait forever.
      segmentPrefetchLimit: 0,
      inaccurateManifestTolerance: 0,
      // Each further attempt uses the next edge: see `Edges.listUrls`.
      retryParameters: { ...retries, maxAttempts: 5, baseDelay: 120, backoffFactor: 1.7 },
    },
  };
}

export const START_BUFFER_GOAL_S = 8;
/** The length of the buffer during playback. */
export const BUFFER_GOAL_S = 45;
