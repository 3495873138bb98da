import { api } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { Link, paths } from "../../router";
import { ProblemNote } from "../../ui/Field";
import { Icon } from "../../ui/icons";
import { listDecisions, type Decision } from "./decisions";
import { JobCard } from "./JobCard";
import { useJobs } from "./JobsView";

const RELOAD_MS = 3_000;

export function NowView() {
  const { t } = useText();
  const jobs = useJobs();
  const edges = useScreen("operator:edges", api.operator.listEdges, RELOAD_MS);
  const titles = useScreen("operator:titles", () => api.operator.listTitles(), 15_000);
  const all = jobs.data?.items ?? [];
  const running = all.filter((job) => job.state === "running" || job.state === "queued");
  const edgeList = edges.data ?? [];
  const open = edgeList.reduce((sum, edge) => sum + edge.report.open_connections, 0);
  const published = titles.data?.items.filter((title) => title.state === "published").length;
  const decisions = listDecisions(all, edgeList);
  return (
    <>
      <h1>{t("operator.overview")}</h1>
      <ProblemNote problem={jobs.error ?? edges.error ?? titles.error} />
      <ul className="figures">
        <Figure name={t("now.encodes")} value={jobs.data && running.length} to="jobs" />
        <Figure name={t("now.failed")} value={jobs.data && all.filter((job) => job.state === "failed").length} to="jobs" />
        <Figure name={t("now.edges")} value={edges.data && `${edgeList.filter((edge) => edge.health === "healthy").length} / ${edgeList.length}`} to="edges" />
        <Figure name={t("now.connections")} value={edges.data && open} to="edges" />
        <Figure name={t("now.titles")} value={titles.data && `${published}${titles.data.next_cursor ? "+" : ""}`} to="titles" />
      </ul>
      <section className="sheet" aria-label={t("now.decisions")}>
        <h2>{t("now.decisions")}</h2>
        {decisions.length ? <ul className="decisions">{decisions.map((one) => <DecisionLine key={one.id} decision={one} />)}</ul> : <p className="all-clear"><Icon name="check" />{t("now.calm")}</p>}
      </section>
      {running.length > 0 && <section aria-label={t("now.encodes")}><h2>{t("now.encodes")}</h2>{running.map((job) => <JobCard key={job.job_id} job={job} onChange={jobs.reload} />)}</section>}
    </>
  );
}

function Figure({ name, value, to }: { name: string; value: string | number | undefined; to: string }) {
  return <li><Link to={`${paths.operator}/${to}`}><span className="figure-value">{value ?? "–"}</span><span className="figure-name">{name}</span></Link></li>;
}

function DecisionLine({ decision }: { decision: Decision }) {
  const { t } = useText();
  const { values } = decision;
  const state = typeof values.state === "string" ? t(`edges.${values.state}` as "edges.unavailable") : "";
  return <li><Link to={`${paths.operator}/${decision.to}`}><Icon name="alert" />{t(decision.key, { ...values, state })}</Link></li>;
}
