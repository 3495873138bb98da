import { describe, expect, it } from "vitest";
import { BLANK, type Direction, type Group, type Leaf, leaves, type Memory, move, pathTo, recover, visit } from "../src/focus/engine";

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

function walk(root: Group, from: string, ...directions: Direction[]): string {
  let memory: Memory = BLANK;
  let at = from;
  for (const direction of directions) {
    const step = move(root, at, direction, memory);
    if (step) [at, memory] = [step.id, step.memory];
  }
  return at;
}

describe("along a row", () => {
  it("goes card by card and stops at both ends", () => {
    expect(walk(home, "a0", "right", "right")).toBe("a2");
    expect(walk(home, "a0", "left")).toBe("a0");
    expect(walk(home, "a4", "right")).toBe("a4");
  });
});

describe("from row to row", () => {
  it("comes to the card under the one it left", () => {
    expect(walk(home, "a1", "down")).toBe("b1");
    expect(walk(home, "a4", "down", "down")).toBe("c1");
  });

  it("keeps the column through a shorter row", () => {
    expect(walk(home, "a4", "down")).toBe("b2");
    expect(walk(home, "a4", "down", "down", "up", "up")).toBe("a4");
  });

  it("takes a new column when it moves sideways", () => {
    expect(walk(home, "a4", "down", "left", "up")).toBe("a1");
  });

  it("stays at the top and the bottom of the page", () => {
    expect(walk(home, "head0", "up")).toBe("head0");
    expect(walk(home, "c0", "down")).toBe("c0");
  });

  it("skips a group with nothing in it", () => {
    const page: Group = { ...home, children: [row("a", 0, [0]), row("none", 100, []), row("b", 200, [0])] };
    expect(walk(page, "a0", "down")).toBe("b0");
  });
});

describe("in a grid", () => {
  const grid: Group = { id: "grid", axis: "grid", children: [0, 1, 2, 3, 4, 5, 6, 7].map((n) => leaf(`g${n}`, (n % 3) * 110, Math.floor(n / 3) * 100)) };
  const page: Group = { id: "page", axis: "column", children: [row("head", -200, [0, 110, 220]), grid, row("foot", 400, [0])] };

  it("moves by where things are", () => {
    expect(walk(page, "g4", "up")).toBe("g1");
    expect(walk(page, "g4", "down")).toBe("g7");
    expect(walk(page, "g4", "left")).toBe("g3");
    expect(walk(page, "g5", "right")).toBe("g5");
  });

  it("comes to the nearest of a last line that is not full", () => {
    expect(walk(page, "g5", "down")).toBe("g7");
  });

  it("is left at its edges and entered from below at its last line", () => {
    expect(walk(page, "g1", "up")).toBe("head1");
    expect(walk(page, "g7", "down")).toBe("foot0");
    expect(walk(page, "foot0", "up")).toBe("g6");
  });
});

describe("what is remembered", () => {
  it("enters a remembering group where it was left", () => {
    const tabs: Group = { ...row("tabs", 0, [0, 110, 220]), remembers: true };
    const page: Group = { id: "page", axis: "column", children: [tabs, row("a", 100, [0, 110, 220])] };
    const memory = visit(page, "tabs2", BLANK);
    expect(move(page, "a0", "up", memory)?.id).toBe("tabs2");
  });

  it("forgets a leaf that is gone", () => {
    const tabs: Group = { ...row("tabs", 0, [0, 110]), remembers: true };
    const page: Group = { id: "page", axis: "column", children: [tabs, row("a", 100, [0, 110])] };
    expect(move(page, "a1", "up", { column: null, last: { tabs: "tabs9" } })?.id).toBe("tabs1");
  });
});

describe("a focus that is never lost", () => {
  it("goes to what lies nearest to where it was", () => {
    expect(recover(home, { left: 215, top: 395, right: 315, bottom: 455 })).toBe("a2");
  });

  it("prefers what it is told to, where that is there", () => {
    expect(recover(home, null, "b1")).toBe("b1");
    expect(recover(home, null, "gone")).toBe("head0");
  });

  it("has nowhere to go on an empty page", () => {
    expect(recover({ id: "page", axis: "column", children: [] }, null)).toBeNull();
  });

  it("never leaves the tree, whatever is pressed", () => {
    const all = leaves(home).map((one) => one.id);
    let [at, memory, seed] = ["a0", BLANK as Memory, 7];
    for (let press = 0; press < 2000; press += 1) {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      const step = move(home, at, (["up", "down", "left", "right"] as const)[seed % 4] ?? "up", memory);
      if (step) [at, memory] = [step.id, step.memory];
      expect(all).toContain(at);
    }
  });

  it("reaches every leaf from every leaf", () => {
    for (const from of leaves(home)) {
      const seen = new Set([from.id]);
      const queue = [from.id];
      for (let id = queue.pop(); id; id = queue.pop()) {
        for (const direction of ["up", "down", "left", "right"] as const) {
          const next = move(home, id, direction, BLANK)?.id;
          if (next && !seen.has(next)) seen.add(next) && queue.push(next);
        }
      }
      expect(seen.size).toBe(leaves(home).length);
    }
  });

  it("ignores a focus that is not in the tree", () => {
    expect(move(home, "elsewhere", "down", BLANK)).toBeNull();
    expect(pathTo(home, "elsewhere")).toEqual([]);
  });
});
