import { useArrival } from "../../focus";
import { useText } from "../../i18n";
import { Button } from "../../ui/Button";
import type { Trouble } from "./trouble";

interface TroubleProps {
  trouble: Trouble;
  retry: () => void;
  leave: () => void;
}

/** What is wrong in one sentence, with a code for whoever is asked for help, and the way on. */
export function TroublePanel({ trouble, retry, leave }: TroubleProps) {
  const text = useText();
  useArrival(true, true);
  const sentence = (trouble.kind && text.known(`problem.${trouble.kind}`)) || text.t(trouble.key);
  return (
    <div className="player-trouble" role="alert" data-testid="player-error" data-focus="column">
      <h1>{sentence}</h1>
      <div className="player-trouble-actions" data-focus="row">
        <Button look="primary" large icon="restart" onClick={retry} data-testid="player-retry" data-focus-first>{text.t("app.retry")}</Button>
        <Button large icon="back" onClick={leave} data-testid="control-back">{text.t("app.back")}</Button>
      </div>
      <p className="player-code">{text.t("problem.code", { code: trouble.code })}</p>
    </div>
  );
}
