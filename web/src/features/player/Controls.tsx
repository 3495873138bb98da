import { type MouseEvent, useEffect, useState } from "react";
import { useText } from "../../i18n";
import { IconButton } from "../../ui/Button";
import { formatEpisode } from "../../ui/Card";
import { useTitle } from "../../ui/title";
import { seekBy, STEP_S, toggleFullscreen, toggleMute, togglePip, togglePlay } from "./keys";
import { AudioTextMenu, SettingsMenu } from "./Menu";
import { Scrubber } from "./Scrubber";
import type { Playback } from "./playback";
import type { PlayerState } from "./state";

interface ControlsProps {
  playback: Playback;
  state: PlayerState;
  frame: HTMLElement;
  visible: boolean;
  onLeave: () => void;
  onNext: () => void;
  onMenu: (open: boolean) => void;
}

export function Controls(props: ControlsProps) {
  const { playback, state, frame, visible, onLeave } = props;
  const { t } = useText();
  return (
    <div className={`controls ${visible ? "" : "hidden"}`} data-testid="controls" data-focus="column" onMouseDown={keepFocus}>
      <Surface playback={playback} frame={frame} />
      <div className="controls-top" data-focus="row">
        <IconButton icon="back" label={t("app.back")} onClick={onLeave} data-testid="control-back" />
        <Heading state={state} />
      </div>
      <Middle playback={playback} state={state} />
      <div className="controls-bottom" data-focus="column">
        <Times state={state}><Scrubber playback={playback} state={state} /></Times>
        <Buttons {...props} />
      </div>
    </div>
  );
}

/** A control that is used with a pointer does not take the focus, so that the keys still control playback. */
function keepFocus(event: MouseEvent): void {
  if (event.target instanceof Element && event.target.closest("button,.scrubber")) event.preventDefault();
}

/** The video surface: a click pauses, a double click toggles full screen; a touch only shows the controls. */
function Surface({ playback, frame }: { playback: Playback; frame: HTMLElement }) {
  const [isTouch, setIsTouch] = useState(false);
  return (
    <div
      className="surface"
      onPointerDown={(event) => setIsTouch(event.pointerType !== "mouse")}
      onClick={() => !isTouch && togglePlay(playback)}
      onDoubleClick={() => void toggleFullscreen(frame).catch(() => undefined)}
    />
  );
}

function Heading({ state }: { state: PlayerState }) {
  const text = useText();
  const { session } = state;
  useTitle(session ? text.localise(session.names) : undefined);
  if (!session) return <div className="controls-title" />;
  const { season_number: season, episode_number: episode } = session;
  const line = season != null && episode != null ? [formatEpisode(season, episode, text), text.localise(session.episode_names)].filter(Boolean).join(" · ") : null;
  return (
    <div className="controls-title">
      <h1>{text.localise(session.names)}</h1>
      {line && <p>{line}</p>}
    </div>
  );
}

/** Large buttons in the middle of the video, for touch; the style sheet shows either these or those at the bottom. */
function Middle({ playback, state }: { playback: Playback; state: PlayerState }) {
  const { t } = useText();
  if (state.phase !== "ready") return null;
  return (
    <div className="controls-middle" data-focus="row">
      <IconButton icon="backward" label={t("player.backward")} onClick={() => seekBy(playback, -STEP_S)} />
      <IconButton icon={state.paused ? "play" : "pause"} label={t(state.paused ? "player.play" : "player.pause")} data-testid="middle-play" onClick={() => togglePlay(playback)} />
      <IconButton icon="forward" label={t("player.forward")} onClick={() => seekBy(playback, STEP_S)} />
    </div>
  );
}

function Times({ state, children }: { state: PlayerState; children: React.ReactNode }) {
  const text = useText();
  return (
    <div className="controls-time">
      <span data-testid="control-position">{text.formatClock(state.position * 1000)}</span>
      {children}
      <span>{text.formatClock(state.duration * 1000)}</span>
    </div>
  );
}

type Open = "audio-text" | "settings" | null;

function Buttons({ playback, state, frame, onNext, onMenu }: ControlsProps) {
  const { t } = useText();
  const [open, setOpen] = useState<Open>(null);
  const full = useFullscreen();
  useEffect(() => onMenu(open !== null), [open, onMenu]);
  const toggle = (menu: Open) => setOpen(open === menu ? null : menu);
  const ready = state.phase === "ready";
  return (
    <>
      <div className="controls-buttons" data-focus="row">
        <IconButton icon={state.paused ? "play" : "pause"} label={t(state.paused ? "player.play" : "player.pause")} disabled={!ready} onClick={() => togglePlay(playback)} data-testid="control-play" data-focus-first />
        <IconButton icon="backward" label={t("player.backward")} disabled={!ready} onClick={() => seekBy(playback, -STEP_S)} data-testid="control-backward" />
        <IconButton icon="forward" label={t("player.forward")} disabled={!ready} onClick={() => seekBy(playback, STEP_S)} data-testid="control-forward" />
        <Volume playback={playback} state={state} />
        <span className="controls-gap" />
        {state.session?.next_up && <IconButton icon="next" label={t("player.next")} onClick={onNext} data-testid="control-next" />}
        <IconButton icon="captions" label={t("player.audioText")} aria-expanded={open === "audio-text"} disabled={!ready} onClick={() => toggle("audio-text")} data-testid="control-audio-text" />
        <IconButton icon="settings" label={t("player.settings")} aria-expanded={open === "settings"} disabled={!ready} onClick={() => toggle("settings")} data-testid="control-settings" />
        {document.pictureInPictureEnabled && <IconButton className="wide-only" icon="pip" label={t("player.pip")} disabled={!ready} onClick={() => void togglePip(playback.video).catch(() => undefined)} data-testid="control-pip" />}
        <IconButton icon={full ? "windowed" : "fullscreen"} label={t(full ? "player.windowed" : "player.fullscreen")} onClick={() => void toggleFullscreen(frame).catch(() => undefined)} data-testid="control-fullscreen" />
      </div>
      {open === "audio-text" && <AudioTextMenu playback={playback} state={state} onClose={() => setOpen(null)} />}
      {open === "settings" && <SettingsMenu playback={playback} state={state} onClose={() => setOpen(null)} />}
      {open && <div className="player-panel-back" onClick={() => setOpen(null)} />}
    </>
  );
}

function Volume({ playback, state }: { playback: Playback; state: PlayerState }) {
  const { t } = useText();
  const isMuted = state.muted || state.volume === 0;
  return (
    <span className="volume" data-focus="row">
      <IconButton icon={isMuted ? "muted" : state.volume < 0.5 ? "quiet" : "volume"} label={t(isMuted ? "player.unmute" : "player.mute")} onClick={() => toggleMute(playback)} data-testid="control-mute" />
      <input type="range" min={0} max={1} step={0.05} value={isMuted ? 0 : state.volume} aria-label={t("player.volume")} style={{ "--value": isMuted ? 0 : state.volume } as React.CSSProperties} onChange={(event) => {
        playback.video.volume = Number(event.target.value);
        playback.video.muted = false;
      }} />
    </span>
  );
}

function useFullscreen(): boolean {
  const [full, setFull] = useState(document.fullscreenElement !== null);
  useEffect(() => {
    const onChange = () => setFull(document.fullscreenElement !== null);
    document.addEventListener("fullscreenchange", onChange);
    return () => document.removeEventListener("fullscreenchange", onChange);
  }, []);
  return full;
}
