/** The query of the search page: in its field, in the address and at the server. */
import { type Dispatch, useEffect, useReducer, useRef, useState } from "react";
import { api, type SearchScreen } from "../../api";
import { getScreen, keepScreen } from "../../api/screens";
import { go, paths } from "../../router";
import { createState, getQuery, reduceSearch, type SearchAction, type SearchState } from "./state";

/** The answer to the last query, for the return to the page. */
const LAST = "search:last";
interface Last {
  query: string;
  screen: SearchScreen;
}

function open(query: string): SearchState {
  const last = getScreen<Last>(LAST);
  return createState(query, last?.query === query ? last.screen : null);
}

/** Write the query to the address, unless another page was opened in the meantime. */
function writeAddress(query: string): void {
  if (location.pathname === paths.search() && location.pathname + location.search !== paths.search(query)) go(paths.search(query), { replace: true });
}

/** Search for `query`, which is that of the address, and for what is typed. */
export function useSearch(query: string): [SearchState, Dispatch<SearchAction>] {
  const [state, dispatch] = useReducer(reduceSearch, query, open);
  const { sequence } = state;
  const latest = useRef(state);
  latest.current = state;
  const written = useRef(query);

  useEffect(() => {
    if (query === written.current) return;
    written.current = query;
    dispatch({ kind: "open", text: query });
  }, [query]);

  useEffect(() => {
    const { text, delayMs, isWaiting } = latest.current;
    const wanted = getQuery(text);
    const abort = new AbortController();
    const send = async () => {
      written.current = wanted;
      writeAddress(wanted);
      if (!isWaiting) return;
      try {
        const screen = await api.search(wanted, abort.signal);
        if (abort.signal.aborted) return;
        keepScreen<Last>(LAST, { query: wanted, screen });
        dispatch({ kind: "answer", sequence, screen });
      } catch (problem) {
        if (!abort.signal.aborted) dispatch({ kind: "fail", sequence, problem });
      }
    };
    const timer = setTimeout(() => void send(), delayMs);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [sequence]);

  return [state, dispatch];
}

const SLOW_MS = 300;

/** Return whether the present query has been waiting for long enough to say so. */
export function useSlow({ isWaiting, sequence }: SearchState): boolean {
  const [slow, setSlow] = useState(-1);
  useEffect(() => {
    if (!isWaiting) return;
    const timer = setTimeout(() => setSlow(sequence), SLOW_MS);
    return () => clearTimeout(timer);
  }, [isWaiting, sequence]);
  return isWaiting && slow === sequence;
}
