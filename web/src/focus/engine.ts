/**
 * Spatial navigation: the next focus for an arrow key, as a pure function of a tree of groups and the boxes of leaves.
 *
 * A group arranges its children along an axis. An arrow along the axis moves to the next child; an arrow across it
 * moves to the nearest enclosing group with a child in that direction. A group entered from above or below is entered
 * at the leaf closest to `column`, which is kept while the focus moves up and down through rows of different widths.
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
}

export type Node = Leaf | Group;

/** The horizontal position that vertical moves keep, in pixels from the left; `null` takes that of the current leaf. */
export type Column = number | null;

export interface Move {
  id: string;
  column: Column;
}

export const isGroup = (node: Node): node is Group => "children" in node;

export function listLeaves(node: Node): Leaf[] {
  return isGroup(node) ? node.children.flatMap(listLeaves) : [node];
}

/** Return the nodes from the root to a leaf, or an empty list if it is not in the tree. */
export function findPath(root: Node, id: string): Node[] {
  if (root.id === id && !isGroup(root)) return [root];
  if (!isGroup(root)) return [];
  for (const child of root.children) {
    const rest = findPath(child, id);
    if (rest.length) return [root, ...rest];
  }
  return [];
}

const isVertical = (direction: Direction) => direction === "up" || direction === "down";
const centerX = (box: Box) => (box.left + box.right) / 2;
const centerY = (box: Box) => (box.top + box.bottom) / 2;

/** Return the distance of a range from a line, 0 if the range contains it. */
const distanceTo = (low: number, high: number, line: number) => Math.max(low - line, line - high, 0);

function findNearest(among: Leaf[], distance: (leaf: Leaf) => number): Leaf | null {
  let best: Leaf | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const leaf of among) {
    const far = distance(leaf);
    if (far < least) [best, least] = [leaf, far];
  }
  return best;
}

/** Find the leaf that gets the focus when a node is entered. */
function enter(node: Node, direction: Direction, from: Box, column: Column): Leaf | null {
  if (!isGroup(node)) return node;
  const all = listLeaves(node);
  const vertical = isVertical(direction);
  if (!vertical && node.axis === "row") return all.at(direction === "right" ? 0 : -1) ?? null;
  if (vertical && node.axis === "column") {
    const order = direction === "down" ? node.children : [...node.children].reverse();
    return findFirst(order, (child) => enter(child, direction, from, column));
  }
  return vertical ? findInNextLine(all, direction, column ?? centerX(from)) : findNearest(all, (leaf) => weighDistance(leaf.box, from));
}

/** Weigh how far a box is from the line of another one; of boxes on one line the nearer one is chosen. */
const weighDistance = (box: Box, from: Box) =>
  distanceTo(box.top, box.bottom, centerY(from)) * 1000 + Math.abs(centerY(box) - centerY(from)) + Math.abs(centerX(box) - centerX(from)) / 1000;

/** Find the leaf of the first line in a direction that is nearest to a column. */
function findInNextLine(all: Leaf[], direction: Direction, column: number): Leaf | null {
  const edge = (leaf: Leaf) => (direction === "down" ? leaf.box.top : -leaf.box.bottom);
  const line = Math.min(...all.map(edge));
  const band = all.filter((leaf) => edge(leaf) - line < (leaf.box.bottom - leaf.box.top) / 2);
  return findNearest(band, (leaf) => distanceTo(leaf.box.left, leaf.box.right, column) * 1000 + Math.abs(centerX(leaf.box) - column));
}

function findFirst<T, R>(among: T[], find: (one: T) => R | null): R | null {
  for (const one of among) {
    const found = find(one);
    if (found !== null) return found;
  }
  return null;
}

/** Find the next leaf of a grid by position. */
function moveInGrid(group: Group, from: Leaf, direction: Direction, column: Column): Leaf | null {
  const others = listLeaves(group).filter((leaf) => leaf.id !== from.id);
  const { box } = from;
  const slack = 1;
  if (!isVertical(direction)) {
    const beside = others.filter(
      (leaf) =>
        distanceTo(leaf.box.top, leaf.box.bottom, centerY(box)) === 0 &&
        (direction === "right" ? leaf.box.left >= box.right - slack : leaf.box.right <= box.left + slack),
    );
    return findNearest(beside, (leaf) => Math.abs(centerX(leaf.box) - centerX(box)));
  }
  const beyond = others.filter((leaf) =>
    direction === "down" ? leaf.box.top >= box.bottom - slack : leaf.box.bottom <= box.top + slack,
  );
  return beyond.length ? findInNextLine(beyond, direction, column ?? centerX(box)) : null;
}

function moveInLine(group: Group, child: Node, from: Leaf, direction: Direction, column: Column): Leaf | null {
  const along = group.axis === "row" ? ["left", "right"] : ["up", "down"];
  if (!along.includes(direction)) return null;
  const at = group.children.indexOf(child);
  const ahead = direction === "right" || direction === "down" ? group.children.slice(at + 1) : group.children.slice(0, at).reverse();
  return findFirst(ahead, (next) => enter(next, direction, from.box, column));
}

/** Find the target of an arrow key from a leaf; `null` if the focus stays. */
export function move(root: Group, id: string, direction: Direction, column: Column): Move | null {
  const path = findPath(root, id);
  const from = path.at(-1);
  if (!from || isGroup(from)) return null;
  for (let depth = path.length - 2; depth >= 0; depth -= 1) {
    const group = path[depth] as Group;
    const child = path[depth + 1] as Node;
    const target =
      group.axis === "grid" ? moveInGrid(group, from, direction, column) : moveInLine(group, child, from, direction, column);
    // A row may scroll under a horizontal move: its new column is computed at the next vertical move.
    if (target) return { id: target.id, column: isVertical(direction) ? (column ?? centerX(from.box)) : null };
  }
  return null;
}

/** Find the new focus after its leaf was removed: the leaf nearest to the old position. */
export function recover(root: Group, was: Box | null, preferred: string | null = null): string | null {
  const all = listLeaves(root);
  if (preferred && all.some((leaf) => leaf.id === preferred)) return preferred;
  if (!was) return all[0]?.id ?? null;
  const distance = (leaf: Leaf) => Math.hypot(centerX(leaf.box) - centerX(was), centerY(leaf.box) - centerY(was));
  return findNearest(all, distance)?.id ?? null;
}
