import { useEffect, useState } from "react";

const HIDE_MS = 3000;

/** Return whether the controls are shown: for three seconds after each input, and while `pinned`. */
export function useControlsVisible(frame: HTMLElement, pinned: boolean): boolean {
  const [visible, setAshow] = useState(true);
  useEffect(() => {
    let timer = 0;
    const hide = () => setAshow(false);
    const show = () => {
      setAshow(true);
      clearTimeout(timer);
      if (!pinned) timer = window.setTimeout(hide, HIDE_MS);
    };
    const onLeave = (event: PointerEvent) => event.pointerType === "mouse" && !pinned && hide();
    show();
    const EVENTS = ["pointermove", "pointerdown", "focusin"] as const;
    EVENTS.forEach((name) => frame.addEventListener(name, show));
    frame.addEventListener("pointerleave", onLeave);
    addEventListener("keydown", show, true);
    return () => {
      clearTimeout(timer);
      EVENTS.forEach((name) => frame.removeEventListener(name, show));
      frame.removeEventListener("pointerleave", onLeave);
      removeEventListener("keydown", show, true);
    };
  }, [frame, pinned]);
  return pinned || visible;
}
