import { useEffect } from "react";
import { useInitialFocus } from "../../focus";
import { useText } from "../../i18n";
import { paths } from "../../router";
import { Button, LinkButton } from "../../ui/Button";
import { isFinal, OFFLINE, type PlaybackError } from "./errors";

interface ErrorPanelProps {
  error: PlaybackError;
  onRetry: () => void;
  onLeave: () => void;
}

/** The error in one sentence, with a code for support, and the actions. */
export function ErrorPanel({ error, onRetry, onLeave }: ErrorPanelProps) {
  const text = useText();
  useInitialFocus(true, true);
  const isOffline = error.code === OFFLINE.code;
  useEffect(() => {
    if (!isOffline) return;
    addEventListener("online", onRetry);
    return () => removeEventListener("online", onRetry);
  }, [isOffline, onRetry]);
  const sentence = (error.kind && text.find(`problem.${error.kind}`)) || text.t(error.key);
  return (
    <div className="player-error" role="alert" data-testid="player-error" data-focus="column">
      <h1>{sentence}</h1>
      <div className="player-error-actions" data-focus="row">
        {isFinal(error)
          ? <LinkButton to={paths.home} replace variant="primary" large data-testid="to-home" data-focus-first>{text.t("app.toHome")}</LinkButton>
          : <Button variant="primary" large icon="restart" onClick={onRetry} data-testid="player-retry" data-focus-first>{text.t("app.retry")}</Button>}
        <Button large icon="back" onClick={onLeave} data-testid="control-back">{text.t("app.back")}</Button>
      </div>
      <p className="player-code">{text.t("problem.code", { code: error.code })}</p>
    </div>
  );
}
