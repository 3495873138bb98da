import { useEffect, useRef, useState } from "react";
import { focusElement } from "../../focus";
import { useText } from "../../i18n";
import { Button } from "../../ui/Button";
import { episodeMark } from "../../ui/Card";
import type { PlayerState } from "./state";

const COUNT_S = 10;
/** The card comes at the credits: the last twentieth, no sooner than this before the end. */
const CREDITS_S = 25;

const atCredits = ({ position, duration }: PlayerState) => duration > 0 && duration - position < Math.min(CREDITS_S, duration * 0.05 + 3);

interface NextCardProps {
  state: PlayerState;
  next: () => void;
  leave: () => void;
  replay: () => void;
}

/** What follows: the next episode by itself, or the end. */
export function NextCard({ state, next, leave, replay }: NextCardProps) {
  const [dismissed, setDismissed] = useState(false);
  const up = state.session?.next_up;
  if (state.phase !== "ready") return null;
  if (up && atCredits(state) && !dismissed) return <UpNext state={state} next={next} dismiss={() => setDismissed(true)} />;
  if (!state.ended) return null;
  return <End leave={leave} replay={replay} />;
}

/** The focus goes to what comes next, so that a remote control need not look for it. */
function useFirst() {
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (first.current) focusElement(first.current, false);
  }, []);
  return first;
}

function End({ leave, replay }: Pick<NextCardProps, "leave" | "replay">) {
  const { t } = useText();
  const first = useFirst();
  return (
    <div className="player-end" data-focus="row" data-testid="player-end">
      <Button large icon="restart" onClick={replay}>{t("player.replay")}</Button>
      <Button ref={first} look="primary" large icon="back" onClick={leave}>{t("app.back")}</Button>
    </div>
  );
}

function UpNext({ state, next, dismiss }: { state: PlayerState; next: () => void; dismiss: () => void }) {
  const text = useText();
  const { t } = text;
  const [left, setLeft] = useState(COUNT_S);
  const first = useFirst();
  const up = state.session?.next_up;
  const running = !state.paused || state.ended;
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setLeft((seconds) => seconds - 1), 1000);
    return () => clearInterval(timer);
  }, [running]);
  useEffect(() => {
    if (left <= 0) next();
    // Once, when the count has run out.
  }, [left <= 0]);
  if (!up) return null;
  return (
    <aside className="up-next" data-testid="up-next" data-focus="row">
      <p className="up-next-when">{t("player.nextIn", { count: Math.max(0, left) })}</p>
      <p className="up-next-name">{episodeMark(up.season_number, up.number, text)} · {text.localised(up.names)}</p>
      <div className="up-next-actions">
        <Button ref={first} look="primary" icon="play" onClick={next} data-testid="next-now">{t("player.playNow")}</Button>
        <Button look="quiet" onClick={dismiss}>{t("player.watchCredits")}</Button>
      </div>
    </aside>
  );
}
