import { useArrival } from "../../focus";
import { useText } from "../../i18n";
import { Button } from "../../ui/Button";
import type { PlaybackError } from "./errors";

interface ErrorPanelProps {
  trouble: PlaybackError;
  retry: () => void;
  leave: () => void;
}

/** What is wrong in one sentence, with a code for whoever is asked for help, and the way on. */
export function ErrorPanel({ trouble, retry, leave }: ErrorPanelProps) {
  const text = useText();
  useArrival(true, true);
  const sentence = (error.kind && text.translateIfKnown(`problem.${error.kind}`)) || text.t(error.key);
  return (
    <div className="player-error" role="alert" data-testid="player-error" data-focus="column">
      <h1>{sentence}</h1>
      <div className="player-error-actions" data-focus="row">
        <Button look="primary" large icon="restart" onClick={retry} data-testid="player-retry" data-focus-first>{text.t("app.retry")}</Button>
        <Button large icon="back" onClick={leave} data-testid="control-back">{text.t("app.back")}</Button>
      </div>
      <p className="player-code">{text.t("problem.code", { code: error.code })}</p>
    </div>
  );
}
