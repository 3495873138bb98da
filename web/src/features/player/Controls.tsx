import { useEffect, useState } from "react";
import { useText } from "../../i18n";
import { IconButton } from "../../ui/Button";
import { episodeMark } from "../../ui/Card";
import { seekBy, STEP_S, toggleFullscreen, toggleMute, togglePip, togglePlay } from "./keys";
import { AudioTextMenu, SettingsMenu } from "./Menu";
import { Scrubber } from "./Scrubber";
import type { Showing } from "./showing";
import type { PlayerState } from "./state";

interface ControlsProps {
  showing: Showing;
  state: PlayerState;
  frame: HTMLElement;
  awake: boolean;
  leave: () => void;
  next: () => void;
  onMenu: (open: boolean) => void;
}

export function Controls(props: ControlsProps) {
  const { showing, state, frame, awake, leave } = props;
  const { t } = useText();
  return (
    <div className={`controls ${awake ? "" : "hidden"}`} data-testid="controls" data-focus="column">
      <Surface showing={showing} frame={frame} />
      <div className="controls-top" data-focus="row">
        <IconButton icon="back" label={t("app.back")} onClick={leave} data-testid="control-back" />
        <Heading state={state} />
      </div>
      <Middle showing={showing} state={state} />
      <div className="controls-bottom" data-focus="column">
        <Times state={state}><Scrubber showing={showing} state={state} /></Times>
        <Buttons {...props} />
      </div>
    </div>
  );
}

/** The picture itself: a press pauses, two make it full screen; a finger only wakes the controls. */
function Surface({ showing, frame }: { showing: Showing; frame: HTMLElement }) {
  const [fingers, setFingers] = useState(false);
  return (
    <div
      className="surface"
      onPointerDown={(event) => setFingers(event.pointerType !== "mouse")}
      onClick={() => !fingers && togglePlay(showing)}
      onDoubleClick={() => void toggleFullscreen(frame).catch(() => undefined)}
    />
  );
}

function Heading({ state }: { state: PlayerState }) {
  const text = useText();
  const { session } = state;
  if (!session) return <div className="controls-title" />;
  const { season_number: season, episode_number: episode } = session;
  const line = season != null && episode != null ? [episodeMark(season, episode, text), text.localised(session.episode_names)].filter(Boolean).join(" · ") : null;
  return (
    <div className="controls-title">
      <h1>{text.localised(session.names)}</h1>
      {line && <p>{line}</p>}
    </div>
  );
}

/** Large buttons in the middle of the picture, for fingers. */
function Middle({ showing, state }: { showing: Showing; state: PlayerState }) {
  const { t } = useText();
  if (state.phase !== "ready" || state.buffering) return null;
  return (
    <div className="controls-middle">
      <IconButton icon="backward" label={t("player.backward")} tabIndex={-1} onClick={() => seekBy(showing, -STEP_S)} />
      <IconButton icon={state.paused ? "play" : "pause"} label={t(state.paused ? "player.play" : "player.pause")} tabIndex={-1} onClick={() => togglePlay(showing)} />
      <IconButton icon="forward" label={t("player.forward")} tabIndex={-1} onClick={() => seekBy(showing, STEP_S)} />
    </div>
  );
}

function Times({ state, children }: { state: PlayerState; children: React.ReactNode }) {
  const text = useText();
  return (
    <div className="controls-time">
      <span data-testid="control-position">{text.clock(state.position * 1000)}</span>
      {children}
      <span>{text.clock(state.duration * 1000)}</span>
    </div>
  );
}

type Open = "audio-text" | "settings" | null;

function Buttons({ showing, state, frame, next, onMenu }: ControlsProps) {
  const { t } = useText();
  const [open, setOpen] = useState<Open>(null);
  const full = useFullscreen();
  useEffect(() => onMenu(open !== null), [open, onMenu]);
  const toggle = (menu: Open) => setOpen(open === menu ? null : menu);
  const ready = state.phase === "ready";
  return (
    <>
      <div className="controls-buttons" data-focus="row">
        <IconButton icon={state.paused ? "play" : "pause"} label={t(state.paused ? "player.play" : "player.pause")} disabled={!ready} onClick={() => togglePlay(showing)} data-testid="control-play" data-focus-first />
        <IconButton icon="backward" label={t("player.backward")} disabled={!ready} onClick={() => seekBy(showing, -STEP_S)} data-testid="control-backward" />
        <IconButton icon="forward" label={t("player.forward")} disabled={!ready} onClick={() => seekBy(showing, STEP_S)} data-testid="control-forward" />
        <Volume showing={showing} state={state} />
        <span className="controls-gap" />
        {state.session?.next_up && <IconButton icon="next" label={t("player.next")} onClick={next} data-testid="control-next" />}
        <IconButton icon="captions" label={t("player.audioText")} aria-expanded={open === "audio-text"} disabled={!ready} onClick={() => toggle("audio-text")} data-testid="control-audio-text" />
        <IconButton icon="settings" label={t("player.settings")} aria-expanded={open === "settings"} disabled={!ready} onClick={() => toggle("settings")} data-testid="control-settings" />
        {document.pictureInPictureEnabled && <IconButton className="wide-only" icon="pip" label={t("player.pip")} disabled={!ready} onClick={() => void togglePip(showing.video).catch(() => undefined)} data-testid="control-pip" />}
        <IconButton icon={full ? "windowed" : "fullscreen"} label={t(full ? "player.windowed" : "player.fullscreen")} onClick={() => void toggleFullscreen(frame).catch(() => undefined)} data-testid="control-fullscreen" />
      </div>
      {open === "audio-text" && <AudioTextMenu showing={showing} state={state} close={() => setOpen(null)} />}
      {open === "settings" && <SettingsMenu showing={showing} state={state} close={() => setOpen(null)} />}
      {open && <div className="player-panel-back" onClick={() => setOpen(null)} />}
    </>
  );
}

function Volume({ showing, state }: { showing: Showing; state: PlayerState }) {
  const { t } = useText();
  const silent = state.muted || state.volume === 0;
  return (
    <span className="volume" data-focus="row">
      <IconButton icon={silent ? "muted" : state.volume < 0.5 ? "quiet" : "volume"} label={t(silent ? "player.unmute" : "player.mute")} onClick={() => toggleMute(showing)} data-testid="control-mute" />
      <input type="range" min={0} max={1} step={0.05} value={silent ? 0 : state.volume} aria-label={t("player.volume")} style={{ "--value": silent ? 0 : state.volume } as React.CSSProperties} onChange={(event) => {
        showing.video.volume = Number(event.target.value);
        showing.video.muted = false;
      }} />
    </span>
  );
}

function useFullscreen(): boolean {
  const [full, setFull] = useState(document.fullscreenElement !== null);
  useEffect(() => {
    const look = () => setFull(document.fullscreenElement !== null);
    document.addEventListener("fullscreenchange", look);
    return () => document.removeEventListener("fullscreenchange", look);
  }, []);
  return full;
}
