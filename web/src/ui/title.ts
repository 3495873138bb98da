/** The title of the browser's tab. */
import { useEffect } from "react";

/** Name the page in the tab while it is shown; an overlay's name replaces that of the page below. */
export function useTitle(name: string | undefined): void {
  useEffect(() => {
    if (!name) return;
    const before = document.title;
    document.title = `${name} · Matinee`;
    return () => {
      document.title = before;
    };
  }, [name]);
}
