/** The state of the player, an immutable snapshot. */
import type { PlaySession } from "../../api";
import type { Line } from "./subtitles";
import { loadPreferences, type Preferences } from "./preferences";
import type { PlaybackError } from "./errors";

export interface Choice {
  id: string;
  language: string;
  label: string | null;
  roles: string[];
  channels: number | null;
  active: boolean;
}

/** The browser is offline, the gateway cannot be reached, or an edge failed and another is being tried. */
export type Outage = "offline" | "unreachable" | "edge";

export interface PlayerState {
  phase: "starting" | "ready" | "failed";
  session: PlaySession | null;
  paused: boolean;
  ended: boolean;
  /** Playback waits for data. */
  buffering: boolean;
  /** Why segments do not arrive; `null` while they do. */
  outage: Outage | null;
  position: number;
  duration: number;
  buffered: number;
  volume: number;
  muted: boolean;
  /** The browser does not allow sound before the first interaction. */
  mutedByBrowser: boolean;
  rate: number;
  audio: Choice[];
  text: Choice[];
  heights: number[];
  /** The chosen height; `null` is automatic. */
  height: number | null;
  playingHeight: number | null;
  lines: Line[];
  preferences: Preferences;
  error: PlaybackError | null;
}

/** Create the initial state with the stored preferences. */
export function createState(): PlayerState {
  const preferences = loadPreferences();
  return {
    phase: "starting", session: null, paused: false, ended: false, buffering: true, outage: null, position: 0, duration: 0,
    buffered: 0, volume: preferences.volume, muted: preferences.muted, mutedByBrowser: false, rate: 1, audio: [], text: [], heights: [],
    height: null, playingHeight: null, lines: [], preferences, error: null,
  };
}

/** What to play. */
export interface PlaybackRequest {
  titleId: string;
  episodeId: string | null;
  fromStart: boolean;
  /** The start position in seconds; `null` uses the position that the server has stored. */
  at: number | null;
  language: string;
}
