/** The quality of what is buffered. Pure. */

interface Range {
  start: number;
  end: number;
  bandwidth: number;
}

export class BufferedQuality {
  /** Ranges that do not overlap, in order. */
  private ranges: Range[] = [];

  /** Record an appended segment, which replaces what was buffered at its time. */
  add(start: number, end: number, bandwidth: number): void {
    const before = this.ranges.filter((one) => one.start < start).map((one) => ({ ...one, end: Math.min(one.end, start) }));
    const after = this.ranges.filter((one) => one.end > end).map((one) => ({ ...one, start: Math.max(one.start, end) }));
    this.ranges = [...before, { start, end, bandwidth }, ...after];
  }

  /** Find the first time in a span that is buffered in a lower quality; `null` if there is none. */
  findBelow(bandwidth: number, start: number, end: number): number | null {
    const found = this.ranges.find((one) => one.bandwidth < bandwidth && one.end > start && one.start < end);
    return found ? Math.max(found.start, start) : null;
  }
}
