/** The rules for slow links: when to abandon a segment, and when to replace what is buffered. Pure. */

/** A segment that is replaced, or a buffer that is cleared, leaves this much to be played meanwhile. */
export const REPLACE_MARGIN_S = 8;
/** Less than this is not worth replacing. */
const MIN_REPLACED_S = 3;
/** With this much buffered, a short drop of the throughput changes nothing. */
const SAFE_BUFFER_S = 15;
/** A segment that arrives this much before the end of the buffer is in time. */
const RESERVE_S = 0.5;
/** A smaller segment replaces one that is loading if it is expected in this share of the remaining time. */
const MIN_GAIN = 0.6;

interface Loading {
  /** What is still to be loaded of the segment. */
  segmentBytes: number;
  /** The same with the other transfers, which share the network. */
  remainingBytes: number;
  /** The size of the same segment in the lower quality. */
  lowerBytes: number;
  throughputBps: number;
  /** What can be played before the segment is needed; 0 before the first frame. */
  bufferedS: number;
}

/** Return whether to abandon a segment that is loading, and to load it in a lower quality. */
export function shouldAbandon({ segmentBytes, remainingBytes, lowerBytes, throughputBps, bufferedS }: Loading): boolean {
  const remainingS = (remainingBytes * 8) / Math.max(1, throughputBps);
  const isLate = remainingS > Math.max(RESERVE_S, bufferedS - RESERVE_S);
  return isLate && lowerBytes < segmentBytes * MIN_GAIN;
}

/** Return whether the next segment keeps the quality although the throughput has fallen. */
export const shouldKeep = (bufferedS: number): boolean => bufferedS >= SAFE_BUFFER_S;

/** Return how many seconds of the buffer to keep, when its rest is loaded again in a better quality; `null` to keep all. */
export function chooseMargin(lowFrom: number | null, position: number, bufferedEnd: number): number | null {
  if (lowFrom === null || bufferedEnd - lowFrom < MIN_REPLACED_S) return null;
  return lowFrom - position;
}
