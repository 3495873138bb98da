import { type FormEvent, useState } from "react";
import { api } from "../../api";
import { invalidateScreens } from "../../api/screens";
import { type Key, useText } from "../../i18n";
import { useAction } from "../../ui/action";
import { Button } from "../../ui/Button";
import { Field, ProblemNote } from "../../ui/Field";
import { useFailureFocus } from "../../ui/form";
import { checkNewPassword, getPasswordFault } from "../../ui/password";

/** The form that changes the password. The server asks for the present one, unless that was given a short time ago. */
export function PasswordPanel() {
  const { t } = useText();
  const [password, setPassword] = useState("");
  const [found, setFound] = useState<Key | undefined>();
  const { busy, problem, result, run } = useAction();
  const [formRef, onFailure] = useFailureFocus();
  const fault = found ?? getPasswordFault(problem);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const wrong = checkNewPassword(password);
    setFound(wrong);
    if (wrong) return onFailure();
    const isDone = await run(async () => {
      await api.changePassword({ password });
      invalidateScreens("devices");
      return t("account.passwordChanged");
    });
    if (isDone) setPassword("");
    else onFailure();
  }

  return (
    <section className="panel">
      <h2>{t("account.password")}</h2>
      <p className="page-lead">{t("account.passwordLead")}</p>
      <form ref={formRef} onSubmit={(event) => void submit(event)} noValidate data-testid="password-form">
        {!fault && <ProblemNote problem={problem} />}
        <Field label={t("account.newPassword")} type="password" autoComplete="new-password" value={password} error={fault && t(fault)} hint={t("signUp.passwordHint")} data-testid="new-password" onChange={(event) => setPassword(event.target.value)} />
        <Button type="submit" busy={busy} data-testid="password-save">{t("account.passwordSave")}</Button>
        {result && <p className="panel-result" role="status">{result}</p>}
      </form>
    </section>
  );
}
