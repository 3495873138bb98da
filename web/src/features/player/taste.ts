/** What the viewer chose once and does not want to choose again; kept by this browser. */
export interface Taste {
  volume: number;
  muted: boolean;
  audio: string | null;
  /** The language of the subtitles; `null` is none. */
  text: string | null;
  size: "small" | "medium" | "large";
  colour: "white" | "yellow" | "cyan";
  edge: "shadow" | "outline" | "box";
}

const KEY = "matinee.taste";
const DEFAULT: Taste = { volume: 1, muted: false, audio: null, text: null, size: "medium", colour: "white", edge: "shadow" };

export function loadTaste(): Taste {
  try {
    return { ...DEFAULT, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Taste>) };
  } catch {
    return DEFAULT;
  }
}

export function saveTaste(taste: Taste): void {
  localStorage.setItem(KEY, JSON.stringify(taste));
}
