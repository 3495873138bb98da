/** What this profile watched, newest first. */
import { useState } from "react";
import { api, type HistoryEntry } from "../../api";
import { staleScreens, useScreen } from "../../api/screens";
import { useArrival, useBack } from "../../focus";
import { useText } from "../../i18n";
import { back, Link, paths } from "../../router";
import { useViewer } from "../../session";
import { Art } from "../../ui/Art";
import { Button, IconButton } from "../../ui/Button";
import { episodeMark, leftOf, ProgressBar } from "../../ui/Card";
import { ProblemNote, ProblemPage } from "../../ui/Field";

export default function HistoryPage() {
  const { t } = useText();
  const { profile } = useViewer();
  const { data, error, reload } = useScreen("history", () => api.history());
  const [rest, setRest] = useState<{ entries: HistoryEntry[]; cursor: string | null | undefined }>({ entries: [], cursor: undefined });
  const [problem, setProblem] = useState<unknown>(null);
  const [gone, setGone] = useState<ReadonlySet<string>>(new Set());
  useBack(() => back());
  useArrival(data !== undefined);

  const cursor = rest.cursor === undefined ? data?.next_cursor : rest.cursor;
  async function more() {
    try {
      const next = await api.history(cursor);
      setRest((before) => ({ entries: [...before.entries, ...next.entries], cursor: next.next_cursor }));
    } catch (failure) {
      setProblem(failure);
    }
  }
  async function forget(titleId: string) {
    setGone(new Set([...gone, titleId]));
    try {
      await api.forget(titleId);
      staleScreens("home");
    } catch (failure) {
      setProblem(failure);
    }
  }

  if (!data && error) return <ProblemPage problem={error} retry={reload} />;
  const entries = data ? [...data.entries, ...rest.entries] : [];
  return (
    <main id="main" className="page narrow" data-focus="column">
      <h1>{t("history.title")}</h1>
      <p className="page-lead">{profile && t("history.lead", { name: profile.name })}</p>
      <ProblemNote problem={problem} />
      <ul className="history" data-focus="column">
        {entries.map((entry, index) => (
          <li key={`${entry.card.title_id}:${entry.updated_at}`} data-focus="row">
            <Entry entry={entry} first={index === 0} />
            {unfinished(entry) && !gone.has(entry.card.title_id) && <IconButton icon="close" label={`${t("card.forget")}: ${entry.card.name}`} onClick={() => void forget(entry.card.title_id)} />}
          </li>
        ))}
      </ul>
      {data && entries.length === 0 && <p className="page-empty">{t("history.empty")}</p>}
      {cursor && <Button onClick={more}>{t("app.more")}</Button>}
    </main>
  );
}

const unfinished = ({ card: { progress } }: HistoryEntry) => progress !== null && !progress.finished;

function Entry({ entry, first }: { entry: HistoryEntry; first: boolean }) {
  const text = useText();
  const { card, updated_at } = entry;
  const { progress } = card;
  const mark = progress && progress.season_number !== null && progress.episode_number !== null ? episodeMark(progress.season_number, progress.episode_number, text) : null;
  const state = progress && (progress.finished ? text.t("card.watched") : leftOf(progress, text));
  return (
    <Link className="history-entry" to={paths.title(card.title_id)} over data-testid="history-entry" data-focus-first={first ? "" : undefined}>
      <span className="history-art"><Art picture={card.pictures.card ?? card.pictures.backdrop} name={card.name} />{progress && <ProgressBar progress={progress.finished ? { ...progress, position_ms: progress.duration_ms } : progress} />}</span>
      <span className="history-words">
        <span className="history-name">{card.name}</span>
        <span className="history-line">{[mark, state, text.ago(updated_at)].filter(Boolean).join(" · ")}</span>
      </span>
    </Link>
  );
}
