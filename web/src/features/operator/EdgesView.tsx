import { useState } from "react";
import { api, type Edge } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Dialog";
import { ProblemNote } from "../../ui/Field";
import { type Column, Table } from "./Table";

const getHitRatio = ({ hits, misses }: Edge["report"]) => (hits + misses > 0 ? hits / (hits + misses) : null);

export function EdgesView() {
  const text = useText();
  const { t } = text;
  const { data, error, reload } = useScreen("operator:edges", api.operator.listEdges, 3_000);
  const [draining, setDraining] = useState<Edge | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);

  async function drain(edge: Edge, on: boolean) {
    setBusy(true);
    setProblem(null);
    try {
      await api.operator.setDraining(edge.report.edge_id, on);
      reload();
    } catch (failure) {
      setProblem(failure);
    }
    setBusy(false);
    setDraining(null);
  }

  const formatPercent = (value: number) => new Intl.NumberFormat(text.language, { style: "percent", maximumFractionDigits: 1 }).format(value);
  const columns: Column<Edge>[] = [
    { key: "name", name: t("edges.title"), cell: ({ report }) => <><strong title={report.base_url}>{report.name}</strong><span className="sub">{report.region}</span></>, sort: ({ report }) => report.name },
    { key: "health", name: t("titles.state"), cell: ({ health }) => <span className={`state ${health}`}>{t(`edges.${health}`)}</span>, sort: ({ health }) => health },
    { key: "load", name: t("edges.load"), cell: ({ report }) => <Gauge value={report.load} label={formatPercent(report.load)} />, sort: ({ report }) => report.load },
    { key: "open", name: t("edges.connections"), cell: ({ report }) => report.open_connections, sort: ({ report }) => report.open_connections, number: true },
    { key: "sent", name: t("edges.sent"), cell: ({ report }) => text.formatSize(report.sent_bytes), sort: ({ report }) => report.sent_bytes, number: true },
    { key: "hits", name: t("edges.hits"), cell: ({ report }) => (getHitRatio(report) === null ? "–" : formatPercent(getHitRatio(report) ?? 0)), sort: ({ report }) => getHitRatio(report) ?? -1, number: true },
    { key: "errors", name: t("edges.errors"), cell: ({ report }) => report.upstream_errors, sort: ({ report }) => report.upstream_errors, number: true },
    { key: "disk", name: t("edges.disk"), cell: ({ report }) => <Gauge value={report.disk_limit_bytes ? report.disk_used_bytes / report.disk_limit_bytes : 0} label={`${text.formatSize(report.disk_used_bytes)} / ${text.formatSize(report.disk_limit_bytes)}`} /> },
    { key: "heartbeat", name: t("services.renewed"), cell: (edge) => <span className="nowrap">{text.formatAge(edge.last_seen_at)}</span>, sort: (edge) => edge.last_seen_at },
    {
      key: "act", name: <span className="visually-hidden">{t("titles.actions")}</span>, cell: (edge) =>
        edge.health === "draining"
          ? <Button variant="quiet" busy={busy} onClick={() => void drain(edge, false)}>{t("edges.restore")}</Button>
          : <Button variant="quiet" onClick={() => setDraining(edge)}>{t("edges.drain")}</Button>,
    },
  ];
  return (
    <>
      <h1>{t("edges.title")}</h1>
      <ProblemNote problem={problem ?? error} onRetry={reload} />
      {data && data.length > 0 && <Table label={t("edges.title")} rows={data} columns={columns} getId={(edge) => edge.report.edge_id} />}
      {data?.length === 0 && <p className="operator-empty">{t("edges.empty")}</p>}
      {draining && <Confirm title={t("edges.drainAsk", { name: draining.report.name })} action={t("edges.drain")} busy={busy} onClose={() => setDraining(null)} onConfirm={() => void drain(draining, true)} />}
    </>
  );
}

function Gauge({ value, label }: { value: number; label: string }) {
  return <span className="gauge"><span className="gauge-bar" aria-hidden="true"><span className={value > 0.9 ? "high" : ""} style={{ width: `${Math.min(100, value * 100)}%` }} /></span>{label}</span>;
}
