/** What viewers searched for and did not find, or did not open. */
import { useState } from "react";
import { api, type QueryCounts, type QueryReport } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { Link, paths } from "../../router";
import { Button } from "../../ui/Button";
import { Choice, ProblemNote } from "../../ui/Field";
import { saveFile } from "../../ui/file";
import { createCsv } from "./csv";
import { type Column, Table } from "./Table";

const DAYS = [1, 7, 30] as const;
const LIMIT = 100;

export function SearchesView() {
  const { t } = useText();
  const [days, setDays] = useState<number>(7);
  const { data, error, reload } = useScreen(`operator:searches:${days}`, () => api.operator.reportQueries(days, LIMIT));
  return (
    <>
      <h1>{t("operator.searches")}</h1>
      <p className="operator-lead">{t("searches.lead")}</p>
      <div className="tools">
        <Choice label={t("searches.days")} value={days} options={DAYS.map((count) => ({ value: count, label: t("searches.day", { count }) }))} onChange={setDays} />
        <Button onClick={() => data && exportCsv(data)} disabled={!data?.frequent.length}>{t("searches.export")}</Button>
      </div>
      <ProblemNote problem={error} onRetry={reload} />
      {data && (data.total.searches > 0 ? <Report report={data} /> : <p className="operator-empty">{t("searches.empty")}</p>)}
    </>
  );
}

function Report({ report }: { report: QueryReport }) {
  const { t, formatShare } = useShares(report);
  const { total } = report;
  return (
    <>
      <dl className="facts" data-testid="searches-total">
        <Figure name={t("searches.total")} value={String(total.searches)} />
        {(["unanswered", "abandoned", "corrected"] as const).map((kind) => <Figure key={kind} name={t(`searches.${kind}`)} value={`${total[kind]} (${formatShare(total[kind])})`} />)}
      </dl>
      {(["unanswered", "abandoned"] as const).map((kind) => <Queries key={kind} kind={kind} report={report} />)}
    </>
  );
}

const Figure = ({ name, value }: { name: string; value: string }) => <div><dt>{name}</dt><dd>{value}</dd></div>;

/** The queries of one kind; each leads to what it finds now. */
function Queries({ kind, report }: { kind: "unanswered" | "abandoned"; report: QueryReport }) {
  const { t, formatShare } = useShares(report);
  const name = t(`searches.${kind}Title`);
  const columns: Column<QueryCounts>[] = [
    { key: "query", name: t("searches.query"), cell: (row) => <Link className="row-name-link" to={paths.search(row.query)}>{row.query}</Link>, sort: (row) => row.query },
    { key: kind, name: t(`searches.${kind}`), cell: (row) => row.counts[kind], sort: (row) => row.counts[kind], number: true },
    { key: "share", name: t("searches.share"), cell: (row) => formatShare(row.counts[kind]), sort: (row) => row.counts[kind], number: true },
    { key: "searches", name: t("searches.count"), cell: (row) => row.counts.searches, sort: (row) => row.counts.searches, number: true },
  ];
  // A query that found nothing has no corrected results.
  if (kind === "abandoned") columns.push({ key: "corrected", name: t("searches.corrected"), cell: (row) => row.counts.corrected, sort: (row) => row.counts.corrected, number: true });
  return (
    <>
      <h2>{name}</h2>
      {report[kind].length ? <Table label={name} rows={report[kind]} columns={columns} getId={(row) => row.query} /> : <p className="operator-empty">{t("searches.none")}</p>}
    </>
  );
}

function useShares({ total }: QueryReport) {
  const text = useText();
  const format = new Intl.NumberFormat(text.language, { style: "percent", maximumFractionDigits: 1 });
  return { t: text.t, formatShare: (count: number) => format.format(count / Math.max(1, total.searches)) };
}

function exportCsv({ frequent, unanswered, abandoned }: QueryReport): void {
  const rows = new Map([...frequent, ...unanswered, ...abandoned].map((row) => [row.query, row.counts]));
  const lines = [...rows].map(([query, counts]) => [query, counts.searches, counts.unanswered, counts.abandoned, counts.corrected]);
  saveFile("searches.csv", createCsv(["query", "searches", "unanswered", "abandoned", "corrected"], lines));
}
