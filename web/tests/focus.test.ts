import { describe, expect, it } from "vitest";
import { type Column, type Direction, findPath, type Group, type Leaf, listLeaves, move, recover } from "../src/focus/engine";

const leaf = (id: string, left: number, top: number, width = 100, height = 60): Leaf => ({ id, box: { left, top, right: left + width, bottom: top + height } });
const row = (id: string, top: number, lefts: number[], width = 100): Group => ({ id, axis: "row", children: lefts.map((left, index) => leaf(`${id}${index}`, left, top, width)) });

/** A home page: a header, two buttons, two rows of cards and one with wide cards. */
const home: Group = {
  id: "page",
  axis: "column",
  children: [
    row("head", 0, [0, 200, 1000]),
    row("play", 200, [0, 150], 140),
    row("a", 400, [0, 110, 220, 330, 440]),
    row("b", 500, [0, 110, 220]),
    row("c", 600, [0, 250, 500], 240),
  ],
};

function press(root: Group, from: string, ...directions: Direction[]): string {
  let column: Column = null;
  let at = from;
  for (const direction of directions) {
    const step = move(root, at, direction, column);
    if (step) [at, column] = [step.id, step.column];
  }
  return at;
}

describe("along a row", () => {
  it("moves card by card and stops at both ends", () => {
    expect(press(home, "a0", "right", "right")).toBe("a2");
    expect(press(home, "a0", "left")).toBe("a0");
    expect(press(home, "a4", "right")).toBe("a4");
  });
});

describe("from row to row", () => {
  it("moves to the card below", () => {
    expect(press(home, "a1", "down")).toBe("b1");
    expect(press(home, "a4", "down", "down")).toBe("c1");
  });

  it("keeps the column through a shorter row", () => {
    expect(press(home, "a4", "down")).toBe("b2");
    expect(press(home, "a4", "down", "down", "up", "up")).toBe("a4");
  });

  it("takes a new column after a horizontal move", () => {
    expect(press(home, "a4", "down", "left", "up")).toBe("a1");
  });

  it("stays at the top and the bottom of the page", () => {
    expect(press(home, "head0", "up")).toBe("head0");
    expect(press(home, "c0", "down")).toBe("c0");
  });

  it("skips an empty group", () => {
    const page: Group = { ...home, children: [row("a", 0, [0]), row("none", 100, []), row("b", 200, [0])] };
    expect(press(page, "a0", "down")).toBe("b0");
  });
});

describe("in a grid", () => {
  const grid: Group = { id: "grid", axis: "grid", children: [0, 1, 2, 3, 4, 5, 6, 7].map((n) => leaf(`g${n}`, (n % 3) * 110, Math.floor(n / 3) * 100)) };
  const page: Group = { id: "page", axis: "column", children: [row("head", -200, [0, 110, 220]), grid, row("foot", 400, [0])] };

  it("moves by position", () => {
    expect(press(page, "g4", "up")).toBe("g1");
    expect(press(page, "g4", "down")).toBe("g7");
    expect(press(page, "g4", "left")).toBe("g3");
    expect(press(page, "g5", "right")).toBe("g5");
  });

  it("moves to the nearest leaf of an incomplete last line", () => {
    expect(press(page, "g5", "down")).toBe("g7");
  });

  it("is left at its edges and entered from below at its last line", () => {
    expect(press(page, "g1", "up")).toBe("head1");
    expect(press(page, "g7", "down")).toBe("foot0");
    expect(press(page, "foot0", "up")).toBe("g6");
  });
});

describe("recovering the focus", () => {
  it("moves to the nearest leaf", () => {
    expect(recover(home, { left: 215, top: 395, right: 315, bottom: 455 })).toBe("a2");
  });

  it("moves to the preferred leaf if it exists", () => {
    expect(recover(home, null, "b1")).toBe("b1");
    expect(recover(home, null, "gone")).toBe("head0");
  });

  it("finds nothing on an empty page", () => {
    expect(recover({ id: "page", axis: "column", children: [] }, null)).toBeNull();
  });

  it("never leaves the tree", () => {
    const all = listLeaves(home).map((one) => one.id);
    let [at, column, seed] = ["a0", null as Column, 7];
    for (let count = 0; count < 2000; count += 1) {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      const step = move(home, at, (["up", "down", "left", "right"] as const)[seed % 4] ?? "up", column);
      if (step) [at, column] = [step.id, step.column];
      expect(all).toContain(at);
    }
  });

  it("reaches every leaf from every leaf", () => {
    for (const from of listLeaves(home)) {
      const reached = new Set([from.id]);
      const queue = [from.id];
      for (let id = queue.pop(); id; id = queue.pop()) {
        for (const direction of ["up", "down", "left", "right"] as const) {
          const next = move(home, id, direction, null)?.id;
          if (next && !reached.has(next)) reached.add(next) && queue.push(next);
        }
      }
      expect(reached.size).toBe(listLeaves(home).length);
    }
  });

  it("ignores a focus that is not in the tree", () => {
    expect(move(home, "elsewhere", "down", null)).toBeNull();
    expect(findPath(home, "elsewhere")).toEqual([]);
  });
});
