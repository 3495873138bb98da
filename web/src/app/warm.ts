import { type ComponentType, lazy } from "react";
import type Player from "../features/player";

type Props = Parameters<typeof Player>[0];

let loaded: ComponentType<Props> | null = null;

const load = () =>
  import("../features/player").then((player) => {
    loaded = player.default;
    return player;
  });

const Late = lazy(load);

/** The player's page. Once it was fetched it is drawn at once: React holds what it had to wait for back for 300 ms. */
export const playerPage = (): ComponentType<Props> => loaded ?? Late;

/** Fetches the player while nothing else is going on, so that pressing play does not wait for it. */
export function warmPlayer(): () => void {
  const fetchIt = () => void load().then((player) => player.warm()).catch(() => undefined);
  const near = (event: Event) => {
    if (event.target instanceof Element && event.target.closest("[data-warm=player],[data-testid=title-card]")) fetchIt();
  };
  addEventListener("pointerover", near, { passive: true });
  addEventListener("focusin", near);
  const saving = (navigator as { connection?: { saveData?: boolean } }).connection?.saveData;
  const idle = saving ? 0 : setTimeout(fetchIt, 2500);
  return () => {
    clearTimeout(idle);
    removeEventListener("pointerover", near);
    removeEventListener("focusin", near);
  };
}
