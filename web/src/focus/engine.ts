/**
 * Where the focus goes when an arrow is pressed: a pure function of a tree of groups and the boxes of its leaves.
 *
 * A group lays its children out along an axis. An arrow along the axis goes to the next child; one across it
 * goes up to the group that has something in that direction. Coming into a group from across, the eye expects
 * the leaf under (or beside) the one it left: `column` is that line, kept while one moves up and down through
 * rows of other widths. A group that remembers is entered where it was left.
 */
export type Direction = "up" | "down" | "left" | "right";
export type Axis = "row" | "column" | "grid";

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export interface Leaf {
  id: string;
  box: Box;
}

export interface Group {
  id: string;
  axis: Axis;
  children: Node[];
  /** Entered where it was left, whatever the column. */
  remembers?: boolean;
}

export type Node = Leaf | Group;

export interface Memory {
  /** The line along which vertical moves go, in pixels from the left. */
  column: number | null;
  /** The leaf that each group was left from. */
  last: Readonly<Record<string, string>>;
}

export const BLANK: Memory = { column: null, last: {} };

export interface Move {
  id: string;
  memory: Memory;
}

export const isGroup = (node: Node): node is Group => "children" in node;

export function leaves(node: Node): Leaf[] {
  return isGroup(node) ? node.children.flatMap(leaves) : [node];
}

/** The nodes from the root down to a leaf; empty when it is not in the tree. */
export function pathTo(root: Node, id: string): Node[] {
  if (root.id === id && !isGroup(root)) return [root];
  if (!isGroup(root)) return [];
  for (const child of root.children) {
    const rest = pathTo(child, id);
    if (rest.length) return [root, ...rest];
  }
  return [];
}

const middle = (box: Box) => (box.left + box.right) / 2;
const height = (box: Box) => (box.top + box.bottom) / 2;

/** How far a box is from a line; nothing while the line crosses it. */
const aside = (low: number, high: number, line: number) => Math.max(low - line, line - high, 0);

function nearest(among: Leaf[], distance: (leaf: Leaf) => number): Leaf | null {
  let best: Leaf | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const leaf of among) {
    const far = distance(leaf);
    if (far < least) [best, least] = [leaf, far];
  }
  return best;
}

/** The leaf of a node that one arrives at. */
function enter(node: Node, direction: Direction, from: Box, memory: Memory): Leaf | null {
  if (!isGroup(node)) return node;
  const all = leaves(node);
  const last = node.remembers ? all.find((leaf) => leaf.id === memory.last[node.id]) : undefined;
  if (last) return last;
  const vertical = direction === "up" || direction === "down";
  if (!vertical && node.axis === "row") return all.at(direction === "right" ? 0 : -1) ?? null;
  if (vertical && node.axis === "column") {
    const order = direction === "down" ? node.children : [...node.children].reverse();
    return first(order, (child) => enter(child, direction, from, memory));
  }
  return vertical ? below(all, direction, memory.column ?? middle(from)) : nearest(all, (leaf) => across(leaf.box, height(from)));
}

const across = (box: Box, line: number) => aside(box.top, box.bottom, line) * 1000 + Math.abs(height(box) - line);

/** The leaf of the first line in a direction that is nearest to a column. */
function below(all: Leaf[], direction: Direction, column: number): Leaf | null {
  const edge = (leaf: Leaf) => (direction === "down" ? leaf.box.top : -leaf.box.bottom);
  const line = Math.min(...all.map(edge));
  const band = all.filter((leaf) => edge(leaf) - line < (leaf.box.bottom - leaf.box.top) / 2);
  return nearest(band, (leaf) => aside(leaf.box.left, leaf.box.right, column) * 1000 + Math.abs(middle(leaf.box) - column));
}

function first<T, R>(among: T[], find: (one: T) => R | null): R | null {
  for (const one of among) {
    const found = find(one);
    if (found !== null) return found;
  }
  return null;
}

/** The next leaf of a grid, by where things are and not by their order. */
function withinGrid(group: Group, from: Leaf, direction: Direction, memory: Memory): Leaf | null {
  const others = leaves(group).filter((leaf) => leaf.id !== from.id);
  const { box } = from;
  const slack = 1;
  if (direction === "left" || direction === "right") {
    const beside = others.filter(
      (leaf) =>
        aside(leaf.box.top, leaf.box.bottom, height(box)) === 0 &&
        (direction === "right" ? leaf.box.left >= box.right - slack : leaf.box.right <= box.left + slack),
    );
    return nearest(beside, (leaf) => Math.abs(middle(leaf.box) - middle(box)));
  }
  const beyond = others.filter((leaf) =>
    direction === "down" ? leaf.box.top >= box.bottom - slack : leaf.box.bottom <= box.top + slack,
  );
  return beyond.length ? below(beyond, direction, memory.column ?? middle(box)) : null;
}

function withinLine(group: Group, child: Node, from: Leaf, direction: Direction, memory: Memory): Leaf | null {
  const along = group.axis === "row" ? ["left", "right"] : ["up", "down"];
  if (!along.includes(direction)) return null;
  const at = group.children.indexOf(child);
  const ahead = direction === "right" || direction === "down" ? group.children.slice(at + 1) : group.children.slice(0, at).reverse();
  return first(ahead, (next) => enter(next, direction, from.box, memory));
}

/** Where an arrow leads from a leaf; `null` where there is nothing, and the focus stays. */
export function move(root: Group, id: string, direction: Direction, memory: Memory): Move | null {
  const path = pathTo(root, id);
  const from = path.at(-1);
  if (!from || isGroup(from)) return null;
  for (let depth = path.length - 2; depth >= 0; depth -= 1) {
    const group = path[depth] as Group;
    const child = path[depth + 1] as Node;
    const target =
      group.axis === "grid" ? withinGrid(group, from, direction, memory) : withinLine(group, child, from, direction, memory);
    if (target) return { id: target.id, memory: remember(root, from, target, direction, memory) };
  }
  return null;
}

function remember(root: Group, from: Leaf, to: Leaf, direction: Direction, memory: Memory): Memory {
  // A row may scroll under a move sideways: its new column is read when one next leaves it.
  const sideways = direction === "left" || direction === "right";
  const column = sideways ? null : (memory.column ?? middle(from.box));
  return visit(root, to.id, visit(root, from.id, { ...memory, column }));
}

/** Notes a leaf as the last one of every group around it. */
export function visit(root: Group, id: string, memory: Memory): Memory {
  const last = { ...memory.last };
  for (const node of pathTo(root, id)) if (isGroup(node)) last[node.id] = id;
  return { ...memory, last };
}

/** Where the focus goes when its leaf is gone: what now lies nearest to where it was. */
export function recover(root: Group, was: Box | null, preferred: string | null = null): string | null {
  const all = leaves(root);
  if (preferred && all.some((leaf) => leaf.id === preferred)) return preferred;
  if (!was) return all[0]?.id ?? null;
  const apart = (leaf: Leaf) => Math.hypot(middle(leaf.box) - middle(was), height(leaf.box) - height(was));
  return nearest(all, apart)?.id ?? null;
}
