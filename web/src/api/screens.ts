/** Screens already seen are shown at once and looked up again behind it. */
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";

interface Entry {
  data?: unknown;
  error?: unknown;
  at: number;
  pending?: Promise<unknown>;
}

const entries = new Map<string, Entry>();
const listeners = new Set<() => void>();
/** The screens in sight, and how each is looked up. */
const mounted = new Map<string, () => Promise<unknown>>();
const FRESH_MS = 15_000;

const tell = () => listeners.forEach((listener) => listener());

function put(key: string, entry: Entry): void {
  entries.set(key, entry);
  tell();
}

function load<T>(key: string, loader: () => Promise<T>): Promise<T> {
  const known = entries.get(key);
  if (known?.pending) return known.pending as Promise<T>;
  const pending = loader();
  entries.set(key, { ...known, at: known?.at ?? 0, pending });
  pending.then(
    (data) => entries.get(key)?.pending === pending && put(key, { data, at: Date.now() }),
    (error: unknown) => entries.get(key)?.pending === pending && put(key, { ...known, error, at: Date.now() }),
  );
  return pending;
}

/** Marks screens as old: those in sight are looked up again behind what they show, the others when next seen. */
export function staleScreens(prefix: string): void {
  for (const [key, entry] of entries) if (key.startsWith(prefix)) entry.at = 0;
  for (const [key, loader] of mounted) if (key.startsWith(prefix)) load(key, loader).catch(() => undefined);
}

/** Starts looking a screen up before it is asked for. */
export function warm<T>(key: string, loader: () => Promise<T>): void {
  if (Date.now() - (entries.get(key)?.at ?? 0) > FRESH_MS) load(key, loader).catch(() => undefined);
}

/** Forgets what is known: of one screen, or of all when the viewer changes. */
export function forgetScreens(prefix = ""): void {
  for (const key of entries.keys()) if (key.startsWith(prefix)) entries.delete(key);
  tell();
}

export interface Screen<T> {
  data: T | undefined;
  error: unknown;
  reload: () => void;
}

/** A screen's data; `undefined` until there is any. An error beside data means that the data may be old. */
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
  useEffect(() => warm(key, () => loaderRef.current()), [key, known]);
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

/** True after a while: what is faster needs no skeleton. */
export function useLate(ms = 200): boolean {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), ms);
    return () => clearTimeout(timer);
  }, [ms]);
  return late;
}
