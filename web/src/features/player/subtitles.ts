/** Passes the cues of the chosen subtitles to the page, which draws them. */
import type shaka from "shaka-player/dist/shaka-player.dash-es2021";

type Cue = shaka.text.Cue;

export interface Line {
  start: number;
  end: number;
  text: string;
}

/** Times of segments are in milliseconds. */
const TOLERANCE_S = 0.002;

/** Return the text of a cue and its nested cues. */
function getCueText(cue: Cue): string {
  if (cue.lineBreak) return "\n";
  const nested = cue.nestedCues.map(getCueText).join("");
  return cue.payload || nested;
}

/** Add a line. Segments divide a cue where they end and where another cue begins; its parts become one line again. */
function addLine(lines: Line[], line: Line): Line[] {
  const touches = (other: Line) => other.text === line.text && other.start <= line.end + TOLERANCE_S && line.start <= other.end + TOLERANCE_S;
  const parts = lines.filter(touches);
  if (!parts.length) return [...lines, line];
  const whole = { ...line, start: Math.min(line.start, ...parts.map((one) => one.start)), end: Math.max(line.end, ...parts.map((one) => one.end)) };
  return [...lines.filter((one) => !parts.includes(one)), whole];
}

/** Return what is left of a line outside of a time. */
function cutLine(line: Line, start: number, end: number): Line[] {
  if (line.end <= start || line.start >= end) return [line];
  const left = line.start < start ? [{ ...line, end: start }] : [];
  return line.end > end ? [...left, { ...line, start: end }] : left;
}

export class Subtitles implements shaka.extern.TextDisplayer {
  private lines: Line[] = [];
  private visible = false;

  constructor(private readonly onChange: (lines: Line[]) => void) {}

  append(cues: Cue[]): void {
    for (const cue of cues) {
      const text = getCueText(cue).trim();
      if (text) this.lines = addLine(this.lines, { start: cue.startTime, end: cue.endTime, text });
    }
    this.lines.sort((a, b) => a.start - b.start);
    this.notify();
  }

  remove(start: number, end: number): boolean {
    this.lines = this.lines.flatMap((line) => cutLine(line, start, end));
    this.notify();
    return true;
  }

  setTextVisibility(on: boolean): void {
    this.visible = on;
    this.notify();
  }

  isTextVisible(): boolean {
    return this.visible;
  }

  configure(): void {}

  setTextLanguage(): void {}

  async destroy(): Promise<void> {
    this.lines = [];
    this.notify();
  }

  private notify(): void {
    this.onChange(this.visible ? this.lines : []);
  }
}
