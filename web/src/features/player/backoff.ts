/** Waiting times that double with each failure. Pure: randomness is an argument. */
export class Backoff {
  private failures = 0;

  constructor(private readonly firstMs: number, private readonly limitMs: number) {}

  /** Return the next waiting time: between half of it and all of it, so that clients do not return at the same time. */
  next(random: number): number {
    const waitMs = Math.min(this.firstMs * 2 ** this.failures, this.limitMs);
    this.failures += 1;
    return Math.round(waitMs * (1 + random) / 2);
  }

  reset(): void {
    this.failures = 0;
  }
}
