/**
 * A small router over the History API. A title page lies over the page one came from, so a location may name
 * the one `under` it; both stay mounted, and going back finds everything as it was.
 */
import { type AnchorHTMLAttributes, type MouseEvent, type Ref, useSyncExternalStore } from "react";

export interface Location {
  path: string;
  search: string;
  /** The path that an overlay lies over. */
  under: string | null;
}

interface State {
  under?: string | null;
  depth?: number;
}

const listeners = new Set<() => void>();
let current: Location = read();

function state(): State {
  return (window.history.state ?? {}) as State;
}

function read(): Location {
  const { pathname, search } = window.location;
  return { path: pathname, search, under: state().under ?? null };
}

function settle(): void {
  current = read();
  listeners.forEach((listener) => listener());
}

window.addEventListener("popstate", settle);

export interface Going {
  replace?: boolean;
  /** Lay the new page over the one that is shown. */
  over?: boolean;
}

export function go(to: string, { replace = false, over = false }: Going = {}): void {
  const under = over ? (current.under ?? current.path + current.search) : null;
  const depth = (state().depth ?? 0) + (replace ? 0 : 1);
  window.history[replace ? "replaceState" : "pushState"]({ under, depth } satisfies State, "", to);
  settle();
}

/** Back to where one came from, or to `otherwise` where this page was the first. */
export function back(otherwise = "/"): void {
  if ((state().depth ?? 0) > 0) window.history.back();
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

/** Matches `/title/:id` against a path; the named parts, or `null`. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/");
  const parts = path.replace(/(.)\/$/, "$1").split("/");
  if (wanted.length !== parts.length) return null;
  const found: Record<string, string> = {};
  for (const [index, piece] of wanted.entries()) {
    const part = parts[index] ?? "";
    if (piece.startsWith(":")) found[piece.slice(1)] = decodeURIComponent(part);
    else if (piece !== part) return null;
  }
  return found;
}

type LinkProps = AnchorHTMLAttributes<HTMLAnchorElement> & Going & { to: string; ref?: Ref<HTMLAnchorElement> };

/** A real link that stays in the application. */
export function Link({ to, replace, over, onClick, ...rest }: LinkProps) {
  function follow(event: MouseEvent<HTMLAnchorElement>) {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go(to, { replace, over });
  }
  return <a {...rest} href={to} onClick={follow} />;
}

export const paths = {
  home: "/",
  signIn: "/sign-in",
  signUp: "/sign-up",
  profiles: "/profiles",
  manage: "/profiles/manage",
  title: (title: string) => `/title/${encodeURIComponent(title)}`,
  genre: (genre: string) => `/genre/${encodeURIComponent(genre)}`,
  history: "/history",
  account: "/account",
  operator: "/operator",
  watch: (title: string, episode?: string | null, fromStart = false) => {
    const search = new URLSearchParams();
    if (episode) search.set("episode", episode);
    if (fromStart) search.set("from", "start");
    const text = search.toString();
    return `/watch/${encodeURIComponent(title)}${text && `?${text}`}`;
  },
};
