/** The titles of a genre. */
import { useCallback, useEffect, useRef, useState } from "react";
import { api, type Card } from "../../api";
import { useScreen } from "../../api/screens";
import { useInitialFocus, useBack } from "../../focus";
import { useText } from "../../i18n";
import { back } from "../../router";
import { CardSkeleton } from "../../ui/Card";
import { ProblemNote, ProblemPage } from "../../ui/Field";
import { Grid } from "../../ui/Row";
import { useTitle } from "../../ui/title";

export default function GenrePage({ genreId }: { genreId: string }) {
  const { t } = useText();
  const { data, error, reload } = useScreen(`genre:${genreId}`, () => api.getGenre(genreId));
  useTitle(data?.genre.name);
  const [rest, setRest] = useState<{ cards: Card[]; cursor: string | null | undefined }>({ cards: [], cursor: undefined });
  const [problem, setProblem] = useState<unknown>(null);
  const loading = useRef(false);
  useBack(() => back());
  useInitialFocus(data !== undefined);
  useEffect(() => setRest({ cards: [], cursor: undefined }), [genreId, data]);

  const cursor = rest.cursor === undefined ? data?.next_cursor : rest.cursor;
  const more = useCallback(async () => {
    if (!cursor || loading.current) return;
    loading.current = true;
    setProblem(null);
    try {
      const next = await api.getGenre(genreId, cursor);
      setRest((before) => ({ cards: [...before.cards, ...next.cards], cursor: next.next_cursor }));
    } catch (failure) {
      setProblem(failure);
    } finally {
      loading.current = false;
    }
  }, [genreId, cursor]);

  if (!data && error) return <ProblemPage problem={error} onRetry={reload} />;
  const cards = data ? [...data.cards, ...rest.cards] : [];
  return (
    <main id="main" className="page" data-focus="column">
      <h1>{data?.genre.name ?? " "}</h1>
      {data ? <Grid place={`genre:${genreId}`} cards={cards} onMore={cursor ? more : undefined} /> : <ul className="grid">{Array.from({ length: 12 }, (_, index) => <li key={index}><CardSkeleton /></li>)}</ul>}
      <ProblemNote problem={problem} onRetry={more} />
      {data && cards.length === 0 && <p className="page-empty">{t("genre.empty")}</p>}
    </main>
  );
}
