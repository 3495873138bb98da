/** Passes the cues of the chosen subtitles to the page, which draws them. */
import type shaka from "shaka-player/dist/shaka-player.dash-es2021";

type Cue = shaka.text.Cue;

export interface Line {
  start: number;
  end: number;
  text: string;
}

/** Return the text of a cue and its nested cues. */
function getCueText(cue: Cue): string {
  if (cue.lineBreak) return "\n";
  const nested = cue.nestedCues.map(getCueText).join("");
  return cue.payload || nested;
}

export class Subtitles implements shaka.extern.TextDisplayer {
  private lines: Line[] = [];
  private visible = false;

  constructor(private readonly onChange: (lines: Line[]) => void) {}

  append(cues: Cue[]): void {
    const existing = new Set(this.lines.map((line) => `${line.start}|${line.end}|${line.text}`));
    for (const cue of cues) {
      const line = { start: cue.startTime, end: cue.endTime, text: getCueText(cue).trim() };
      if (line.text && !existing.has(`${line.start}|${line.end}|${line.text}`)) this.lines.push(line);
    }
    this.lines.sort((a, b) => a.start - b.start);
    this.notify();
  }

  remove(start: number, end: number): boolean {
    this.lines = this.lines.filter((line) => line.end <= start || line.start >= end);
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
