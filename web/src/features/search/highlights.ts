/** The parts of a name that answer a query. Pure. */
import type { TextRange } from "../../api";

export interface Part {
  text: string;
  isMarked: boolean;
}

/** Split a text into parts that are in a range and parts that are not; the ranges count code points. */
export function splitHighlights(text: string, ranges: readonly TextRange[]): Part[] {
  const points = [...text];
  const marks = points.map((_, index) => ranges.some(({ start, end }) => start <= index && index < end));
  const parts: Part[] = [];
  for (const [index, point] of points.entries()) {
    const isMarked = marks[index] ?? false;
    const last = parts.at(-1);
    if (last?.isMarked === isMarked) last.text += point;
    else parts.push({ text: point, isMarked });
  }
  return parts;
}
