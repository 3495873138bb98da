/**
 * Where segments come from. The manifest names every edge with a token in its path, `<base>/t/<token>/<rest>`.
 * Tokens end and edges fail while a film runs; the manifest stays, so each request is written anew for the
 * edges and tokens that are good now. Pure but for the memory of failures, whose clock is handed in.
 */
import type { Delivery } from "../../api";

interface Place {
  head: string;
  token: string;
  rest: string;
}

/** An edge that failed comes last for this long. */
export const SHUNNED_MS = 60_000;

export function split(url: string): Place | null {
  const found = /^([a-z]+:\/\/[^?#]*?|)\/t\/([^/?#]+)\/(.*)$/i.exec(url);
  return found ? { head: found[1] ?? "", token: found[2] ?? "", rest: found[3] ?? "" } : null;
}

export class Edges {
  private readonly failures = new Map<string, number>();
  private deliveries: Delivery[];

  constructor(deliveries: Delivery[]) {
    this.deliveries = deliveries;
  }

  renew(deliveries: Delivery[]): void {
    this.deliveries = deliveries;
  }

  /** The edge that a URL points at. */
  edgeOf(url: string): string | null {
    const place = split(url);
    return this.deliveries.find((one) => place && split(one.base_url)?.head === place.head)?.edge_id ?? null;
  }

  fail(edgeId: string, now: number): void {
    this.failures.set(edgeId, now);
  }

  /** The edges that failed lately. */
  failed(now: number): string[] {
    return [...this.failures].filter(([, at]) => now - at < SHUNNED_MS).map(([edge]) => edge);
  }

  /** The edges in the order to be tried: as ranked, those that failed lately last. */
  ranked(now: number): Delivery[] {
    const shunned = new Set(this.failed(now));
    const good = this.deliveries.filter((one) => !shunned.has(one.edge_id));
    return [...good, ...this.deliveries.filter((one) => shunned.has(one.edge_id))];
  }

  /** The URLs to try for what one URL named, best first; `null` for what does not lie on an edge. */
  urls(url: string, now: number): string[] | null {
    const place = split(url);
    if (!place) return null;
    const found = this.ranked(now).flatMap((one) => {
      const base = split(one.base_url);
      return base ? [`${base.head}/t/${base.token}/${place.rest}`] : [];
    });
    return found.length ? found : null;
  }

  /** The URL of an object beside the segments, such as a thumbnail sheet. */
  beside(path: string, now: number): string | null {
    const best = this.ranked(now)[0];
    return best ? best.base_url + path : null;
  }
}
