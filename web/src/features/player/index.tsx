/** The player: picture first. */
import { useEffect, useRef, useState } from "react";
import { useArrival, useBack } from "../../focus";
import { useText } from "../../i18n";
import { back, go, paths } from "../../router";
import { Spinner } from "../../ui/Button";
import { useStore } from "../../ui/store";
import { capabilities } from "./capabilities";
import { Controls } from "./Controls";
import { useKeys } from "./keys";
import { useMediaSession } from "./mediaSession";
import { NextCard } from "./NextCard";
import { loadShaka } from "./shaka";
import { Showing } from "./showing";
import { Statistics } from "./Statistics";
import { SubtitleLines } from "./SubtitleLines";
import { TroublePanel } from "./TroublePanel";
import { useAwake } from "./useAwake";
import "./player.css";

/** Fetches what playing needs before anybody has pressed play. */
export function warm(): void {
  void loadShaka().catch(() => undefined);
  void capabilities();
}

interface PlayerPageProps {
  titleId: string;
  episodeId: string | null;
  fromStart: boolean;
}

export default function PlayerPage(props: PlayerPageProps) {
  // A retry is a new showing: a new session, a new player, from where the last one was.
  const [attempt, setAttempt] = useState<{ count: number; at: number | null }>({ count: 0, at: null });
  return <Picture key={attempt.count} {...props} at={attempt.at} again={(at) => setAttempt({ count: attempt.count + 1, at })} />;
}

interface Attempt {
  /** Where the attempt before was, in seconds; `null` leaves it to the server. */
  at: number | null;
  again: (at: number | null) => void;
}

function Picture({ titleId, episodeId, fromStart, at, again }: PlayerPageProps & Attempt) {
  const { language } = useText();
  const frame = useRef<HTMLElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const [showing, setShowing] = useState<Showing | null>(null);

  useEffect(() => {
    if (!video.current) return;
    // No control has the focus at first: from a keyboard, arrows and space steer the picture itself.
    frame.current?.focus({ preventScroll: true });
    const next = new Showing(video.current, { titleId, episodeId, fromStart, at, language });
    setShowing(next);
    void next.start();
    return () => void next.close();
    // The language of the page may change while a film runs; the film goes on.
  }, [titleId, episodeId, fromStart]);

  return (
    <main className="player" ref={frame} tabIndex={-1} data-testid="player" data-focus-scope data-focus="column">
      <video ref={video} className="player-video" playsInline data-testid="player-video" />
      {showing && frame.current && <Overlay showing={showing} frame={frame.current} titleId={titleId} again={again} />}
    </main>
  );
}

interface OverlayProps {
  showing: Showing;
  frame: HTMLElement;
  titleId: string;
  again: Attempt["again"];
}

function Overlay({ showing, frame, titleId, again }: OverlayProps) {
  const { t } = useText();
  const state = useStore(showing.store);
  const [statistics, setStatistics] = useState(false);
  const [menu, setMenu] = useState(false);
  const awake = useAwake(frame, state.paused || state.phase !== "ready" || menu);
  const leave = () => back(paths.title(titleId));
  const next = () => {
    const up = state.session?.next_up;
    if (up) go(paths.watch(titleId, up.episode_id), { replace: true });
  };

  useBack(() => (document.fullscreenElement ? void document.exitFullscreen() : leave()));
  useArrival(state.phase === "ready" && document.documentElement.dataset.tv !== undefined);
  useKeys({ showing, frame, toggleStatistics: () => setStatistics((on) => !on), next });
  useMediaSession(showing, state, next);
  useEffect(() => void frame.classList.toggle("asleep", !awake), [awake, frame]);

  if (state.phase === "failed" && state.trouble) return <TroublePanel trouble={state.trouble} retry={() => again(showing.resumeAt)} leave={leave} />;
  return (
    <>
      <SubtitleLines state={state} lifted={awake} />
      {state.buffering && <Waiting text={t(state.phase === "starting" ? "player.loading" : "player.rebuffering")} />}
      {state.mending && <p className="player-note" role="status">{t("player.recovering")}</p>}
      {state.hushed && <p className="player-note" role="status">{t("player.unmuteHint")}</p>}
      {statistics && <Statistics showing={showing} state={state} />}
      <Controls showing={showing} state={state} frame={frame} awake={awake} leave={leave} next={next} onMenu={setMenu} />
      <NextCard state={state} next={next} leave={leave} replay={() => {
        showing.video.currentTime = 0;
        void showing.play();
      }} />
    </>
  );
}

/** Nothing turns before it has taken long enough to be noticed. */
function Waiting({ text }: { text: string }) {
  return <div className="player-waiting" role="status"><Spinner /><span className="visually-hidden">{text}</span></div>;
}
