import { describe, expect, it } from "vitest";
import type { OpenedResult, SearchScreen } from "../src/api/types";
import { SearchTracker, STANDING_MS } from "../src/features/search/ended";

const TITLE: OpenedResult = { kind: "title", id: "tit_1", position: 1 };
const createScreen = (query: string, correction: string | null = null): SearchScreen => ({ query, titles: [], people: [], genres: [], correction, partial: false, trending: [], initials: [] });

/** A page, a clock, and the searches that have ended: `+` after those from which something was opened. */
function createPage(ended: string | null = null) {
  let nowMs = 0;
  const reported: string[] = [];
  const tracker = new SearchTracker((screen, opened) => reported.push(`${screen.query}${opened ? "+" : ""}`), ended);
  const wait = (ms = STANDING_MS) => void (nowMs += ms);
  return {
    tracker,
    reported,
    wait,
    search: (query: string, forMs = STANDING_MS, correction: string | null = null) => {
      tracker.change(query, nowMs);
      tracker.show(createScreen(query, correction), nowMs);
      wait(forMs);
    },
    change: (query: string) => tracker.change(query, nowMs),
    open: (query: string) => tracker.open(createScreen(query), TITLE),
    leave: () => tracker.leave(nowMs),
  };
}

describe("the end of a search", () => {
  it("is one for a query that was typed letter by letter, and opened", () => {
    const page = createPage();
    for (const query of ["d", "du", "dun", "dune"]) page.search(query, 2_000);
    page.open("dune");
    page.open("dune");
    page.wait();
    page.leave();
    expect(page.reported).toEqual(["dune+"]);
  });

  it("is leaving, if the query stood for long enough", () => {
    const [standing, passing] = [createPage(), createPage()];
    standing.search("dune");
    standing.leave();
    standing.leave();
    passing.search("dune", STANDING_MS - 1);
    passing.leave();
    expect([standing.reported, passing.reported]).toEqual([["dune"], []]);
  });

  it("is another query, but not more or less of the same", () => {
    const page = createPage();
    page.search("star", 2_000);
    page.search("Star wars", 2_000);
    page.search("star w", 100);
    page.search("star trek", 100);
    expect(page.reported).toEqual(["Star wars"]);
    page.leave();
    expect(page.reported).toEqual(["Star wars"]);
  });

  it("is erasing, at once or letter by letter", () => {
    const page = createPage();
    page.search("dune");
    page.change("");
    page.search("salt");
    for (const query of ["sal", "sa", "s"]) page.search(query, 100);
    expect(page.reported).toEqual(["dune"]);
    page.change("");
    expect(page.reported).toEqual(["dune", "salt"]);
  });

  it("is not a correction that is accepted", () => {
    const page = createPage();
    page.search("dnue", 2_000, "dune");
    page.search("dune");
    page.leave();
    expect(page.reported).toEqual(["dune"]);
  });

  it("is that of the results on the page while the next ones are fetched", () => {
    const page = createPage();
    page.search("sal", 200);
    page.change("salt");
    page.open("sal");
    page.search("salt");
    page.leave();
    expect(page.reported).toEqual(["sal+"]);
  });

  it("is not repeated when the page is shown again, but by a new search for the same", () => {
    const before = createPage();
    before.search("dune");
    before.open("dune");
    expect(before.tracker.endedQuery).toBe("dune");
    const page = createPage("dune");
    page.search("dune");
    page.leave();
    expect(page.reported).toEqual([]);
    page.change("");
    page.search("dune");
    page.leave();
    expect(page.reported).toEqual(["dune"]);
  });
});
