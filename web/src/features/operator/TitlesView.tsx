import { useState } from "react";
import { api, type TitleEntry } from "../../api";
import { useScreen } from "../../api/screens";
import { type Translator, useText } from "../../i18n";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Dialog";
import { Field, ProblemNote } from "../../ui/Field";
import { saveFile } from "../../ui/file";
import { createCsv } from "./csv";
import { type Column, Table } from "./Table";

const getName = (title: TitleEntry, text: Translator) => text.localise(title.names) || title.title_id;

function describePlayable(title: TitleEntry, { t }: Translator): string {
  if (title.kind === "film") return t(title.playable ? "titles.yes" : "titles.no");
  return t("titles.episodes", { done: title.episodes.filter((episode) => episode.playable).length, count: title.episodes.length });
}

export function TitlesView() {
  const text = useText();
  const { t } = text;
  const { data, error, reload } = useScreen("operator:titles", () => api.operator.listTitles(), 10_000);
  const [older, setOlder] = useState<{ items: TitleEntry[]; cursor: string | null | undefined }>({ items: [], cursor: undefined });
  const [filter, setFilter] = useState("");
  const [withdrawing, setWithdrawing] = useState<TitleEntry | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState<string | null>(null);
  const cursor = older.cursor === undefined ? data?.next_cursor : older.cursor;
  const all = [...(data?.items ?? []), ...older.items];
  const wanted = filter.trim().toLocaleLowerCase();
  const rows = all.filter((title) => Object.values(title.names).some((name) => name.toLocaleLowerCase().includes(wanted)));

  async function run(id: string, task: () => Promise<unknown>) {
    setBusy(id);
    setProblem(null);
    try {
      await task();
      reload();
    } catch (failure) {
      setProblem(failure);
    }
    setBusy(null);
    setWithdrawing(null);
  }
  const more = () => run("more", async () => {
    const page = await api.operator.listTitles(cursor);
    setOlder((before) => ({ items: [...before.items, ...page.items], cursor: page.next_cursor }));
  });

  const columns: Column<TitleEntry>[] = [
    { key: "name", name: t("titles.name"), cell: (title) => <strong>{getName(title, text)}</strong>, sort: (title) => getName(title, text) },
    { key: "kind", name: t("titles.kind"), cell: (title) => t(`card.${title.kind}`), sort: (title) => title.kind },
    { key: "state", name: t("titles.state"), cell: (title) => <span className={`state ${title.state}`}>{t(`titles.${title.state}`)}</span>, sort: (title) => title.state },
    { key: "playable", name: t("titles.playable"), cell: (title) => describePlayable(title, text), sort: (title) => describePlayable(title, text) },
    { key: "year", name: t("titles.year"), cell: (title) => title.year ?? "–", sort: (title) => title.year ?? 0, number: true },
    { key: "age", name: t("titles.age"), cell: (title) => title.maturity, sort: (title) => title.maturity, number: true },
    { key: "languages", name: t("titles.languages"), cell: (title) => `${title.audio_languages.join(", ") || "–"} · ${title.subtitle_languages.join(", ") || "–"}` },
    {
      key: "act", name: <span className="visually-hidden">{t("titles.actions")}</span>, cell: (title) =>
        title.state === "published"
          ? <Button variant="quiet" onClick={() => setWithdrawing(title)}>{t("titles.withdraw")}</Button>
          : <Button variant="quiet" disabled={!title.playable} busy={busy === title.title_id} onClick={() => void run(title.title_id, () => api.operator.publishTitle(title.title_id))}>{t("titles.publish")}</Button>,
    },
  ];

  function exportCsv() {
    const lines = rows.map((title) => [title.title_id, getName(title, text), title.kind, title.state, title.year ?? "", title.maturity, title.audio_languages.join(" "), title.subtitle_languages.join(" ")]);
    saveFile("titles.csv", createCsv(["title_id", "name", "kind", "state", "year", "maturity", "audio", "subtitles"], lines));
  }

  return (
    <>
      <h1>{t("titles.title")}</h1>
      <div className="tools">
        <Field label={t("titles.filter")} type="search" value={filter} onChange={(event) => setFilter(event.target.value)} />
        <Button onClick={exportCsv} disabled={rows.length === 0}>{t("titles.export")}</Button>
      </div>
      <ProblemNote problem={problem ?? error} onRetry={reload} />
      {rows.length > 0 && <Table label={t("titles.title")} rows={rows} columns={columns} getId={(title) => title.title_id} />}
      {data && rows.length === 0 && <p className="operator-empty">{t("titles.empty")}</p>}
      {cursor && <Button busy={busy === "more"} onClick={() => void more()}>{t("app.more")}</Button>}
      {withdrawing && <Confirm title={t("titles.withdrawAsk", { name: getName(withdrawing, text) })} action={t("titles.withdraw")} busy={busy !== null} onClose={() => setWithdrawing(null)} onConfirm={() => void run(withdrawing.title_id, () => api.operator.withdrawTitle(withdrawing.title_id))} />}
    </>
  );
}
