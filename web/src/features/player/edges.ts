/**
 * The edges that deliver segments. URLs in the manifest have a token in their path: `<base>/t/<token>/<rest>`.
 * Tokens expire and edges fail during playback while the manifest stays the same, so each request is rewritten for
 * the current edges and tokens. Times are arguments.
 */
import type { Delivery } from "../../api";

interface SegmentUrl {
  base: string;
  token: string;
  rest: string;
}

interface Failure {
  at: number;
  /** The network failed as well, so that the edge may be good. */
  isDoubtful: boolean;
}

/** How long an edge that failed is tried last. */
export const FAILED_EDGE_MS = 60_000;

export function splitUrl(url: string): SegmentUrl | null {
  const found = /^([a-z]+:\/\/[^?#]*?|)\/t\/([^/?#]+)\/(.*)$/i.exec(url);
  return found ? { base: found[1] ?? "", token: found[2] ?? "", rest: found[3] ?? "" } : null;
}

export class Edges {
  private failures = new Map<string, Failure>();
  private deliveries: Delivery[];

  constructor(deliveries: Delivery[]) {
    this.deliveries = deliveries;
  }

  setDeliveries(deliveries: Delivery[]): void {
    this.deliveries = deliveries;
  }

  /** Find the edge of a URL. */
  findEdge(url: string): string | null {
    const parts = splitUrl(url);
    return this.deliveries.find((one) => parts && splitUrl(one.base_url)?.base === parts.base)?.edge_id ?? null;
  }

  markFailed(edgeId: string, now: number): void {
    this.failures.set(edgeId, { at: now, isDoubtful: false });
  }

  /** Report none of the failures: nothing else can be reached either, so that the network is at fault. */
  doubtFailures(): void {
    this.failures = new Map([...this.failures].map(([edge, { at }]) => [edge, { at, isDoubtful: true }]));
  }

  /** List the edges that failed recently. */
  private listRecent(now: number): [string, Failure][] {
    return [...this.failures].filter(([, { at }]) => now - at < FAILED_EDGE_MS);
  }

  /** Return whether an edge failed recently. */
  hasFailed(edgeId: string, now: number): boolean {
    return this.listRecent(now).some(([edge]) => edge === edgeId);
  }

  /** List the edges to report: those that failed recently while the network was good. */
  listFailed(now: number): string[] {
    return this.listRecent(now).filter(([, { isDoubtful }]) => !isDoubtful).map(([edge]) => edge);
  }

  /** Return the deliveries in the order to try them: as ranked by the server, recently failed edges last. */
  private rank(now: number): Delivery[] {
    const failed = new Set(this.listRecent(now).map(([edge]) => edge));
    const good = this.deliveries.filter((one) => !failed.has(one.edge_id));
    return [...good, ...this.deliveries.filter((one) => failed.has(one.edge_id))];
  }

  /**
   * Choose the URL to try for a URL, and add its edge to those that were tried for the same request: an edge is tried
   * again after all others. `null` if the URL is not on an edge.
   */
  chooseUrl(url: string, now: number, tried: Set<string>): string | null {
    const rest = splitUrl(url)?.rest;
    const ranked = rest === undefined ? [] : this.rank(now);
    if (ranked.every((one) => tried.has(one.edge_id))) tried.clear();
    const chosen = ranked.find((one) => !tried.has(one.edge_id));
    const base = chosen && splitUrl(chosen.base_url);
    if (!chosen || !base) return null;
    tried.add(chosen.edge_id);
    return `${base.base}/t/${base.token}/${rest}`;
  }

  /** Return the URL of another object of the asset, such as a thumbnail sheet. */
  resolveUrl(path: string, now: number): string | null {
    const best = this.rank(now)[0];
    return best ? best.base_url + path : null;
  }
}
