import { useState } from "react";
import { api, type Job } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Dialog";
import { ProblemNote } from "../../ui/Field";
import { Icon } from "../../ui/icons";

type Step = Job["steps"][number];

const shareOf = (step: Step) => (step.state === "done" ? 1 : step.total > 0 ? Math.min(1, step.done / step.total) : 0);

/** A master on its way: its steps as they run, the time left, and what went wrong. */
export function JobCard({ job, changed }: { job: Job; changed: () => void }) {
  const text = useText();
  const { t } = text;
  const titles = useScreen("operator:titles", () => api.operator.titles());
  const title = titles.data?.items.find((one) => one.title_id === job.order.title_id);
  const episode = title?.episodes.find((one) => one.episode_id === job.order.episode_id);
  const name = [text.localised(title?.names), text.localised(episode?.names)].filter(Boolean).join(" · ");
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);

  async function run(task: () => Promise<unknown>) {
    setBusy(true);
    setProblem(null);
    try {
      await task();
      changed();
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
    setAsking(false);
  }

  const live = job.state === "running" || job.state === "queued";
  const retriable = job.state === "failed" || job.state === "cancelled";
  const facts = [name && job.file_name, t("jobs.started", { when: text.ago(job.created_at) }), job.attempts > 1 && t("jobs.attempts", { count: job.attempts }), live && job.remaining_ms != null && t("jobs.left", { time: text.span(job.remaining_ms) })];
  return (
    <article className="sheet job" data-testid="job" data-job-id={job.job_id} data-state={job.state}>
      <header>
        <span className={`state ${job.state}`}>{t(`jobs.${job.state}`)}</span>
        <h2>{name || job.file_name || job.order.title_id}</h2>
        {live && <Button look="quiet" icon="close" onClick={() => setAsking(true)}>{t("jobs.cancel")}</Button>}
        {retriable && <Button icon="restart" busy={busy} onClick={() => void run(() => api.operator.retry(job.job_id))}>{t("jobs.retry")}</Button>}
      </header>
      <p className="job-facts">{facts.filter(Boolean).join(" · ")}</p>
      <ol className="steps">{job.steps.map((step) => <StepLine key={step.name} step={step} />)}</ol>
      {job.reason && <p className="job-reason" role="alert"><Icon name="alert" />{job.reason}</p>}
      {job.warnings.map((warning) => <p key={warning} className="job-warning">{warning}</p>)}
      <ProblemNote problem={problem} />
      {asking && <Confirm title={t("jobs.cancelAsk")} action={t("jobs.cancel")} keep={t("jobs.keep")} busy={busy} confirm={() => void run(() => api.operator.cancel(job.job_id))} close={() => setAsking(false)} />}
    </article>
  );
}

function StepLine({ step }: { step: Step }) {
  const percent = Math.round(shareOf(step) * 100);
  return (
    <li className={`step ${step.state}`}>
      <span className="step-name">{step.name}</span>
      <span className="step-bar" role="progressbar" aria-label={step.name} aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100}><span style={{ width: `${percent}%` }} /></span>
      <span className="step-share">{step.state === "running" || step.state === "done" ? `${percent} %` : "–"}</span>
    </li>
  );
}
