/** What the player shows: one snapshot, replaced as a whole. */
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

export interface PlayerState {
  phase: "starting" | "ready" | "failed";
  session: PlaySession | null;
  paused: boolean;
  ended: boolean;
  /** The picture waits for the network. */
  buffering: boolean;
  /** An edge or a token failed, and another way is being tried. */
  recovering: boolean;
  position: number;
  duration: number;
  buffered: number;
  volume: number;
  muted: boolean;
  /** The browser allowed no sound before the viewer touches something. */
  autoMuted: boolean;
  rate: number;
  audio: Choice[];
  text: Choice[];
  heights: number[];
  /** The chosen height; `null` is automatic. */
  height: number | null;
  shownHeight: number | null;
  lines: Line[];
  preferences: Preferences;
  error: PlaybackError | null;
}

/** Before anything is known, in the viewer's preferences. */
export function blank(): PlayerState {
  const preferences = loadPreferences();
  return {
    phase: "starting", session: null, paused: false, ended: false, buffering: true, recovering: false, position: 0, duration: 0,
    buffered: 0, volume: preferences.volume, muted: preferences.muted, autoMuted: false, rate: 1, audio: [], text: [], heights: [],
    height: null, shownHeight: null, lines: [], preferences, error: null,
  };
}

/** What somebody asked to see. */
export interface PlayOptions {
  titleId: string;
  episodeId: string | null;
  fromStart: boolean;
  /** Seconds to start at, whatever the server remembers; `null` leaves it to the server. */
  at: number | null;
  language: string;
}
