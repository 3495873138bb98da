/** What the search page shows while a query is typed. Pure. */
import type { SearchScreen } from "../../api";

/** The time without a further keystroke after which a query is sent. */
export const DEBOUNCE_MS = 120;
/** A longer query is cut by the server. */
export const MAX_QUERY_LENGTH = 200;

export interface SearchState {
  text: string;
  /** The number of the last change of the query; an answer to an earlier one is dropped. */
  sequence: number;
  /** How long to wait for another change before the query is sent. */
  delayMs: number;
  isWaiting: boolean;
  /** The last answer, which stays until the next one arrives. */
  screen: SearchScreen | null;
  problem: unknown;
}

export type SearchAction =
  /** The viewer changes the text. */
  | { kind: "type"; text: string }
  /** A link or the browser's history leads to a query. */
  | { kind: "open"; text: string }
  | { kind: "retry" }
  | { kind: "answer"; sequence: number; screen: SearchScreen }
  | { kind: "fail"; sequence: number; problem: unknown };

export const getQuery = (text: string): string => text.trim();

/** Create the state of a page that is opened with a query; `screen` is an earlier answer to it. */
export function createState(text: string, screen: SearchScreen | null = null): SearchState {
  return { text, sequence: 0, delayMs: 0, isWaiting: getQuery(text) !== "", screen, problem: null };
}

export function reduceSearch(state: SearchState, action: SearchAction): SearchState {
  switch (action.kind) {
    case "type":
      return changeText(state, action.text, DEBOUNCE_MS);
    case "open":
      return changeText(state, action.text, 0);
    case "retry":
      return { ...state, sequence: state.sequence + 1, delayMs: 0, isWaiting: getQuery(state.text) !== "", problem: null };
    case "answer":
      return action.sequence === state.sequence ? { ...state, isWaiting: false, screen: action.screen, problem: null } : state;
    case "fail":
      // The earlier results do not answer the query that failed.
      return action.sequence === state.sequence ? { ...state, isWaiting: false, screen: null, problem: action.problem } : state;
  }
}

function changeText(state: SearchState, text: string, delayMs: number): SearchState {
  const query = getQuery(text);
  if (query === getQuery(state.text) && !state.problem) return { ...state, text };
  const next = { ...state, text, sequence: state.sequence + 1, delayMs, problem: null };
  return query ? { ...next, isWaiting: true } : { ...next, isWaiting: false, screen: null };
}
