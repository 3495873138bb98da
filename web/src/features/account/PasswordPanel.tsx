import { type FormEvent, useState } from "react";
import { api, getFaults } from "../../api";
import { invalidateScreens } from "../../api/screens";
import { useText } from "../../i18n";
import { Button } from "../../ui/Button";
import { Field, ProblemNote } from "../../ui/Field";

/** The form that changes the password. The server asks for the present one, unless that was given a short time ago. */
export function PasswordPanel() {
  const { t } = useText();
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<unknown>(null);
  const [state, setState] = useState<"editing" | "busy" | "changed">("editing");
  const fault = getFaults(problem).password;

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (!password || state === "busy") return;
    setProblem(null);
    setState("busy");
    try {
      await api.changePassword({ password });
      invalidateScreens("devices");
      setPassword("");
      setState("changed");
    } catch (failure) {
      setProblem(failure);
      setState("editing");
    }
  }

  return (
    <section className="panel">
      <h2>{t("account.password")}</h2>
      <p className="page-lead">{t("account.passwordLead")}</p>
      <form onSubmit={(event) => void submit(event)} noValidate data-testid="password-form">
        {!fault && <ProblemNote problem={problem} />}
        <Field label={t("account.newPassword")} type="password" autoComplete="new-password" value={password} error={fault} hint={t("signUp.passwordHint")} data-testid="new-password" onChange={(event) => setPassword(event.target.value)} />
        <Button type="submit" busy={state === "busy"} data-testid="password-save">{t("account.passwordSave")}</Button>
        {state === "changed" && <p className="page-lead" role="status">{t("account.passwordChanged")}</p>}
      </form>
    </section>
  );
}
