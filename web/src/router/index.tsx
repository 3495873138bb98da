/**
 * A router on the History API. A title page is an overlay: its location names the page `under` it. Both stay mounted,
 * so that going back restores the page below unchanged.
 */
import { type AnchorHTMLAttributes, type MouseEvent, type Ref, useSyncExternalStore } from "react";
import { handleLayers, prepareNavigation, startLayers, withoutLayer } from "./layers";

export { useLayer } from "./layers";
export { useScroll } from "./scroll";

export interface Location {
  path: string;
  search: string;
  /** The path below an overlay. */
  under: string | null;
}

interface State {
  under?: string | null;
  depth?: number;
}

const listeners = new Set<() => void>();
let current: Location = readLocation();

function readState(): State {
  return (window.history.state ?? {}) as State;
}

function readLocation(): Location {
  const { pathname, search } = window.location;
  return { path: pathname, search, under: readState().under ?? null };
}

function update(): void {
  current = readLocation();
  listeners.forEach((listener) => listener());
}

window.addEventListener("popstate", () => void (handleLayers() || update()));
startLayers();

export interface NavigateOptions {
  replace?: boolean;
  /** Open the new page as an overlay. */
  over?: boolean;
}

export function go(to: string, { replace = false, over = false }: NavigateOptions = {}): void {
  const isReplacing = prepareNavigation(replace, () => go(to, { replace, over }));
  if (isReplacing === null) return;
  const under = over ? (current.under ?? current.path + current.search) : null;
  const depth = (readState().depth ?? 0) + (replace ? 0 : 1);
  window.history[isReplacing ? "replaceState" : "pushState"](withoutLayer<State>({ under, depth }), "", to);
  update();
}

/** Go back, or to `otherwise` if this page was the first. */
export function back(otherwise = "/"): void {
  if ((readState().depth ?? 0) > 0) window.history.back();
  else go(otherwise, { replace: true });
}

export function useLocation(): Location {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
}

/** Return the address that a sign-in page leads to, if it is a page of this client. */
export function readNext(search: string): string | null {
  const next = new URLSearchParams(search).get("next");
  return next && /^\/(?![/\\])/.test(next) ? next : null;
}

/** Add the page that was asked for to the address of a sign-in page. */
export function addNext(to: string, next: string): string {
  return next === "/" ? to : `${to}?${new URLSearchParams({ next })}`;
}

/** Match a pattern such as `/title/:id` against a path; return the named parts, or `null`. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/");
  const parts = path.replace(/(.)\/$/, "$1").split("/");
  if (wanted.length !== parts.length) return null;
  const found: Record<string, string> = {};
  for (const [index, piece] of wanted.entries()) {
    const part = parts[index] ?? "";
    const decoded = decode(part);
    if (decoded === null) return null;
    if (piece.startsWith(":")) found[piece.slice(1)] = decoded;
    else if (piece !== part) return null;
  }
  return found;
}

/** Decode a part of a path; return `null` for one that no page has, such as a bare `%`. */
function decode(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}

type LinkProps = AnchorHTMLAttributes<HTMLAnchorElement> & NavigateOptions & { to: string; ref?: Ref<HTMLAnchorElement> };

/** A link that navigates without a page load. */
export function Link({ to, replace, over, onClick, ...rest }: LinkProps) {
  function onFollow(event: MouseEvent<HTMLAnchorElement>) {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go(to, { replace, over });
  }
  return <a {...rest} href={to} onClick={onFollow} />;
}

export const paths = {
  home: "/",
  signIn: "/sign-in",
  signUp: "/sign-up",
  profiles: "/profiles",
  manage: "/profiles/manage",
  title: (title: string) => `/title/${encodeURIComponent(title)}`,
  genre: (genre: string) => `/genre/${encodeURIComponent(genre)}`,
  browse: (initial: string) => `/browse/${encodeURIComponent(initial)}`,
  search: (query = "") => (query ? `/search?${new URLSearchParams({ q: query })}` : "/search"),
  history: "/history",
  account: "/account",
  operator: "/operator",
  /** The accounts of the operator console; `rest` is the part of the address after it. */
  accounts: (rest = "") => `/operator/accounts${rest}`,
  audit: (account?: string) => `/operator/audit${account ? `?${new URLSearchParams({ account })}` : ""}`,
  watch: (title: string, episode?: string | null, fromStart = false) => {
    const search = new URLSearchParams();
    if (episode) search.set("episode", episode);
    if (fromStart) search.set("from", "start");
    const text = search.toString();
    return `/watch/${encodeURIComponent(title)}${text && `?${text}`}`;
  },
};
