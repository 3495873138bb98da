/** The decisions that an operator has to make. Pure. */
import type { Edge, Job } from "../../api";
import type { Key } from "../../i18n";

export interface Decision {
  id: string;
  key: Key;
  values: Record<string, string | number>;
  to: string;
}

const FULL = 0.9;

export function listDecisions(jobs: Job[], edges: Edge[]): Decision[] {
  const failed = jobs.filter((job) => job.state === "failed").map((job) => ({ id: job.job_id, key: "now.jobFailed" as const, values: { name: job.file_name, reason: job.reason }, to: "jobs" }));
  return [...failed, ...edges.flatMap(listEdgeDecisions)];
}

function listEdgeDecisions({ report, health }: Edge): Decision[] {
  const found: Decision[] = [];
  const { name, edge_id: id, disk_used_bytes: used, disk_limit_bytes: limit } = report;
  if (health === "degraded" || health === "unavailable") found.push({ id: `${id}:health`, key: "now.edgeBad", values: { name, state: health }, to: "edges" });
  if (limit > 0 && used / limit >= FULL) found.push({ id: `${id}:disk`, key: "now.diskFull", values: { name, percent: Math.round((used / limit) * 100) }, to: "edges" });
  return found;
}
