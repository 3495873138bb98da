import { type FormEvent, useState } from "react";
import { type Account, api } from "../../api";
import { type Key, useText } from "../../i18n";
import { useAction } from "../../ui/action";
import { Button } from "../../ui/Button";
import { Dialog } from "../../ui/Dialog";
import { Field, ProblemNote } from "../../ui/Field";
import { useFailureFocus } from "../../ui/form";
import { checkNewPassword, getPasswordFault } from "../../ui/password";
import { PasswordShown } from "./PasswordShown";

interface ResetPasswordProps {
  account: Account;
  /** Called after the password was set. */
  onDone: () => void;
  onClose: () => void;
}

/** The dialog that sets or generates the password of an account. */
export function ResetPassword({ account, onDone, onClose }: ResetPasswordProps) {
  const { t } = useText();
  const [password, setPassword] = useState("");
  const [generated, setGenerated] = useState<string | null>(null);
  const { busy, problem, run } = useAction();
  const [formRef, onFailure] = useFailureFocus();
  const [found, setFound] = useState<Key | undefined>();
  const fault = found ?? getPasswordFault(problem);

  async function submit(event: FormEvent) {
    event.preventDefault();
    // Without a password one is generated.
    const wrong = password ? checkNewPassword(password) : undefined;
    setFound(wrong);
    if (wrong) return onFailure();
    const isDone = await run(async () => {
      const answer = await api.operator.resetPassword(account.account_id, password || null);
      onDone();
      if (answer.password) setGenerated(answer.password);
      else onClose();
    });
    if (!isDone) onFailure();
  }

  if (generated) return <PasswordShown email={account.email} password={generated} onClose={onClose} />;
  return (
    <Dialog title={t("accounts.reset")} onClose={onClose}>
      <form ref={formRef} onSubmit={(event) => void submit(event)} noValidate>
        <p className="page-lead">{t("accounts.resetAsk", { email: account.email })}</p>
        {!fault && <ProblemNote problem={problem} />}
        <Field label={t("account.newPassword")} type="password" autoComplete="new-password" value={password} error={fault && t(fault)} hint={t("accounts.passwordHint")} data-focus-first data-testid="reset-password" onChange={(event) => setPassword(event.target.value)} />
        <div className="dialog-actions" data-focus="row">
          <Button variant="quiet" onClick={onClose}>{t("app.cancel")}</Button>
          <Button type="submit" variant="danger" busy={busy} data-testid="reset-submit">{t("accounts.reset")}</Button>
        </div>
      </form>
    </Dialog>
  );
}
