/** A cache of screen data: cached data is shown at once while it is reloaded. */
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";

interface Entry {
  data?: unknown;
  error?: unknown;
  at: number;
  pending?: Promise<unknown>;
}

const entries = new Map<string, Entry>();
const listeners = new Set<() => void>();
/** The loaders of the mounted screens. */
const mounted = new Map<string, () => Promise<unknown>>();
const FRESH_MS = 15_000;

const notify = () => listeners.forEach((listener) => listener());

function setEntry(key: string, entry: Entry): void {
  entries.set(key, entry);
  notify();
}

function load<T>(key: string, loader: () => Promise<T>): Promise<T> {
  const known = entries.get(key);
  if (known?.pending) return known.pending as Promise<T>;
  const pending = loader();
  entries.set(key, { ...known, at: known?.at ?? 0, pending });
  pending.then(
    (data) => entries.get(key)?.pending === pending && setEntry(key, { data, at: Date.now() }),
    (error: unknown) => entries.get(key)?.pending === pending && setEntry(key, { ...known, error, at: Date.now() }),
  );
  return pending;
}

/** Return cached data. */
export const getScreen = <T>(key: string): T | undefined => entries.get(key)?.data as T | undefined;

/** Cache data that was loaded in another way. */
export const keepScreen = <T>(key: string, data: T): void => setEntry(key, { data, at: Date.now() });

/** Mark screens as outdated: mounted screens are reloaded now, others when they are next mounted. */
export function invalidateScreens(prefix: string): void {
  for (const [key, entry] of entries) if (key.startsWith(prefix)) entry.at = 0;
  for (const [key, loader] of mounted) if (key.startsWith(prefix)) load(key, loader).catch(() => undefined);
}

/** Load a screen unless its data is recent. */
function loadUnlessFresh<T>(key: string, loader: () => Promise<T>): void {
  if (Date.now() - (entries.get(key)?.at ?? 0) > FRESH_MS) load(key, loader).catch(() => undefined);
}

/** Delete all cached data, because the viewer has changed. */
export function clearScreens(): void {
  entries.clear();
  notify();
}

export interface Screen<T> {
  data: T | undefined;
  error: unknown;
  reload: () => void;
}

/** Return a screen's data, `undefined` until it is loaded. An error beside data means that the data may be outdated. */
export function useScreen<T>(key: string, loader: () => Promise<T>, everyMs = 0): Screen<T> {
  const loaderRef = useRef(loader);
  loaderRef.current = loader;
  const subscribe = useCallback((listener: () => void) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  const entry = useSyncExternalStore(subscribe, () => entries.get(key));
  const reload = useCallback(() => void load(key, () => loaderRef.current()).catch(() => undefined), [key]);
  const known = entry !== undefined;
  useEffect(() => loadUnlessFresh(key, () => loaderRef.current()), [key, known]);
  useEffect(() => {
    mounted.set(key, () => loaderRef.current());
    return () => void mounted.delete(key);
  }, [key]);
  useEffect(() => {
    if (!everyMs) return;
    const timer = setInterval(() => document.visibilityState === "visible" && reload(), everyMs);
    return () => clearInterval(timer);
  }, [everyMs, reload]);
  return { data: entry?.data as T | undefined, error: entry?.error, reload };
}

/** Return true after a delay, so that fast loads show no skeleton. */
export function useDelayed(): boolean {
  const [delayed, setDelayed] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setDelayed(true), 200);
    return () => clearTimeout(timer);
  }, []);
  return delayed;
}
