/** A page with a grid of titles, of which more are loaded as one scrolls. */
import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import type { Card } from "../api";
import type { Screen } from "../api/screens";
import { useBack, useInitialFocus } from "../focus";
import { back } from "../router";
import { CardSkeleton } from "./Card";
import { ProblemNote, ProblemPage } from "./Field";
import { Grid } from "./Row";

interface Titles {
  cards: Card[];
  next_cursor: string | null;
}

interface GridPageProps {
  /** The name of the page. */
  name: string | undefined;
  /** The place of the grid, of which there is one for each list. */
  place: string;
  /** The first titles. */
  screen: Screen<Titles>;
  loadMore: (cursor: string) => Promise<Titles>;
  empty: string;
  children?: ReactNode;
}

export function GridPage({ name, place, screen: { data, error, reload }, loadMore, empty, children }: GridPageProps) {
  const [rest, setRest] = useState<{ cards: Card[]; cursor: string | null | undefined }>({ cards: [], cursor: undefined });
  const [problem, setProblem] = useState<unknown>(null);
  const loading = useRef(false);
  const loadRef = useRef(loadMore);
  loadRef.current = loadMore;
  useBack(() => back());
  useInitialFocus(data !== undefined);
  useEffect(() => setRest({ cards: [], cursor: undefined }), [place, data]);

  const cursor = rest.cursor === undefined ? data?.next_cursor : rest.cursor;
  const more = useCallback(async () => {
    if (!cursor || loading.current) return;
    loading.current = true;
    setProblem(null);
    try {
      const next = await loadRef.current(cursor);
      setRest((before) => ({ cards: [...before.cards, ...next.cards], cursor: next.next_cursor }));
    } catch (failure) {
      setProblem(failure);
    } finally {
      loading.current = false;
    }
  }, [cursor]);

  if (!data && error) return <ProblemPage problem={error} onRetry={reload} />;
  const cards = data ? [...data.cards, ...rest.cards] : [];
  return (
    <main id="main" className="page" data-focus="column">
      <h1>{name ?? " "}</h1>
      {children}
      {data ? <Grid place={place} cards={cards} onMore={cursor ? more : undefined} /> : <ul className="grid">{Array.from({ length: 12 }, (_, index) => <li key={index}><CardSkeleton /></li>)}</ul>}
      <ProblemNote problem={problem} onRetry={more} />
      {data && cards.length === 0 && <p className="page-empty">{empty}</p>}
    </main>
  );
}
