/** Arrow keys and remote controls, on top of the pure engine. */
import { useEffect, useRef } from "react";
import { BLANK, type Box, type Direction, type Memory, move, recover, visit } from "./engine";
import { idOf, readTree, scope } from "./tree";

const ARROWS: Record<string, Direction> = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right" };
const BACK = new Set(["Escape", "GoBack", "BrowserBack", "XF86Back"]);

let memory: Memory = BLANK;
let lastBox: Box | null = null;
let lastElement: HTMLElement | null = null;
const lastOf = new Map<string, string>();
const backs: (() => void)[] = [];

/** Whether keys, and not a pointer, were used last. */
let keys = false;
const isTv = () => document.documentElement.dataset.tv !== undefined;
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function focusElement(element: HTMLElement, smooth = true): void {
  element.focus({ preventScroll: true, focusVisible: true } as FocusOptions);
  element.scrollIntoView({ block: "nearest", inline: "nearest", behavior: smooth && !calm() ? "smooth" : "instant" });
}

/** Whether a field wants this arrow for itself. */
function owns(element: Element | null, direction: Direction): boolean {
  if (!(element instanceof HTMLElement)) return false;
  const wanted = element.dataset.focusOwn;
  if (wanted?.split(" ").includes(direction)) return true;
  if (element instanceof HTMLSelectElement) return direction === "up" || direction === "down";
  if (element instanceof HTMLInputElement) return inputOwns(element, direction);
  return element instanceof HTMLTextAreaElement;
}

const TYPED = "input:not([type=checkbox],[type=radio],[type=range],[type=file]),textarea";
const TEXTLESS = new Set(["checkbox", "radio", "button", "submit", "file"]);

function inputOwns(input: HTMLInputElement, direction: Direction): boolean {
  if (TEXTLESS.has(input.type)) return false;
  if (input.type === "number" || input.type === "range") return true;
  if (direction === "up" || direction === "down") return false;
  // The caret of an e-mail field cannot be asked for: there, left and right stay inside.
  const at = input.selectionStart;
  if (at === null) return true;
  return direction === "left" ? at > 0 : at < input.value.length;
}

function onArrow(event: KeyboardEvent, direction: Direction): void {
  const active = document.activeElement;
  if (owns(active, direction)) return;
  const { root, elements } = readTree(scope());
  const here = active ? idOf(active) : "";
  const step = elements.has(here) ? move(root, here, direction, memory) : null;
  const target = step?.id ?? (elements.has(here) ? null : start(root, elements));
  if (step) memory = step.memory;
  event.preventDefault();
  const element = target ? elements.get(target) : undefined;
  if (element) focusElement(element, !event.repeat);
}

function start(root: Parameters<typeof recover>[0], elements: Map<string, HTMLElement>): string | null {
  const first = [...elements].find(([, element]) => element.dataset.focusFirst !== undefined)?.[0];
  return recover(root, lastBox, first ?? null);
}

function onKey(event: KeyboardEvent): void {
  keys = true;
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
  const direction = ARROWS[event.key];
  if (direction && !event.shiftKey) return onArrow(event, direction);
  const field = event.target instanceof HTMLElement && event.target.matches(TYPED);
  if (BACK.has(event.key) || (event.key === "Backspace" && !field)) {
    const handler = backs.at(-1);
    if (!handler) return;
    event.preventDefault();
    handler();
  }
}

function onFocus(event: FocusEvent): void {
  if (!(event.target instanceof HTMLElement)) return;
  lastElement = event.target;
  const { left, top, right, bottom } = lastElement.getBoundingClientRect();
  lastBox = { left, top, right, bottom };
  const id = lastElement.dataset.focusId;
  if (id) lastOf.set(location.pathname, id);
  else lastOf.delete(location.pathname);
}

/** What had the focus is gone: the focus goes to what is nearest now. */
function onChange(): void {
  if (!lastElement || lastElement.isConnected || document.activeElement !== document.body) return;
  if (!keys && !isTv()) return;
  const { root, elements } = readTree(scope());
  const target = recover(root, lastBox);
  const element = target ? elements.get(target) : undefined;
  if (element) focusElement(element, false);
}

/** Takes over the arrow keys of the page. */
export function startFocus(): void {
  let waiting = 0;
  addEventListener("keydown", onKey);
  addEventListener("pointerdown", () => (keys = false));
  document.addEventListener("focusin", onFocus);
  new MutationObserver(() => {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      onChange();
    });
  }).observe(document.body, { childList: true, subtree: true });
}

/** What the back key does while a component is there; the last one to come is asked. */
export function useBack(handler: () => void, active = true): void {
  const latest = useRef(handler);
  latest.current = handler;
  useEffect(() => {
    if (!active) return;
    const entry = () => latest.current();
    backs.push(entry);
    return () => void backs.splice(backs.indexOf(entry), 1);
  }, [active]);
}

/** Puts the focus on a page that is ready: where it was on the last visit, or on its first choice. */
export function useArrival(ready: boolean, always = false): void {
  useEffect(() => {
    if (!ready || !(keys || isTv() || always)) return;
    const { root, elements } = readTree(scope());
    const remembered = lastOf.get(location.pathname);
    const target = remembered && elements.has(remembered) ? remembered : start(root, elements);
    const element = target ? elements.get(target) : undefined;
    if (!element) return;
    memory = visit(root, idOf(element), { ...memory, column: null });
    focusElement(element, false);
  }, [ready, always]);
}

/** Gives the focus back to whatever had it before a dialog came. */
export function useReturnFocus(): void {
  useEffect(() => {
    const before = document.activeElement;
    return () => {
      if (!(before instanceof HTMLElement) || before === document.body) return;
      // In the next frame: until then the page behind the dialog is still out of reach.
      requestAnimationFrame(() => before.isConnected && focusElement(before, false));
    };
  }, []);
}
