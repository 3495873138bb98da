import { useEffect, useState } from "react";

const SLEEP_MS = 3000;

/** Whether the controls are shown: for three seconds after every sign of life, and while `held`. */
export function useAwake(frame: HTMLElement, held: boolean): boolean {
  const [awake, setAwake] = useState(true);
  useEffect(() => {
    let timer = 0;
    const sleep = () => setAwake(false);
    const wake = () => {
      setAwake(true);
      clearTimeout(timer);
      if (!held) timer = window.setTimeout(sleep, SLEEP_MS);
    };
    const leave = (event: PointerEvent) => event.pointerType === "mouse" && !held && sleep();
    wake();
    const signs = ["pointermove", "pointerdown", "focusin"] as const;
    signs.forEach((sign) => frame.addEventListener(sign, wake));
    frame.addEventListener("pointerleave", leave);
    addEventListener("keydown", wake, true);
    return () => {
      clearTimeout(timer);
      signs.forEach((sign) => frame.removeEventListener(sign, wake));
      frame.removeEventListener("pointerleave", leave);
      removeEventListener("keydown", wake, true);
    };
  }, [frame, held]);
  return held || awake;
}
