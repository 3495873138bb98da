/** What the player shows: one snapshot, replaced as a whole. */
import type { PlaySession } from "../../api";
import type { Line } from "./subtitles";
import { loadTaste, type Taste } from "./taste";
import type { Trouble } from "./trouble";

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
  mending: boolean;
  position: number;
  duration: number;
  buffered: number;
  volume: number;
  muted: boolean;
  /** The browser allowed no sound before the viewer touches something. */
  hushed: boolean;
  rate: number;
  audio: Choice[];
  text: Choice[];
  heights: number[];
  /** The chosen height; `null` is automatic. */
  height: number | null;
  shownHeight: number | null;
  lines: Line[];
  taste: Taste;
  trouble: Trouble | null;
}

/** Before anything is known, in the viewer's taste. */
export function blank(): PlayerState {
  const taste = loadTaste();
  return {
    phase: "starting", session: null, paused: false, ended: false, buffering: true, mending: false, position: 0, duration: 0,
    buffered: 0, volume: taste.volume, muted: taste.muted, hushed: false, rate: 1, audio: [], text: [], heights: [],
    height: null, shownHeight: null, lines: [], taste, trouble: null,
  };
}

/** What somebody asked to see. */
export interface Wanted {
  titleId: string;
  episodeId: string | null;
  fromStart: boolean;
  /** Seconds to start at, whatever the server remembers; `null` leaves it to the server. */
  at: number | null;
  language: string;
}
