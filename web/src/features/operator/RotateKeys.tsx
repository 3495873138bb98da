import { useState } from "react";
import { api } from "../../api";
import { useText } from "../../i18n";
import { useAction } from "../../ui/action";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Dialog";
import { ActionLine } from "./AccountActions";

/** Replaces the key that signs access tokens. */
export function RotateKeys() {
  const { t } = useText();
  const { busy, problem, result, run } = useAction();
  const [confirming, setConfirming] = useState(false);
  async function rotate() {
    await run(async () => {
      await api.operator.rotateKeys();
      return t("keys.rotated");
    });
    setConfirming(false);
  }
  return (
    <ul className="sheet actions">
      <ActionLine name={t("keys.title")} lead={t("keys.lead")} problem={problem} result={result} button={<Button icon="restart" data-testid="keys-rotate" onClick={() => setConfirming(true)}>{t("keys.rotate")}</Button>} />
      {confirming && <Confirm title={t("keys.ask")} action={t("keys.rotate")} busy={busy} onConfirm={() => void rotate()} onClose={() => setConfirming(false)} />}
    </ul>
  );
}
