/** Shaka Player, fetched once, when somebody is likely to press play. */
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

interface Hears {
  error: (what: unknown) => void;
  buffering: (now: boolean) => void;
  tracks: () => void;
}

/** Passes on what a player says of itself. */
export function listen(player: Player, hears: Hears): void {
  const said = (event: unknown) => event as { detail: unknown; buffering: boolean };
  player.addEventListener("error", (event) => hears.error(said(event).detail));
  player.addEventListener("buffering", (event) => hears.buffering(said(event).buffering));
  for (const name of ["trackschanged", "adaptation", "variantchanged", "textchanged", "audiotrackschanged"]) player.addEventListener(name, hears.tracks);
}

/** How the player fetches, buffers and chooses. Small at first: the picture comes before the comfort. */
export function configuration(startBps: number): object {
  const patient = { maxAttempts: 3, baseDelay: 300, backoffFactor: 2, fuzzFactor: 0.3, timeout: 15_000, connectionTimeout: 5_000, stallTimeout: 6_000 };
  return {
    abr: { defaultBandwidthEstimate: startBps > 0 ? startBps : 2_000_000, useNetworkInformation: false, restrictToElementSize: true },
    drm: { retryParameters: { ...patient, timeout: 8_000 } },
    manifest: { retryParameters: { ...patient, timeout: 10_000 } },
    streaming: {
      bufferingGoal: STARTING_GOAL_S,
      rebufferingGoal: 0.3,
      bufferBehind: 30,
      // With prefetching, a seek while the first segments come leaves Shaka Player 5.2 waiting for ever.
      segmentPrefetchLimit: 0,
      inaccurateManifestTolerance: 0,
      // Each further attempt goes to the next edge: see `Edges.urls`.
      retryParameters: { ...patient, maxAttempts: 5, baseDelay: 120, backoffFactor: 1.7 },
    },
  };
}

export const STARTING_GOAL_S = 8;
/** How far ahead is buffered once the picture runs. */
export const GOAL_S = 45;
