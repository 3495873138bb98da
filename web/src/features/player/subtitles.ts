/** Hands the cues of the chosen subtitles to the page, which draws them to the viewer's taste. */
import type shaka from "shaka-player/dist/shaka-player.dash-es2021";

type Cue = shaka.text.Cue;

export interface Line {
  start: number;
  end: number;
  text: string;
}

/** The words of a cue and of all that is nested in it. */
function wordsOf(cue: Cue): string {
  if (cue.lineBreak) return "\n";
  const nested = cue.nestedCues.map(wordsOf).join("");
  return cue.payload || nested;
}

export class Subtitles implements shaka.extern.TextDisplayer {
  private lines: Line[] = [];
  private visible = false;

  constructor(private readonly changed: (lines: Line[]) => void) {}

  append(cues: Cue[]): void {
    const known = new Set(this.lines.map((line) => `${line.start}|${line.end}|${line.text}`));
    for (const cue of cues) {
      const line = { start: cue.startTime, end: cue.endTime, text: wordsOf(cue).trim() };
      if (line.text && !known.has(`${line.start}|${line.end}|${line.text}`)) this.lines.push(line);
    }
    this.lines.sort((a, b) => a.start - b.start);
    this.tell();
  }

  remove(start: number, end: number): boolean {
    this.lines = this.lines.filter((line) => line.end <= start || line.start >= end);
    this.tell();
    return true;
  }

  setTextVisibility(on: boolean): void {
    this.visible = on;
    this.tell();
  }

  isTextVisible(): boolean {
    return this.visible;
  }

  configure(): void {}

  setTextLanguage(): void {}

  async destroy(): Promise<void> {
    this.lines = [];
    this.tell();
  }

  private tell(): void {
    this.changed(this.visible ? this.lines : []);
  }
}
