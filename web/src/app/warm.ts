/** Fetches the player while nothing else is going on, so that pressing play does not wait for it. */
export function warmPlayer(): () => void {
  const fetchIt = () => void import("../features/player").then((player) => player.warm()).catch(() => undefined);
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
