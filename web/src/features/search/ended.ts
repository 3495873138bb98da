/** When a viewer has ended a search, and how. Pure. */
import type { OpenedResult, SearchScreen } from "../../api";

/** A query that was shown for less time was on the way to another one. */
export const STANDING_MS = 1_500;

/** Called once for each search, with what was opened, or null if nothing was. */
export type OnEnd = (screen: SearchScreen, opened: OpenedResult | null) => void;

interface Shown {
  query: string;
  screen: SearchScreen;
}

/** Whether a query goes on with an earlier search: it continues its text, erases some of it or accepts its correction. */
function isContinued({ query, screen }: Shown, next: string): boolean {
  const [before, after] = [query.toLocaleLowerCase(), next.toLocaleLowerCase()];
  return after !== "" && (after.startsWith(before) || before.startsWith(after) || next === screen.correction);
}

/** Follows the queries of the search page. Times are in milliseconds of any clock that does not go back. */
export class SearchTracker {
  private query = "";
  private shown: (Shown & { sinceMs: number }) | null = null;
  /** The last search that was shown for long enough, and that may go on. */
  private held: Shown | null = null;

  /** `ended` is a query whose search has ended already: the page is shown again after another one. */
  constructor(private readonly onEnd: OnEnd, private ended: string | null = null) {}

  /** The query whose search has ended, until it is changed. */
  get endedQuery(): string | null {
    return this.ended;
  }

  /** Handle a query that was typed or opened. */
  change(query: string, nowMs: number): void {
    this.query = query;
    if (this.shown && this.shown.query !== query) {
      if (this.isStanding(this.shown, nowMs)) this.held = this.shown;
      this.shown = null;
    }
    if (query !== this.ended) this.ended = null;
    if (!this.held || query === this.held.query) return;
    if (!isContinued(this.held, query)) this.end(this.held, null);
    else if (query.length > this.held.query.length || query === this.held.screen.correction) this.held = null;
  }

  /** Handle an answer to the query that is shown. */
  show(screen: SearchScreen, nowMs: number): void {
    this.shown = { query: this.query, screen, sinceMs: this.shown?.sinceMs ?? nowMs };
  }

  /** Handle a result that is opened, which may be that of an earlier query whose answer is still shown. */
  open(screen: SearchScreen, opened: OpenedResult): void {
    if (this.query === this.ended) return;
    this.ended = this.query;
    this.end({ query: this.query, screen }, opened);
  }

  /** Handle the end of the page. */
  leave(nowMs: number): void {
    if (this.shown && this.isStanding(this.shown, nowMs)) {
      this.ended = this.query;
      this.end(this.shown, null);
    } else if (this.held) this.end(this.held, null);
  }

  private isStanding({ query, sinceMs }: { query: string; sinceMs: number }, nowMs: number): boolean {
    return query !== this.ended && nowMs - sinceMs >= STANDING_MS;
  }

  private end({ screen }: Shown, opened: OpenedResult | null): void {
    this.held = null;
    this.onEnd(screen, opened);
  }
}
