/** The history of the profile, newest first. */
import { useState } from "react";
import { api, type HistoryEntry } from "../../api";
import { invalidateScreens, useScreen } from "../../api/screens";
import { useInitialFocus, useBack } from "../../focus";
import { useText } from "../../i18n";
import { back, Link, paths } from "../../router";
import { useViewer } from "../../session";
import { Art } from "../../ui/Art";
import { Button, IconButton } from "../../ui/Button";
import { formatEpisode, formatTimeLeft, ProgressBar } from "../../ui/Card";
import { ProblemNote, ProblemPage } from "../../ui/Field";
import { useTitle } from "../../ui/title";

export default function HistoryPage() {
  const { t } = useText();
  useTitle(t("history.title"));
  const { profile } = useViewer();
  const { data, error, reload } = useScreen("history", () => api.getHistory());
  const [rest, setRest] = useState<{ entries: HistoryEntry[]; cursor: string | null | undefined }>({ entries: [], cursor: undefined });
  const [problem, setProblem] = useState<unknown>(null);
  const [removed, setRemoved] = useState<ReadonlySet<string>>(new Set());
  useBack(() => back());
  useInitialFocus(data !== undefined);

  const cursor = rest.cursor === undefined ? data?.next_cursor : rest.cursor;
  async function more() {
    try {
      const next = await api.getHistory(cursor);
      setRest((before) => ({ entries: [...before.entries, ...next.entries], cursor: next.next_cursor }));
    } catch (failure) {
      setProblem(failure);
    }
  }
  async function remove(titleId: string) {
    setRemoved(new Set([...removed, titleId]));
    try {
      await api.removeFromHistory(titleId);
      invalidateScreens("home");
    } catch (failure) {
      setRemoved(new Set([...removed].filter((one) => one !== titleId)));
      setProblem(failure);
    }
  }

  if (!data && error) return <ProblemPage problem={error} onRetry={reload} />;
  const entries = data ? [...data.entries, ...rest.entries].filter((entry) => !removed.has(entry.card.title_id)) : [];
  return (
    <main id="main" className="page narrow" data-focus="column">
      <h1>{t("history.title")}</h1>
      <p className="page-lead">{profile && t("history.lead", { name: profile.name })}</p>
      <ProblemNote problem={problem} />
      <ul className="history" data-focus="column">
        {entries.map((entry, index) => (
          <li key={`${entry.card.title_id}:${entry.updated_at}`} data-focus="row">
            <Entry entry={entry} first={index === 0} />
            <IconButton icon="close" label={t("history.remove", { name: entry.card.name })} data-testid="history-remove" onClick={() => void remove(entry.card.title_id)} />
          </li>
        ))}
      </ul>
      {data && entries.length === 0 && <p className="page-empty">{t("history.empty")}</p>}
      {cursor && <Button onClick={more}>{t("app.more")}</Button>}
    </main>
  );
}

function Entry({ entry, first }: { entry: HistoryEntry; first: boolean }) {
  const text = useText();
  const { card, updated_at } = entry;
  const { progress } = card;
  const mark = progress && progress.season_number !== null && progress.episode_number !== null ? formatEpisode(progress.season_number, progress.episode_number, text) : null;
  const state = progress && (progress.finished ? text.t("card.watched") : formatTimeLeft(progress, text));
  return (
    <Link className="history-entry" to={paths.title(card.title_id)} over data-testid="history-entry" data-focus-first={first ? "" : undefined}>
      <span className="history-art"><Art picture={card.pictures.card ?? card.pictures.backdrop} name={card.name} />{progress && <ProgressBar progress={progress.finished ? { ...progress, position_ms: progress.duration_ms } : progress} />}</span>
      <span className="history-text">
        <span className="history-name">{card.name}</span>
        <span className="history-line">{[mark, state, text.formatAge(updated_at)].filter(Boolean).join(" · ")}</span>
      </span>
    </Link>
  );
}
