import { type FormEvent, useState } from "react";
import { useText } from "../i18n";
import { Button } from "./Button";
import { Dialog } from "./Dialog";
import { Field, ProblemNote } from "./Field";
import { useFailureFocus } from "./form";

interface TypedConfirmProps {
  title: string;
  lead: string;
  label: string;
  /** The text to type. Upper and lower case are the same. */
  expected: string;
  mismatch: string;
  action: string;
  onConfirm: () => Promise<unknown>;
  onClose: () => void;
}

/** A dialog that asks to type a name before something is done that cannot be undone. */
export function TypedConfirm({ title, lead, label, expected, mismatch, action, onConfirm, onClose }: TypedConfirmProps) {
  const { t } = useText();
  const [typed, setTyped] = useState("");
  const [isWrong, setIsWrong] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [formRef, onFailure] = useFailureFocus();

  async function submit(event: FormEvent) {
    event.preventDefault();
    const isRight = typed.trim().toLowerCase() === expected.toLowerCase();
    setIsWrong(!isRight);
    setProblem(null);
    if (!isRight) return onFailure();
    setBusy(true);
    try {
      await onConfirm();
    } catch (failure) {
      setProblem(failure);
      setBusy(false);
      onFailure();
    }
  }

  return (
    <Dialog title={title} onClose={onClose}>
      <form ref={formRef} onSubmit={(event) => void submit(event)} noValidate>
        <p className="page-lead">{lead}</p>
        <ProblemNote problem={problem} />
        <Field label={label} value={typed} error={isWrong ? mismatch : undefined} autoComplete="off" autoCapitalize="none" spellCheck={false} data-focus-first data-testid="confirm-text" onChange={(event) => setTyped(event.target.value)} />
        <div className="dialog-actions" data-focus="row">
          <Button variant="quiet" onClick={onClose}>{t("app.cancel")}</Button>
          <Button type="submit" variant="danger" busy={busy} data-testid="confirm-submit">{action}</Button>
        </div>
      </form>
    </Dialog>
  );
}
