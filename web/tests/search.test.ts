import { describe, expect, it } from "vitest";
import type { SearchScreen } from "../src/api/types";
import { splitHighlights } from "../src/features/search/highlights";
import { addRecent, MAX_RECENT, parseRecent } from "../src/features/search/recent";
import { createState, DEBOUNCE_MS, reduceSearch, type SearchAction, type SearchState } from "../src/features/search/state";

const createScreen = (query: string): SearchScreen => ({ query, titles: [], people: [], genres: [], correction: null, partial: false, trending: [], initials: [] });
const apply = (state: SearchState, ...actions: SearchAction[]) => actions.reduce(reduceSearch, state);
const answer = (sequence: number, query: string): SearchAction => ({ kind: "answer", sequence, screen: createScreen(query) });

describe("a search", () => {
  it("drops a late answer to an earlier keystroke", () => {
    const typed = apply(createState(""), { kind: "type", text: "s" }, { kind: "type", text: "st" });
    expect(typed.sequence).toBe(2);
    const answered = apply(typed, answer(2, "st"), answer(1, "s"));
    expect([answered.screen?.query, answered.isWaiting]).toEqual(["st", false]);
    expect(apply(typed, answer(1, "s"))).toBe(typed);
    expect(apply(typed, { kind: "fail", sequence: 1, problem: "late" })).toBe(typed);
  });

  it("shows the previous results until new ones arrive", () => {
    const first = apply(createState("s"), answer(0, "s"));
    const waiting = apply(first, { kind: "type", text: "st" });
    expect([waiting.screen?.query, waiting.isWaiting, waiting.delayMs]).toEqual(["s", true, DEBOUNCE_MS]);
    const failed = apply(waiting, { kind: "fail", sequence: 1, problem: "offline" });
    // The earlier results do not answer this query; the same text is sent again.
    expect([failed.screen, failed.problem, failed.isWaiting]).toEqual([null, "offline", false]);
    expect(apply(failed, { kind: "type", text: `${failed.text} ` })).toMatchObject({ sequence: failed.sequence + 1, isWaiting: true, problem: null });
    const again = apply(failed, { kind: "retry" });
    expect([again.sequence, again.isWaiting, again.problem, again.delayMs]).toEqual([2, true, null, 0]);
  });

  it("is not repeated for spaces around the query", () => {
    const first = apply(createState("the"), answer(0, "the"));
    expect(apply(first, { kind: "type", text: "the " })).toEqual({ ...first, text: "the " });
    expect(apply(first, { kind: "type", text: "the m" }).sequence).toBe(1);
  });

  it("has no results without a query, also where an answer arrives later", () => {
    const erased = apply(createState("s"), { kind: "type", text: "" }, answer(0, "s"));
    expect([erased.screen, erased.isWaiting, erased.sequence]).toEqual([null, false, 1]);
    expect(createState(" ").isWaiting).toBe(false);
  });

  it("is sent at once for a link", () => {
    const opened = apply(createState("s"), { kind: "open", text: "Ada Lovelace" });
    expect([opened.delayMs, opened.isWaiting, opened.text]).toEqual([0, true, "Ada Lovelace"]);
    expect(createState("s", createScreen("s"))).toMatchObject({ isWaiting: true, screen: { query: "s" } });
  });
});

describe("the highlights of a name", () => {
  const mark = (text: string, ...ranges: [number, number][]) =>
    splitHighlights(text, ranges.map(([start, end]) => ({ start, end }))).map((part) => (part.isMarked ? `[${part.text}]` : part.text)).join("");

  it("are counted in code points", () => {
    expect(mark("🎬 Salt", [2, 4])).toBe("🎬 [Sa]lt");
    expect(mark("𠮷野家", [0, 1])).toBe("[𠮷]野家");
  });

  it("may be several, overlap, and reach beyond the name", () => {
    expect(mark("spider man", [0, 3], [7, 10])).toBe("[spi]der [man]");
    expect(mark("spider", [0, 3], [2, 4])).toBe("[spid]er");
    expect(mark("salt", [2, 9])).toBe("sa[lt]");
    expect(mark("salt", [3, 1])).toBe("salt");
  });

  it("may be none", () => {
    expect(splitHighlights("Salt", [])).toEqual([{ text: "Salt", isMarked: false }]);
    expect(splitHighlights("", [{ start: 0, end: 1 }])).toEqual([]);
  });
});

describe("recent searches", () => {
  it("are the newest first, each once", () => {
    expect(addRecent(["salt", "snow"], " Snow ")).toEqual(["Snow", "salt"]);
    expect(addRecent(["salt"], "  ")).toEqual(["salt"]);
  });

  it("are limited", () => {
    const many = Array.from({ length: MAX_RECENT }, (_, index) => `film ${index}`);
    expect(addRecent(many, "new")).toEqual(["new", ...many.slice(0, MAX_RECENT - 1)]);
  });

  it("are none where the stored text cannot be read", () => {
    expect(parseRecent(null)).toEqual([]);
    expect(parseRecent("{")).toEqual([]);
    expect(parseRecent('{"a":1}')).toEqual([]);
    expect(parseRecent('["a",1,"","b"]')).toEqual(["a", "b"]);
  });
});
