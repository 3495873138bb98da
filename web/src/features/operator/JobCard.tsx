import { useState } from "react";
import { api, type Job } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Dialog";
import { ProblemNote } from "../../ui/Field";
import { Icon } from "../../ui/icons";

type Step = Job["steps"][number];

const getShare = (step: Step) => (step.state === "done" ? 1 : step.total > 0 ? Math.min(1, step.done / step.total) : 0);

/** A job: its steps, the time left and the reason of a failure. */
export function JobCard({ job, onChange }: { job: Job; onChange: () => void }) {
  const text = useText();
  const { t } = text;
  const titles = useScreen("operator:titles", () => api.operator.listTitles());
  const title = titles.data?.items.find((one) => one.title_id === job.order.title_id);
  const episode = title?.episodes.find((one) => one.episode_id === job.order.episode_id);
  const name = [text.localise(title?.names), text.localise(episode?.names)].filter(Boolean).join(" · ");
  const [confirming, setConfirming] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);

  async function run(task: () => Promise<unknown>) {
    setBusy(true);
    setProblem(null);
    try {
      await task();
      onChange();
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
    setConfirming(false);
  }

  const isActive = job.state === "running" || job.state === "queued";
  const canRetry = job.state === "failed" || job.state === "cancelled";
  const facts = [name && job.file_name, t("jobs.started", { when: text.formatAge(job.created_at) }), job.attempts > 1 && t("jobs.attempts", { count: job.attempts }), isActive && job.remaining_ms != null && t("jobs.left", { time: text.formatDuration(job.remaining_ms) })];
  return (
    <article className="sheet job" data-testid="job" data-job-id={job.job_id} data-state={job.state}>
      <header>
        <span className={`state ${job.state}`}>{t(`jobs.${job.state}`)}</span>
        <h2>{name || job.file_name || job.order.title_id}</h2>
        {isActive && <Button variant="quiet" icon="close" onClick={() => setConfirming(true)}>{t("jobs.cancel")}</Button>}
        {canRetry && <Button icon="restart" busy={busy} onClick={() => void run(() => api.operator.retryJob(job.job_id))}>{t("jobs.retry")}</Button>}
      </header>
      <p className="job-facts">{facts.filter(Boolean).join(" · ")}</p>
      <ol className="steps">{job.steps.map((step) => <StepLine key={step.name} step={step} />)}</ol>
      {job.reason && <p className="job-reason" role="alert"><Icon name="alert" />{job.reason}</p>}
      {job.warnings.map((warning) => <p key={warning} className="job-warning">{warning}</p>)}
      <ProblemNote problem={problem} />
      {confirming && <Confirm title={t("jobs.cancelAsk")} action={t("jobs.cancel")} keep={t("jobs.keep")} busy={busy} onConfirm={() => void run(() => api.operator.cancelJob(job.job_id))} onClose={() => setConfirming(false)} />}
    </article>
  );
}

function StepLine({ step }: { step: Step }) {
  const { find } = useText();
  const name = find(`step.${step.name}`) ?? step.name;
  const percent = Math.round(getShare(step) * 100);
  return (
    <li className={`step ${step.state}`}>
      <span className="step-name">{name}</span>
      <span className="step-bar" role="progressbar" aria-label={name} aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100}><span style={{ width: `${percent}%` }} /></span>
      <span className="step-share">{step.state === "running" || step.state === "done" ? `${percent} %` : "–"}</span>
    </li>
  );
}
