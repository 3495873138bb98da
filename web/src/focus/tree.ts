/**
 * The focus tree, read from the page: `data-focus` marks groups, whatever takes the focus is a leaf, unless
 * `data-focus-skip` keeps it for the Tab key alone.
 */
import type { Axis, Box, Group, Node } from "./engine";

const LEAF = "a[href],button,input,select,textarea,[tabindex]";
const AXES: readonly string[] = ["row", "column", "grid"];

const ids = new WeakMap<Element, string>();
let counter = 0;

/** The id of an element: its own, stable across visits, or one made for as long as it is there. */
export function idOf(element: Element): string {
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

/** The part of the page that the focus may move in: the topmost dialog or page. */
export function scope(): HTMLElement {
  const scopes = document.querySelectorAll<HTMLElement>("[data-focus-scope]");
  return [...scopes].findLast((one) => !one.closest("[inert]")) ?? document.body;
}

const box = ({ left, top, right, bottom }: DOMRect): Box => ({ left, top, right, bottom });

function takesFocus(element: HTMLElement): boolean {
  if (!element.matches(LEAF) || element.tabIndex < 0) return false;
  if ((element as HTMLButtonElement).disabled) return false;
  const { width, height } = element.getBoundingClientRect();
  return width > 0 && height > 0;
}

function read(element: HTMLElement, elements: Map<string, HTMLElement>): Node[] {
  if (element.inert || element.hidden || element.ariaHidden === "true" || element.dataset.focusSkip !== undefined) return [];
  if (takesFocus(element)) {
    const id = idOf(element);
    elements.set(id, element);
    return [{ id, box: box(element.getBoundingClientRect()) }];
  }
  const children = [...element.children].flatMap((child) => (child instanceof HTMLElement ? read(child, elements) : []));
  const axis = element.dataset.focus;
  if (!axis || !AXES.includes(axis)) return children;
  if (!children.length) return [];
  return [{ id: idOf(element), axis: axis as Axis, children, remembers: element.dataset.focusRemembers !== undefined }];
}

export function readTree(from: HTMLElement): Tree {
  const elements = new Map<string, HTMLElement>();
  const children = [...from.children].flatMap((child) => (child instanceof HTMLElement ? read(child, elements) : []));
  const axis = (from.dataset.focus ?? "column") as Axis;
  return { root: { id: idOf(from), axis, children }, elements };
}
