import { useEffect, useRef, useState } from "react";
import { focusElement } from "../../focus";
import { useText } from "../../i18n";
import { Button } from "../../ui/Button";
import { formatEpisode } from "../../ui/Card";
import type { PlayerState } from "./state";

const COUNTDOWN_S = 10;
/** The longest time before the end at which the card appears; in short titles it is the last twentieth. */
const CREDITS_S = 25;

const isAtCredits = ({ position, duration }: PlayerState) => duration > 0 && duration - position < Math.min(CREDITS_S, duration * 0.05 + 3);

interface NextCardProps {
  state: PlayerState;
  onNext: () => void;
  onLeave: () => void;
  onReplay: () => void;
}

/** Offers the next episode at the credits, which starts after a countdown, or what to do at the end. */
export function NextCard({ state, onNext, onLeave, onReplay }: NextCardProps) {
  const [dismissed, setDismissed] = useState(false);
  const up = state.session?.next_up;
  if (state.phase !== "ready") return null;
  if (up && isAtCredits(state) && !dismissed) return <UpNext state={state} onNext={onNext} onDismiss={() => setDismissed(true)} />;
  if (!state.ended) return null;
  return <EndPanel onLeave={onLeave} onReplay={onReplay} />;
}

/** Focus the most likely choice. */
function useButtonFocus() {
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (first.current) focusElement(first.current, false);
  }, []);
  return first;
}

function EndPanel({ onLeave, onReplay }: Pick<NextCardProps, "onLeave" | "onReplay">) {
  const { t } = useText();
  const first = useButtonFocus();
  return (
    <div className="player-end" data-focus="row" data-testid="player-end">
      <Button large icon="restart" onClick={onReplay}>{t("player.replay")}</Button>
      <Button ref={first} variant="primary" large icon="back" onClick={onLeave}>{t("app.back")}</Button>
    </div>
  );
}

function UpNext({ state, onNext, onDismiss }: { state: PlayerState; onNext: () => void; onDismiss: () => void }) {
  const text = useText();
  const { t } = text;
  const [secondsLeft, setSecondsLeft] = useState(COUNTDOWN_S);
  const first = useButtonFocus();
  const up = state.session?.next_up;
  const running = !state.paused || state.ended;
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setSecondsLeft((seconds) => seconds - 1), 1000);
    return () => clearInterval(timer);
  }, [running]);
  useEffect(() => {
    if (secondsLeft <= 0) onNext();
    // Once, at the end of the countdown.
  }, [secondsLeft <= 0]);
  if (!up) return null;
  return (
    <aside className="up-next" data-testid="up-next" data-focus="row">
      <p className="up-next-when">{t("player.nextIn", { count: Math.max(0, secondsLeft) })}</p>
      <p className="up-next-name">{formatEpisode(up.season_number, up.number, text)} · {text.localise(up.names)}</p>
      <div className="up-next-actions">
        <Button ref={first} variant="primary" icon="play" onClick={onNext} data-testid="next-now">{t("player.playNow")}</Button>
        <Button variant="quiet" onClick={onDismiss}>{t("player.watchCredits")}</Button>
      </div>
    </aside>
  );
}
