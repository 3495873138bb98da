/** The viewer's playback preferences, stored in the browser. */
export interface Preferences {
  volume: number;
  muted: boolean;
  audio: string | null;
  /** The language of the subtitles; `null` for none. */
  text: string | null;
  size: "small" | "medium" | "large";
  colour: "white" | "yellow" | "cyan";
  edge: "none" | "shadow" | "outline";
  background: "none" | "soft" | "solid";
  position: "bottom" | "top";
}

// The stored name of earlier versions.
const KEY = "matinee.taste";
// The background and the outline keep subtitles readable on snow.
export const DEFAULT: Preferences = { volume: 1, muted: false, audio: null, text: null, size: "medium", colour: "white", edge: "outline", background: "soft", position: "bottom" };

type Stored = Partial<Omit<Preferences, "edge">> & { edge?: Preferences["edge"] | "box" };

/** Complete stored preferences. In earlier versions the background was an edge, and a shadow was the default. */
export function completePreferences({ edge, ...stored }: Stored): Preferences {
  const isEarlier = stored.background === undefined;
  if (isEarlier && edge === "box") return { ...DEFAULT, ...stored, background: "solid" };
  return { ...DEFAULT, ...stored, edge: isEarlier || !edge || edge === "box" ? DEFAULT.edge : edge };
}

export function loadPreferences(): Preferences {
  try {
    return completePreferences(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Stored);
  } catch {
    return DEFAULT;
  }
}

export function savePreferences(preferences: Preferences): void {
  localStorage.setItem(KEY, JSON.stringify(preferences));
}
