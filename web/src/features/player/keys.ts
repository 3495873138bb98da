/** Keyboard, media keys and remote controls. */
import { useEffect, useRef } from "react";
import { translate } from "../../i18n";
import type { Showing } from "./showing";

export const STEP_S = 10;

interface Commands {
  showing: Showing;
  frame: HTMLElement;
  toggleStatistics: () => void;
  next: () => void;
}

export function seekBy(showing: Showing, seconds: number): void {
  const { video } = showing;
  const end = Number.isFinite(video.duration) ? video.duration : showing.store.get().duration;
  video.currentTime = Math.min(Math.max(0, video.currentTime + seconds), Math.max(0, end - 0.2));
}

export function togglePlay(showing: Showing): void {
  if (showing.video.paused) void showing.play();
  else showing.video.pause();
}

export function toggleMute(showing: Showing): void {
  const { video } = showing;
  video.muted = !video.muted;
  if (!video.muted && video.volume === 0) video.volume = 0.5;
}

export function louder(showing: Showing, by: number): void {
  const { video } = showing;
  video.volume = Math.round(Math.min(1, Math.max(0, video.volume + by)) * 20) / 20;
  if (by > 0) video.muted = false;
}

export async function toggleFullscreen(frame: HTMLElement): Promise<void> {
  if (document.fullscreenElement) return document.exitFullscreen();
  const video = frame.querySelector("video") as (HTMLVideoElement & { webkitEnterFullscreen?: () => void }) | null;
  if (frame.requestFullscreen) await frame.requestFullscreen();
  else video?.webkitEnterFullscreen?.();
}

export async function togglePip(video: HTMLVideoElement): Promise<void> {
  if (document.pictureInPictureElement) await document.exitPictureInPicture();
  else await video.requestPictureInPicture();
}

/** Keys that work wherever the focus is. */
const ALWAYS: Record<string, (commands: Commands) => void> = {
  k: ({ showing }) => togglePlay(showing),
  j: ({ showing }) => seekBy(showing, -STEP_S),
  l: ({ showing }) => seekBy(showing, STEP_S),
  m: ({ showing }) => toggleMute(showing),
  f: ({ frame }) => void toggleFullscreen(frame).catch(() => undefined),
  c: ({ showing }) => showing.tracks.toggleText(translate().language),
  d: ({ toggleStatistics }) => toggleStatistics(),
  N: ({ next }) => next(),
  MediaPlayPause: ({ showing }) => togglePlay(showing),
  MediaPlay: ({ showing }) => void showing.play(),
  MediaPause: ({ showing }) => showing.video.pause(),
  MediaStop: ({ showing }) => showing.video.pause(),
  MediaRewind: ({ showing }) => seekBy(showing, -STEP_S),
  MediaFastForward: ({ showing }) => seekBy(showing, STEP_S),
  MediaTrackNext: ({ next }) => next(),
};

/** Keys that steer the picture while no control has the focus. */
const BARE: Record<string, (commands: Commands) => void> = {
  " ": ({ showing }) => togglePlay(showing),
  Enter: ({ showing }) => togglePlay(showing),
  ArrowLeft: ({ showing }) => seekBy(showing, -STEP_S),
  ArrowRight: ({ showing }) => seekBy(showing, STEP_S),
};
const VOLUME: Record<string, number> = { ArrowUp: 0.05, ArrowDown: -0.05 };

export function useKeys(commands: Commands): void {
  const latest = useRef(commands);
  latest.current = commands;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (handle(event, latest.current)) {
        event.preventDefault();
        // The page's own arrow keys are not to hear of it.
        event.stopPropagation();
      }
    };
    addEventListener("keydown", press, true);
    return () => removeEventListener("keydown", press, true);
  }, []);
}

function handle(event: KeyboardEvent, commands: Commands): boolean {
  const always = ALWAYS[event.key] ?? (event.shiftKey ? undefined : ALWAYS[event.key.toLowerCase()]);
  if (always) {
    always(commands);
    return true;
  }
  const active = document.activeElement;
  const inControls = active instanceof HTMLElement && active !== commands.frame && commands.frame.contains(active);
  const asleep = commands.frame.classList.contains("asleep");
  // A card over the picture stays when the controls fade, and so do its buttons.
  const onCard = inControls && active.closest(".up-next, .player-end") !== null;
  if (onCard || (inControls && !asleep)) return false;
  return bare(event.key, commands);
}

function bare(key: string, commands: Commands): boolean {
  const command = BARE[key];
  if (command) {
    command(commands);
    return true;
  }
  const volume = VOLUME[key];
  // From a sofa the arrows lead to the controls; loudness is the television's.
  if (volume === undefined || document.documentElement.dataset.tv !== undefined) return false;
  louder(commands.showing, volume);
  return true;
}
