/** The viewer's playback preferences, stored in the browser. */
export interface Preferences {
  volume: number;
  muted: boolean;
  audio: string | null;
  /** The language of the subtitles; `null` for none. */
  text: string | null;
  size: "small" | "medium" | "large";
  colour: "white" | "yellow" | "cyan";
  edge: "shadow" | "outline" | "box";
}

// The stored name of earlier versions.
const KEY = "matinee.taste";
const DEFAULT: Preferences = { volume: 1, muted: false, audio: null, text: null, size: "medium", colour: "white", edge: "shadow" };

export function loadPreferences(): Preferences {
  try {
    return { ...DEFAULT, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Preferences>) };
  } catch {
    return DEFAULT;
  }
}

export function savePreferences(preferences: Preferences): void {
  localStorage.setItem(KEY, JSON.stringify(preferences));
}
