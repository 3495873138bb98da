/** The home page. */
import { startTransition, useEffect, useLayoutEffect, useState } from "react";
import { api, type Row as RowData } from "../../api";
import { isEarlyPainted, removeEarlyPaint } from "../../api/early";
import { useDelayed, useScreen } from "../../api/screens";
import { useInitialFocus } from "../../focus";
import { type Translator, useText } from "../../i18n";
import { paths } from "../../router";
import { ProblemPage } from "../../ui/Field";
import { Row, RowSkeleton } from "../../ui/Row";
import { Billboard, BillboardSkeleton } from "./Billboard";
import { addProgress } from "./progress";
import { useTitle } from "../../ui/title";
import "./home.css";

const HOME = "home";
/** The interval while the first titles are being prepared. */
const EMPTY_RELOAD_MS = 5_000;
const RELOAD_MS = 60_000;

const ORDER: Record<RowData["kind"], number> = { "continue-watching": 0, new: 1, genre: 2 };

/** Sort rows so that continue watching is first. */
function sortRows(rows: RowData[]): RowData[] {
  return rows.filter((row) => row.cards.length > 0).sort((a, b) => Math.min(ORDER[a.kind], 1) - Math.min(ORDER[b.kind], 1));
}

function getName(row: RowData, { t }: Translator): string {
  if (row.kind === "continue-watching") return t("home.continue");
  return row.kind === "new" ? t("home.new") : (row.genre?.name ?? "");
}

export default function HomePage() {
  const text = useText();
  useTitle(text.t("nav.home"));
  const { data, error, reload } = useScreen(HOME, api.getHome, RELOAD_MS);
  const empty = data !== undefined && !data.rows.some((row) => row.cards.length) && !data.billboard;
  useScreen(HOME, api.getHome, empty ? EMPTY_RELOAD_MS : 0);
  useInitialFocus(data !== undefined && !empty);
  const isKnown = data !== undefined || error !== undefined;
  useLayoutEffect(() => {
    if (isKnown) removeEarlyPaint();
  }, [isKnown]);
  const isFirst = useFirstPaint(data !== undefined) && data?.billboard != null;

  if (!data && error) return <ProblemPage problem={error} onRetry={reload} />;
  if (!data) return <HomeSkeleton />;
  if (empty) return <Empty text={text} />;
  return (
    <main id="main" className="home" data-focus="column">
      <h1 className="visually-hidden">{text.t("nav.home")}</h1>
      {data.billboard && <Billboard billboard={addProgress(data.billboard, data.rows)} />}
      <div className={`rows ${data.billboard ? "" : "no-billboard"}`} data-focus="column">
        {(data.missing.length > 0 || data.earlier || error !== undefined) && <p className="home-note" role="status">{text.t("home.missing")} <button type="button" onClick={reload}>{text.t("app.retry")}</button></p>}
        {!isFirst && sortRows(data.rows).map((row, index) => (
          <Row key={row.row_id} id={`home:${row.row_id}`} name={getName(row, text)} cards={row.cards} to={row.genre ? paths.genre(row.genre.genre_id) : undefined} eager={index < 2} />
        ))}
      </div>
    </main>
  );
}

/**
 * Return whether the data has just arrived and is about to be painted: the first frame has the billboard only, so that
 * it is shown early. Data that was there before is shown at once.
 */
function useFirstPaint(ready: boolean): boolean {
  const [isPainted, setIsPainted] = useState(ready);
  useEffect(() => {
    if (!ready || isPainted) return;
    let timer = 0;
    const frame = requestAnimationFrame(() => {
      timer = window.setTimeout(() => startTransition(() => setIsPainted(true)));
    });
    return () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
    };
  }, [ready, isPainted]);
  return !isPainted;
}

function HomeSkeleton() {
  const delayed = useDelayed();
  return (
    <main id="main" className="home" aria-busy="true" style={{ visibility: delayed && !isEarlyPainted() ? "visible" : "hidden" }}>
      <BillboardSkeleton />
      <div className="rows"><RowSkeleton /><RowSkeleton /></div>
    </main>
  );
}

function Empty({ text }: { text: Translator }) {
  return (
    <main id="main" className="home-empty" role="status">
      <span className="home-empty-lamp" aria-hidden="true" />
      <h1>{text.t("home.empty")}</h1>
      <p>{text.t("home.emptyLead")}</p>
    </main>
  );
}
