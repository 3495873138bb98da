/** The throughput of the network, measured over all transfers together, because they share it. Pure: times are arguments. */

interface Sample {
  ms: number;
  bytes: number;
}

/** The latest transfers count: so many bytes of them in no less than this time, or so much time of a slow one. */
const WINDOW_BYTES = 128_000;
const SHORTEST_MS = 500;
const LONGEST_MS = 2_000;
const SAMPLE_MS = 100;
/** Fewer bytes say nothing. */
const MIN_BYTES = 32_000;

export class Throughput {
  /** The start times of the transfers in progress. */
  private readonly active = new Map<unknown, number>();
  /** The latest sample is the last one. */
  private samples: Sample[] = [];
  private at = 0;
  /** The shortest time to a first byte: it is no time of transfer. */
  private latencyMs = Infinity;

  /** Record that a request is sent. */
  begin(id: unknown, now: number): void {
    this.advance(now);
    this.active.set(id, now);
  }

  /** Record the first byte of a response. */
  recordLatency(id: unknown, now: number): void {
    const since = this.active.get(id);
    if (since !== undefined) this.latencyMs = Math.min(this.latencyMs, Math.max(0, now - since));
  }

  addBytes(bytes: number, now: number): void {
    this.advance(now);
    const last = this.samples.at(-1);
    if (last) last.bytes += bytes;
    else this.samples.push({ ms: 0, bytes });
  }

  end(id: unknown, now: number): void {
    this.advance(now);
    this.active.delete(id);
  }

  /** Estimate the throughput in bits per second; `null` before enough was transferred. */
  estimateBps(now: number): number | null {
    this.advance(now);
    let [ms, bytes, index] = [0, 0, this.samples.length];
    while (index > 0 && ms < LONGEST_MS && (bytes < WINDOW_BYTES || ms < SHORTEST_MS)) {
      index -= 1;
      ms += this.samples[index]?.ms ?? 0;
      bytes += this.samples[index]?.bytes ?? 0;
    }
    return bytes >= MIN_BYTES || ms >= LONGEST_MS ? (bytes * 8_000) / Math.max(1, ms) : null;
  }

  /** Count the time since the last call in which bytes could have arrived. */
  private advance(now: number): void {
    const begins = [...this.active.values()].map((since) => since + this.latencyMs);
    const ms = now - Math.max(this.at, Math.min(...begins));
    this.at = now;
    if (!(ms > 0)) return;
    const last = this.samples.at(-1);
    // The time before bytes belongs to them.
    if (last && (last.ms < SAMPLE_MS || !last.bytes)) last.ms += ms;
    else this.samples.push({ ms, bytes: 0 });
    if (this.samples.length > 200) this.samples = this.samples.slice(-100);
  }
}
