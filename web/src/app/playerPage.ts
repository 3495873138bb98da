import { type ComponentType, lazy } from "react";
import type Player from "../features/player";
import type { Card } from "../api";

type Props = Parameters<typeof Player>[0];

let loaded: ComponentType<Props> | null = null;

const load = () =>
  import("../features/player").then((player) => {
    loaded = player.default;
    return player;
  });

const LazyPlayer = lazy(load);

/** Return the player page. The loaded component is rendered at once, while React delays lazy components by 300 ms. */
export const getPlayerPage = (): ComponentType<Props> => loaded ?? LazyPlayer;

/** Load the player when the page is idle or the pointer is near a play button. */
export function preloadPlayer(): () => void {
  const preload = () => void load().then((player) => player.preload()).catch(() => undefined);
  const onApproach = (event: Event) => {
    if (event.target instanceof Element && event.target.closest("[data-preload=player],[data-testid=title-card]")) preload();
  };
  addEventListener("pointerover", onApproach, { passive: true });
  addEventListener("focusin", onApproach);
  const saveData = (navigator as { connection?: { saveData?: boolean } }).connection?.saveData;
  const timer = saveData ? 0 : setTimeout(preload, 2500);
  return () => {
    clearTimeout(timer);
    removeEventListener("pointerover", onApproach);
    removeEventListener("focusin", onApproach);
  };
}

/** Play a muted preview of a title in a video element; return how to stop it. */
export function playPreview(video: HTMLVideoElement, card: Card): () => void {
  const abort = new AbortController();
  void load()
    .then((player) => player.playPreview(video, card, abort.signal))
    // Without a preview the picture stays.
    .catch(() => undefined);
  return () => abort.abort();
}
