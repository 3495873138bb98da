import { describe, expect, it } from "vitest";
import { chooseMargin, shouldAbandon, shouldKeep } from "../src/features/player/adaptation";
import { Backoff } from "../src/features/player/backoff";
import { BufferedQuality } from "../src/features/player/quality";
import { findOutage } from "../src/features/player/recovery";
import { Throughput } from "../src/features/player/throughput";
import { Problem } from "../src/api/problem";

/** Transfer bytes at a rate, in portions of 100 ms, and return the time at the end. */
function transfer(throughput: Throughput, id: string, start: number, ms: number, bps: number, latencyMs = 50): number {
  throughput.begin(id, start);
  throughput.recordLatency(id, start + latencyMs);
  for (let at = 100; at <= ms; at += 100) throughput.addBytes(bps / 80, start + latencyMs + at);
  throughput.end(id, start + latencyMs + ms);
  return start + latencyMs + ms;
}

describe("throughput", () => {
  it("is unknown at first", () => {
    const throughput = new Throughput();
    expect(throughput.estimateBps(0)).toBeNull();
    throughput.begin("a", 0);
    throughput.recordLatency("a", 50);
    throughput.addBytes(2_000, 60);
    throughput.end("a", 60);
    expect(throughput.estimateBps(60)).toBeNull();
  });

  it("is that of all transfers together", () => {
    const throughput = new Throughput();
    for (const id of ["video", "audio"]) {
      throughput.begin(id, 0);
      throughput.recordLatency(id, 0);
    }
    for (let at = 100; at <= 2_000; at += 100) for (const bytes of [6_000, 4_000]) throughput.addBytes(bytes, at);
    expect(throughput.estimateBps(2_000)).toBeCloseTo(800_000, -4);
  });

  it("counts neither the time without a transfer nor the way of the first byte", () => {
    const throughput = new Throughput();
    let at = 0;
    for (const id of ["1", "2", "3"]) at = transfer(throughput, id, at + 4_000, 300, 4e6);
    expect(throughput.estimateBps(at)).toBeCloseTo(4e6, -5);
  });

  it("falls within a second of a dip, also when nothing arrives at all", () => {
    const throughput = new Throughput();
    const at = transfer(throughput, "1", 0, 1_000, 8e6);
    const slow = transfer(throughput, "2", at, 1_000, 6e5);
    expect(throughput.estimateBps(slow)).toBeLessThan(1.5e6);
    throughput.begin("3", slow);
    expect(throughput.estimateBps(slow + 2_000)).toBeLessThan(4e5);
  });

  it("rises with the first small segment after a dip", () => {
    const throughput = new Throughput();
    const at = transfer(throughput, "1", 0, 10_000, 6e5);
    expect(throughput.estimateBps(at)).toBeCloseTo(6e5, -5);
    expect(throughput.estimateBps(transfer(throughput, "2", at + 3_000, 200, 8e6))).toBeGreaterThan(3e6);
  });
});

describe("adaptation", () => {
  const loading = { segmentBytes: 1_600_000, remainingBytes: 1_700_000, lowerBytes: 200_000, throughputBps: 6e5, bufferedS: 4 };

  it("abandons a segment that would come too late, if a smaller one comes much sooner", () => {
    expect(shouldAbandon(loading)).toBe(true);
    expect(shouldAbandon({ ...loading, throughputBps: 8e6 })).toBe(false);
    expect(shouldAbandon({ ...loading, bufferedS: 30 })).toBe(false);
    expect(shouldAbandon({ ...loading, segmentBytes: 300_000 })).toBe(false);
    expect(shouldAbandon({ ...loading, bufferedS: 0 })).toBe(true);
  });

  it("keeps the quality over a short dip while much is buffered", () => {
    expect([shouldKeep(30), shouldKeep(5)]).toEqual([true, false]);
  });

  it("replaces what is buffered in a lower quality, and keeps what is played before", () => {
    expect(chooseMargin(18, 10, 50)).toBe(8);
    expect(chooseMargin(18, 10, 20)).toBeNull();
    expect(chooseMargin(null, 10, 50)).toBeNull();
  });

  it("remembers the quality of what is buffered", () => {
    const quality = new BufferedQuality();
    quality.add(0, 4, 3e6);
    quality.add(4, 8, 4e5);
    quality.add(8, 12, 4e5);
    expect(quality.findBelow(3e6, 0, 12)).toBe(4);
    expect(quality.findBelow(3e6, 6, 12)).toBe(6);
    expect(quality.findBelow(3e6, 0, 4)).toBeNull();
    expect(quality.findBelow(4e5, 0, 12)).toBeNull();
    quality.add(4, 12, 3e6);
    expect(quality.findBelow(3e6, 0, 12)).toBeNull();
  });
});

describe("recovery", () => {
  it("waits longer after each failure, up to a limit", () => {
    const backoff = new Backoff(1_000, 30_000);
    expect([1, 1, 1, 1, 1, 1, 1].map((random) => backoff.next(random))).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    backoff.reset();
    expect(backoff.next(0)).toBe(500);
  });

  it("tells the viewer what is wrong", () => {
    const unreachable = new Problem("offline", 0, "");
    expect(findOutage({ isOnline: true, isRecovering: false, renewError: null })).toBeNull();
    expect(findOutage({ isOnline: true, isRecovering: true, renewError: null })).toBe("edge");
    expect(findOutage({ isOnline: true, isRecovering: true, renewError: unreachable })).toBe("unreachable");
    expect(findOutage({ isOnline: false, isRecovering: true, renewError: unreachable })).toBe("offline");
    expect(findOutage({ isOnline: false, isRecovering: false, renewError: null })).toBe("offline");
  });
});
