/**
 * The focus tree of the page: `data-focus` marks groups, focusable elements are leaves. Elements with
 * `data-focus-skip` are reached with the Tab key only.
 */
import type { Axis, Box, Group, Node } from "./engine";

const LEAF = "a[href],button,input,select,textarea,[tabindex]";
const AXES: readonly string[] = ["row", "column", "grid"];

const ids = new WeakMap<Element, string>();
let counter = 0;

/** Return the id of an element: `data-focus-id`, which is stable across visits, or a generated one. */
export function getId(element: Element): string {
  const own = (element as HTMLElement).dataset?.focusId;
  if (own) return own;
  let id = ids.get(element);
  if (!id) ids.set(element, (id = `#${++counter}`));
  return id;
}

export interface Tree {
  root: Group;
  elements: Map<string, HTMLElement>;
}

/** Find the part of the page in which the focus may move: the topmost dialog or page. */
export function findScope(): HTMLElement {
  const scopes = document.querySelectorAll<HTMLElement>("[data-focus-scope]");
  return [...scopes].findLast((one) => !one.closest("[inert]")) ?? document.body;
}

const toBox = ({ left, top, right, bottom }: DOMRect): Box => ({ left, top, right, bottom });

function isFocusable(element: HTMLElement): boolean {
  if (!element.matches(LEAF) || element.tabIndex < 0) return false;
  if ((element as HTMLButtonElement).disabled) return false;
  const { width, height } = element.getBoundingClientRect();
  return width > 0 && height > 0;
}

function read(element: HTMLElement, elements: Map<string, HTMLElement>): Node[] {
  if (element.inert || element.hidden || element.ariaHidden === "true" || element.dataset.focusSkip !== undefined) return [];
  if (isFocusable(element)) {
    const id = getId(element);
    elements.set(id, element);
    return [{ id, box: toBox(element.getBoundingClientRect()) }];
  }
  const children = [...element.children].flatMap((child) => (child instanceof HTMLElement ? read(child, elements) : []));
  const axis = element.dataset.focus;
  if (!axis || !AXES.includes(axis)) return children;
  if (!children.length) return [];
  return [{ id: getId(element), axis: axis as Axis, children }];
}

export function readTree(from: HTMLElement): Tree {
  const elements = new Map<string, HTMLElement>();
  const children = [...from.children].flatMap((child) => (child instanceof HTMLElement ? read(child, elements) : []));
  const axis = (from.dataset.focus ?? "column") as Axis;
  return { root: { id: getId(from), axis, children }, elements };
}
