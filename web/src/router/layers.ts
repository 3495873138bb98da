/**
 * Layers: dialogs and menus above a page. Each has an entry in the browser's history, so that Back closes the layer and
 * leaves the page as it is.
 */
import { useEffect, useRef } from "react";

interface LayerState {
  /** The number of layer entries up to this one. */
  layer?: number;
}

const layers: (() => void)[] = [];
/** The layer entries on top of the page's own entry. */
let entries = 0;
/** Entries are being removed; `popstate` follows. */
let isReturning = false;
let waiting: (() => void)[] = [];
let timer = 0;

const readLayer = () => ((window.history.state ?? {}) as LayerState).layer ?? 0;

/** Return the state without the mark of a layer. */
export function withoutLayer<T extends object>(state: T): T {
  return { ...state, layer: undefined };
}

/** Create or remove entries until there is one for each open layer. */
function synchronise(): void {
  if (isReturning || layers.length === entries) return;
  if (layers.length < entries) return removeEntries();
  entries += 1;
  window.history.pushState({ ...(window.history.state as object), layer: entries }, "");
  synchronise();
}

function removeEntries(): void {
  isReturning = true;
  window.history.go(layers.length - entries);
}

/** Later, because a dialog that replaces another unmounts and mounts in one step. */
function schedule(): void {
  clearTimeout(timer);
  timer = window.setTimeout(synchronise);
}

/**
 * Prepare a navigation. A new page takes the entry of an open layer; the replacement of a page waits until the entries
 * above the page are removed. Return whether the navigation may replace the current entry now, or null if it waits.
 */
export function prepareNavigation(replace: boolean, again: () => void): boolean | null {
  if (isReturning) {
    waiting.push(again);
    return null;
  }
  if (!entries) return replace;
  if (!replace && entries === 1) {
    entries = 0;
    return true;
  }
  waiting.push(again);
  isReturning = true;
  window.history.go(-entries);
  return null;
}

/** Handle `popstate`; return whether the page stays as it is. */
export function handleLayers(): boolean {
  const before = entries;
  entries = readLayer();
  if (isReturning) {
    isReturning = false;
    const tasks = waiting;
    waiting = [];
    tasks.forEach((task) => task());
    schedule();
    return tasks.length > 0;
  }
  const isClosed = before > entries && layers.length > entries;
  if (isClosed) layers.at(-1)?.();
  schedule();
  return isClosed;
}

/** Remove the entries of layers that a reload has closed. */
export function startLayers(): void {
  entries = readLayer();
  schedule();
}

/** Let Back close a dialog or a menu while it is mounted. */
export function useLayer(close: () => void): void {
  const latest = useRef(close);
  latest.current = close;
  useEffect(() => {
    const layer = () => latest.current();
    layers.push(layer);
    schedule();
    return () => {
      layers.splice(layers.indexOf(layer), 1);
      schedule();
    };
  }, []);
}
