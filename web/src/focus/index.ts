/** Keyboard and remote-control navigation, on top of the pure engine. */
import { useEffect, useRef } from "react";
import { type Box, type Column, type Direction, move, recover } from "./engine";
import { getId, readTree, findScope } from "./tree";

const ARROWS: Record<string, Direction> = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right" };
const BACK = new Set(["Escape", "GoBack", "BrowserBack", "XF86Back"]);

let column: Column = null;
let lastBox: Box | null = null;
let lastElement: HTMLElement | null = null;
const lastOf = new Map<string, string>();
const backHandlers: (() => void)[] = [];

/** Whether the last input came from a key and not from a pointer. */
let isKeyboardUsed = false;
const isTv = () => document.documentElement.dataset.tv !== undefined;
const prefersReducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function focusElement(element: HTMLElement, smooth = true): void {
  element.focus({ preventScroll: true, focusVisible: true } as FocusOptions);
  element.scrollIntoView({ block: "nearest", inline: "nearest", behavior: smooth && !prefersReducedMotion() ? "smooth" : "instant" });
}

/** Return whether an element handles this arrow key itself. */
function handlesArrow(element: Element | null, direction: Direction): boolean {
  if (!(element instanceof HTMLElement)) return false;
  if (element.dataset.focusOwn?.split(" ").includes(direction)) return true;
  if (element instanceof HTMLSelectElement) return direction === "up" || direction === "down";
  if (element instanceof HTMLInputElement) return inputHandlesArrow(element, direction);
  return element instanceof HTMLTextAreaElement;
}

const TEXT_FIELDS = "input:not([type=checkbox],[type=radio],[type=range],[type=file]),textarea";
const TEXTLESS = new Set(["checkbox", "radio", "button", "submit", "file"]);

function inputHandlesArrow(input: HTMLInputElement, direction: Direction): boolean {
  if (TEXTLESS.has(input.type)) return false;
  if (input.type === "number" || input.type === "range") return true;
  if (direction === "up" || direction === "down") return false;
  // The caret position of an e-mail field is not available: there, left and right stay in the field.
  const at = input.selectionStart;
  if (at === null) return true;
  return direction === "left" ? at > 0 : at < input.value.length;
}

function onArrow(event: KeyboardEvent, direction: Direction): void {
  const active = document.activeElement;
  if (handlesArrow(active, direction)) return;
  const { root, elements } = readTree(findScope());
  const current = active ? getId(active) : "";
  const step = elements.has(current) ? move(root, current, direction, column) : null;
  const target = step?.id ?? (elements.has(current) ? null : findStart(root, elements));
  if (step) column = step.column;
  event.preventDefault();
  const element = target ? elements.get(target) : undefined;
  if (element) focusElement(element, !event.repeat);
}

function findStart(root: Parameters<typeof recover>[0], elements: Map<string, HTMLElement>): string | null {
  const first = [...elements].find(([, element]) => element.dataset.focusFirst !== undefined)?.[0];
  return recover(root, lastBox, first ?? null);
}

function onKey(event: KeyboardEvent): void {
  isKeyboardUsed = true;
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
  const direction = ARROWS[event.key];
  if (direction && !event.shiftKey) return onArrow(event, direction);
  const field = event.target instanceof HTMLElement && event.target.matches(TEXT_FIELDS);
  if (BACK.has(event.key) || (event.key === "Backspace" && !field)) {
    const handler = backHandlers.at(-1);
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

/** Move the focus to the nearest element if the focused one was removed. */
function onMutation(): void {
  if (!lastElement || lastElement.isConnected || document.activeElement !== document.body) return;
  if (!isKeyboardUsed && !isTv()) return;
  const { root, elements } = readTree(findScope());
  const target = recover(root, lastBox);
  const element = target ? elements.get(target) : undefined;
  if (element) focusElement(element, false);
}

/** Handle the arrow and back keys of the page. */
export function startNavigation(): void {
  let frame = 0;
  addEventListener("keydown", onKey);
  addEventListener("pointerdown", () => (isKeyboardUsed = false));
  document.addEventListener("focusin", onFocus);
  new MutationObserver(() => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      onMutation();
    });
  }).observe(document.body, { childList: true, subtree: true });
}

/** Handle the back key while a component is mounted; the handler that was added last is called. */
export function useBack(handler: () => void, active = true): void {
  const latest = useRef(handler);
  latest.current = handler;
  useEffect(() => {
    if (!active) return;
    const entry = () => latest.current();
    backHandlers.push(entry);
    return () => void backHandlers.splice(backHandlers.indexOf(entry), 1);
  }, [active]);
}

/** Focus a page that is ready: the element of the last visit, or its first choice. */
export function useInitialFocus(ready: boolean, always = false): void {
  useEffect(() => {
    if (!ready || !(isKeyboardUsed || isTv() || always)) return;
    const { root, elements } = readTree(findScope());
    const remembered = lastOf.get(location.pathname);
    const target = remembered && elements.has(remembered) ? remembered : findStart(root, elements);
    const element = target ? elements.get(target) : undefined;
    if (!element) return;
    column = null;
    focusElement(element, false);
  }, [ready, always]);
}

/** The element that gets the focus in the next frame. */
let returning: HTMLElement | null = null;

/** Return the element that has the focus, or had it until the page below became inert while the dialog was loaded. */
function findFocused(): Element | null {
  const active = document.activeElement;
  return active === document.body && lastElement?.closest("[inert]") ? lastElement : active;
}

/** Return the focus to the element that had it before a dialog opened, or before the dialog that it replaces. */
export function useReturnFocus(): void {
  useEffect(() => {
    const before = returning ?? findFocused();
    returning = null;
    return () => {
      if (!(before instanceof HTMLElement) || before === document.body) return;
      returning = before;
      // In the next frame, because until then the page behind the dialog is inert.
      requestAnimationFrame(() => {
        if (returning !== before) return;
        returning = null;
        if (before.isConnected) focusElement(before, false);
      });
    };
  }, []);
}
