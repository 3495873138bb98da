/** The recent searches of a profile, the newest first, kept in this browser. */
import { useCallback, useEffect, useState } from "react";

export const MAX_RECENT = 10;

const isSame = (one: string, other: string) => one.toLocaleLowerCase() === other.toLocaleLowerCase();

/** Add a search in front; one that differs in case only is replaced. */
export function addRecent(recent: readonly string[], query: string): string[] {
  const text = query.trim();
  if (!text) return [...recent];
  return [text, ...recent.filter((one) => !isSame(one, text))].slice(0, MAX_RECENT);
}

/** Read stored searches; what cannot be read is none. */
export function parseRecent(stored: string | null): string[] {
  try {
    const values: unknown = JSON.parse(stored ?? "[]");
    return Array.isArray(values) ? values.filter((one): one is string => typeof one === "string" && one !== "").slice(0, MAX_RECENT) : [];
  } catch {
    return [];
  }
}

const getKey = (profileId: string) => `matinee.searches.${profileId}`;

function read(key: string): string[] {
  try {
    return parseRecent(localStorage.getItem(key));
  } catch {
    return [];
  }
}

function write(key: string, recent: string[]): void {
  try {
    if (recent.length) localStorage.setItem(key, JSON.stringify(recent));
    else localStorage.removeItem(key);
  } catch {
    // Without storage the searches are kept while the page is shown.
  }
}

export interface Recent {
  recent: string[];
  add: (query: string) => void;
  remove: (query: string) => void;
  clear: () => void;
}

export function useRecent(profileId: string): Recent {
  const key = getKey(profileId);
  const [recent, setRecent] = useState(() => read(key));
  useEffect(() => setRecent(read(key)), [key]);
  const change = useCallback(
    (apply: (before: string[]) => string[]) => {
      const next = apply(read(key));
      write(key, next);
      setRecent(next);
    },
    [key],
  );
  return {
    recent,
    add: (query) => change((before) => addRecent(before, query)),
    remove: (query) => change((before) => before.filter((one) => one !== query)),
    clear: () => change(() => []),
  };
}
