/** Keyboard, media keys and remote controls. */
import { useEffect, useRef } from "react";
import { getTranslator } from "../../i18n";
import type { Playback } from "./playback";

export const STEP_S = 10;

interface Commands {
  playback: Playback;
  frame: HTMLElement;
  onToggleStatistics: () => void;
  onNext: () => void;
}

export function seekBy(playback: Playback, seconds: number): void {
  const { video } = playback;
  const end = Number.isFinite(video.duration) ? video.duration : playback.store.get().duration;
  video.currentTime = Math.min(Math.max(0, video.currentTime + seconds), Math.max(0, end - 0.2));
}

export function togglePlay(playback: Playback): void {
  if (playback.video.paused) void playback.play();
  else playback.video.pause();
}

export function toggleMute(playback: Playback): void {
  const { video } = playback;
  video.muted = !video.muted;
  if (!video.muted && video.volume === 0) video.volume = 0.5;
}

export function changeVolume(playback: Playback, by: number): void {
  const { video } = playback;
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

/** Keys that work whatever has the focus. */
const GLOBAL_KEYS: Record<string, (commands: Commands) => void> = {
  k: ({ playback }) => togglePlay(playback),
  j: ({ playback }) => seekBy(playback, -STEP_S),
  l: ({ playback }) => seekBy(playback, STEP_S),
  m: ({ playback }) => toggleMute(playback),
  f: ({ frame }) => void toggleFullscreen(frame).catch(() => undefined),
  c: ({ playback }) => playback.tracks.toggleText(getTranslator().language),
  d: ({ onToggleStatistics }) => onToggleStatistics(),
  N: ({ onNext }) => onNext(),
  MediaPlayPause: ({ playback }) => togglePlay(playback),
  MediaPlay: ({ playback }) => void playback.play(),
  MediaPause: ({ playback }) => playback.video.pause(),
  MediaStop: ({ playback }) => playback.video.pause(),
  MediaRewind: ({ playback }) => seekBy(playback, -STEP_S),
  MediaFastForward: ({ playback }) => seekBy(playback, STEP_S),
  MediaTrackNext: ({ onNext }) => onNext(),
};

/** Keys that control playback while no control has the focus. */
const UNFOCUSED_KEYS: Record<string, (commands: Commands) => void> = {
  " ": ({ playback }) => togglePlay(playback),
  Enter: ({ playback }) => togglePlay(playback),
  ArrowLeft: ({ playback }) => seekBy(playback, -STEP_S),
  ArrowRight: ({ playback }) => seekBy(playback, STEP_S),
};
const VOLUME_KEYS: Record<string, number> = { ArrowUp: 0.05, ArrowDown: -0.05 };

export function useKeys(commands: Commands): void {
  const latest = useRef(commands);
  latest.current = commands;
  useEffect(() => {
    const stop = (event: KeyboardEvent) => {
      event.preventDefault();
      // The page must not handle the key as well.
      event.stopPropagation();
    };
    let isSpaceHandled = false;
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      const isHandled = handle(event, latest.current);
      if (event.key === " ") isSpaceHandled = isHandled;
      if (isHandled) stop(event);
    };
    // Some browsers press a focused button when the Space key is released.
    const onKeyUp = (event: KeyboardEvent) => event.key === " " && isSpaceHandled && stop(event);
    addEventListener("keydown", onKeyDown, true);
    addEventListener("keyup", onKeyUp, true);
    return () => {
      removeEventListener("keydown", onKeyDown, true);
      removeEventListener("keyup", onKeyUp, true);
    };
  }, []);
}

function handle(event: KeyboardEvent, commands: Commands): boolean {
  const always = GLOBAL_KEYS[event.key] ?? (event.shiftKey ? undefined : GLOBAL_KEYS[event.key.toLowerCase()]);
  if (always) {
    always(commands);
    return true;
  }
  const active = document.activeElement;
  const inControls = active instanceof HTMLElement && active !== commands.frame && commands.frame.contains(active);
  const isIdle = commands.frame.classList.contains("idle");
  // A card over the video stays when the controls fade, and so do its buttons.
  const onCard = inControls && active.closest(".up-next, .player-end") !== null;
  if (event.key === " " && inControls && !usesSpace(active)) return handleUnfocused(" ", commands);
  if (onCard || (inControls && !isIdle)) return false;
  return handleUnfocused(event.key, commands);
}

/** Return whether Space presses this control: a button, except the one that a closed menu returned the focus to. */
const usesSpace = (control: HTMLElement) => control.matches("button,a") && control.dataset.returned === undefined;

function handleUnfocused(key: string, commands: Commands): boolean {
  const command = UNFOCUSED_KEYS[key];
  if (command) {
    command(commands);
    return true;
  }
  const volume = VOLUME_KEYS[key];
  // On a television the arrows lead to the controls, and the remote control changes the volume.
  if (volume === undefined || document.documentElement.dataset.tv !== undefined) return false;
  changeVolume(commands.playback, volume);
  return true;
}
