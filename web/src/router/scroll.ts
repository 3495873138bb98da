import { useLayoutEffect } from "react";

/** The scroll position of each page, restored on return. */
const positions = new Map<string, number>();

/** Restore the scroll position of a page, and remember it while the page is shown. */
export function useScroll(path: string): void {
  useLayoutEffect(() => {
    scrollTo({ top: positions.get(path) ?? 0, behavior: "instant" });
    const onScroll = () => void positions.set(path, scrollY);
    addEventListener("scroll", onScroll, { passive: true });
    return () => removeEventListener("scroll", onScroll);
  }, [path]);
}
