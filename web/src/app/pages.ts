/** Pages that are loaded when they are needed, or before that: when the browser is idle or the pointer approaches. */
import { type ComponentType, lazy } from "react";

interface Page<P> {
  /** Return the page. The loaded component is rendered at once, while React delays lazy components by 300 ms. */
  get: () => ComponentType<P>;
  preload: () => void;
}

function createPage<P>(load: () => Promise<{ default: ComponentType<P> }>): Page<P> {
  let loaded: ComponentType<P> | null = null;
  const start = () =>
    load().then((module) => {
      loaded = module.default;
      return module;
    });
  // What failed is not kept: the next visit tries again.
  let page = lazy(start);
  const retry = () => void (page = lazy(start));
  return { get: () => loaded ?? page, preload: () => void start().catch(retry) };
}

export const titlePage = createPage(() => import("../features/title"));
export const searchPage = createPage(() => import("../features/search"));
export const profilesPage = createPage(() => import("../features/profiles"));

// The page that the address names is requested at once, before the sign-in is restored.
if (location.pathname.startsWith("/title/")) titlePage.preload();
if (location.pathname.startsWith("/search")) searchPage.preload();
if (location.pathname.startsWith("/profiles")) profilesPage.preload();

const IDLE_MS = 1500;

/** Load the pages that follow the home page. */
export function preloadPages(): () => void {
  const onApproach = (event: Event) => {
    if (event.target instanceof Element && event.target.closest("[data-testid=title-card],[data-testid=details]")) titlePage.preload();
  };
  const timer = setTimeout(() => {
    titlePage.preload();
    searchPage.preload();
    profilesPage.preload();
  }, IDLE_MS);
  addEventListener("pointerover", onApproach, { passive: true });
  addEventListener("focusin", onApproach);
  return () => {
    clearTimeout(timer);
    removeEventListener("pointerover", onApproach);
    removeEventListener("focusin", onApproach);
  };
}
