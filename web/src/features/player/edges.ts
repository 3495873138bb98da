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

/** How long an edge that failed is tried last. */
export const FAILED_EDGE_MS = 60_000;

export function splitUrl(url: string): SegmentUrl | null {
  const found = /^([a-z]+:\/\/[^?#]*?|)\/t\/([^/?#]+)\/(.*)$/i.exec(url);
  return found ? { base: found[1] ?? "", token: found[2] ?? "", rest: found[3] ?? "" } : null;
}

export class Edges {
  private readonly failures = new Map<string, number>();
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
    this.failures.set(edgeId, now);
  }

  /** List the edges that failed recently. */
  listFailed(now: number): string[] {
    return [...this.failures].filter(([, at]) => now - at < FAILED_EDGE_MS).map(([edge]) => edge);
  }

  /** Return the deliveries in the order to try them: as ranked by the server, recently failed edges last. */
  private rank(now: number): Delivery[] {
    const failed = new Set(this.listFailed(now));
    const good = this.deliveries.filter((one) => !failed.has(one.edge_id));
    return [...good, ...this.deliveries.filter((one) => failed.has(one.edge_id))];
  }

  /** List the URLs to try for a URL, best first; `null` if it is not on an edge. */
  listUrls(url: string, now: number): string[] | null {
    const parts = splitUrl(url);
    if (!parts) return null;
    const found = this.rank(now).flatMap((one) => {
      const base = splitUrl(one.base_url);
      return base ? [`${base.base}/t/${base.token}/${parts.rest}`] : [];
    });
    return found.length ? found : null;
  }

  /** Return the URL of another object of the asset, such as a thumbnail sheet. */
  resolveUrl(path: string, now: number): string | null {
    const best = this.rank(now)[0];
    return best ? best.base_url + path : null;
  }
}
