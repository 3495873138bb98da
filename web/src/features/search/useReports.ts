/** Reports each search that the viewer ends, once; a report that fails is dropped. */
import { useEffect, useState } from "react";
import { api, type OpenedResult, type SearchScreen } from "../../api";
import { createRandomHex } from "../../api/random";
import { getScreen, keepScreen } from "../../api/screens";
import { SearchTracker } from "./ended";
import { getQuery, type SearchState } from "./state";

/** The query whose search has ended, for the return to the page. */
const ENDED = "search:ended";
const MAX_TITLES = 10;

function report({ query, titles, people, genres, correction, partial }: SearchScreen, opened: OpenedResult | null): void {
  const sent = {
    report_id: createRandomHex(16),
    query,
    titles: titles.length,
    people: people.length,
    genres: genres.length,
    title_ids: titles.slice(0, MAX_TITLES).map(({ card }) => card.title_id),
    corrected: correction !== null,
    partial,
    opened,
  };
  api.reportSearch(sent).catch(() => undefined);
}

/** Follow the state of the page; return the function to call when a result is opened. */
export function useReports(state: SearchState): (opened: OpenedResult) => void {
  const [tracker] = useState(() => new SearchTracker(report, getScreen<string | null>(ENDED) ?? null));
  const query = getQuery(state.text);
  const answer = query && !state.isWaiting ? state.screen : null;

  useEffect(() => tracker.change(query, performance.now()), [tracker, query]);
  useEffect(() => {
    if (answer) tracker.show(answer, performance.now());
  }, [tracker, answer]);
  useEffect(() => {
    const leave = () => tracker.leave(performance.now());
    addEventListener("pagehide", leave);
    return () => {
      removeEventListener("pagehide", leave);
      leave();
      keepScreen(ENDED, tracker.endedQuery);
    };
  }, [tracker]);

  return (opened) => {
    if (state.screen) tracker.open(state.screen, opened);
  };
}
