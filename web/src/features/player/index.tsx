/** The player page. */
import { useEffect, useRef, useState } from "react";
import { useInitialFocus, useBack } from "../../focus";
import { useText } from "../../i18n";
import { back, go, paths } from "../../router";
import { Spinner } from "../../ui/Button";
import { useStore } from "../../ui/store";
import { getCapabilities } from "./capabilities";
import { Controls } from "./Controls";
import { useKeys } from "./keys";
import { useMediaSession } from "./mediaSession";
import { NextCard } from "./NextCard";
import { loadShaka } from "./shaka";
import { Playback } from "./playback";
import { Statistics } from "./Statistics";
import { SubtitleLines } from "./SubtitleLines";
import { ErrorPanel } from "./ErrorPanel";
import { useControlsVisible } from "./useControlsVisible";
import "./player.css";

export { playPreview } from "./preview";

/** Load what playback needs in advance. */
export function preload(): void {
  void loadShaka().catch(() => undefined);
  void getCapabilities();
}

interface PlayerPageProps {
  titleId: string;
  episodeId: string | null;
  fromStart: boolean;
}

export default function PlayerPage(props: PlayerPageProps) {
  // A retry is a new playback with a new session and a new player, at the position of the previous one.
  const [attempt, setAttempt] = useState<{ count: number; at: number | null }>({ count: 0, at: null });
  return <PlayerFrame key={attempt.count} {...props} at={attempt.at} onRetry={(at) => setAttempt({ count: attempt.count + 1, at })} />;
}

interface Attempt {
  /** The position of the previous attempt in seconds; `null` uses the position that the server has stored. */
  at: number | null;
  onRetry: (at: number | null) => void;
}

function PlayerFrame({ titleId, episodeId, fromStart, at, onRetry }: PlayerPageProps & Attempt) {
  const { language } = useText();
  const frame = useRef<HTMLElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const [playback, setPlayback] = useState<Playback | null>(null);

  useEffect(() => {
    if (!video.current) return;
    // No control has the focus at first, so that arrows and space control playback.
    frame.current?.focus({ preventScroll: true });
    const created = new Playback(video.current, { titleId, episodeId, fromStart, at, language });
    setPlayback(created);
    void created.start();
    return () => void created.close();
    // A change of the page's language does not restart playback.
  }, [titleId, episodeId, fromStart]);

  return (
    <main className="player" ref={frame} tabIndex={-1} data-testid="player" data-focus-scope data-focus="column">
      <video ref={video} className="player-video" playsInline data-testid="player-video" />
      {playback && frame.current && <Overlay playback={playback} frame={frame.current} titleId={titleId} onRetry={onRetry} />}
    </main>
  );
}

interface OverlayProps {
  playback: Playback;
  frame: HTMLElement;
  titleId: string;
  onRetry: Attempt["onRetry"];
}

function Overlay({ playback, frame, titleId, onRetry }: OverlayProps) {
  const { t } = useText();
  const state = useStore(playback.store);
  const [statistics, setStatistics] = useState(false);
  const [menu, setMenu] = useState(false);
  const visible = useControlsVisible(frame, state.paused || state.phase !== "ready" || menu);
  const onLeave = () => back(paths.title(titleId));
  const onNext = () => {
    const up = state.session?.next_up;
    if (up) go(paths.watch(titleId, up.episode_id), { replace: true });
  };

  useBack(() => (document.fullscreenElement ? void document.exitFullscreen() : onLeave()));
  useInitialFocus(state.phase === "ready" && document.documentElement.dataset.tv !== undefined);
  useKeys({ playback, frame, onToggleStatistics: () => setStatistics((on) => !on), onNext });
  useMediaSession(playback, state, onNext);
  useEffect(() => void frame.classList.toggle("idle", !visible), [visible, frame]);

  if (state.phase === "failed" && state.error) return <ErrorPanel error={state.error} onRetry={() => onRetry(playback.resumeAt)} onLeave={onLeave} />;
  return (
    <>
      <SubtitleLines state={state} raised={visible} />
      {state.buffering && <BufferingIndicator text={t(state.phase === "starting" ? "player.loading" : "player.rebuffering")} />}
      {state.outage && (state.buffering || state.outage === "offline") && <p className="player-note" role="status" data-testid="player-outage">{t(`player.outage.${state.outage}`)}</p>}
      {state.mutedByBrowser && <p className="player-note" role="status">{t("player.unmuteHint")}</p>}
      {statistics && <Statistics playback={playback} state={state} />}
      <Controls playback={playback} state={state} frame={frame} visible={visible} onLeave={onLeave} onNext={onNext} onMenu={setMenu} />
      <NextCard state={state} onNext={onNext} onLeave={onLeave} onReplay={() => {
        playback.video.currentTime = 0;
        void playback.play();
      }} />
    </>
  );
}

/** A spinner that appears after a short delay (in the style sheet). */
function BufferingIndicator({ text }: { text: string }) {
  return <div className="player-waiting" role="status"><Spinner /><span className="visually-hidden">{text}</span></div>;
}
