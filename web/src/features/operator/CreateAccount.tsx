import { type FormEvent, useState } from "react";
import { type AccountWithPassword, api, getFaults } from "../../api";
import { invalidateScreens } from "../../api/screens";
import { type Key, LANGUAGES, useText } from "../../i18n";
import { go, paths } from "../../router";
import { useAction } from "../../ui/action";
import { Button } from "../../ui/Button";
import { Dialog } from "../../ui/Dialog";
import { Choice, Field, ProblemNote, Switch } from "../../ui/Field";
import { useFailureFocus } from "../../ui/form";
import { checkNewPassword, getPasswordFault } from "../../ui/password";
import { OPERATOR } from "./AccountState";
import { PasswordShown } from "./PasswordShown";

interface Draft {
  email: string;
  name: string;
  language: string;
  password: string;
  isOperator: boolean;
}

type Faults = Partial<Record<"email" | "name" | "password", Key>>;

function validate({ email, name, password }: Draft): Faults {
  const faults: Faults = {};
  if (!/^[^\s@]+@[^\s@]+$/.test(email.trim())) faults.email = "check.email";
  if (!name.trim()) faults.name = "check.name";
  // Without a password one is generated.
  const wrong = password ? checkNewPassword(password) : undefined;
  if (wrong) faults.password = wrong;
  return faults;
}

const createRequest = ({ email, name, language, password, isOperator }: Draft) =>
  ({ email: email.trim(), name: name.trim(), language, password: password || null, roles: isOperator ? [OPERATOR as "operator"] : [] });

/** The dialog that creates an account; a generated password is shown once, then the page of the account. */
export function CreateAccount({ onClose }: { onClose: () => void }) {
  const text = useText();
  const { t } = text;
  const [draft, setDraft] = useState<Draft>({ email: "", name: "", language: text.language, password: "", isOperator: false });
  const [faults, setFaults] = useState<Faults>({});
  const [created, setCreated] = useState<AccountWithPassword | null>(null);
  const { busy, problem, run } = useAction();
  const [formRef, onFailure] = useFailureFocus();
  const change = (part: Partial<Draft>) => setDraft({ ...draft, ...part });
  const show = ({ account }: AccountWithPassword) => go(paths.accounts(`/${account.account_id}`));

  async function submit(event: FormEvent) {
    event.preventDefault();
    const found = validate(draft);
    setFaults(found);
    if (Object.keys(found).length) return onFailure();
    const isDone = await run(async () => {
      const answer = await api.operator.createAccount(createRequest(draft));
      invalidateScreens("operator:accounts");
      if (answer.password) setCreated(answer);
      else show(answer);
    });
    if (!isDone) onFailure();
  }

  if (created?.password) return <PasswordShown email={created.account.email} password={created.password} onClose={() => show(created)} />;
  const serverFaults = getFaults(problem);
  const weak = getPasswordFault(problem);
  const note = (field: keyof Faults) => (faults[field] ? t(faults[field]) : field === "password" && weak ? t(weak) : serverFaults[field]);
  return (
    <Dialog title={t("accounts.create")} onClose={onClose} isDismissable={false}>
      <form ref={formRef} onSubmit={(event) => void submit(event)} noValidate>
        {Object.keys(serverFaults).length === 0 && <ProblemNote problem={problem} />}
        <Field label={t("accounts.email")} type="email" inputMode="email" autoComplete="off" value={draft.email} error={note("email")} data-focus-first data-testid="create-email" onChange={(event) => change({ email: event.target.value })} />
        <Field label={t("accounts.name")} maxLength={40} autoComplete="off" value={draft.name} error={note("name")} data-testid="create-name" onChange={(event) => change({ name: event.target.value })} />
        <Choice label={t("profiles.language")} value={draft.language} options={LANGUAGES.map((value) => ({ value: value as string, label: new Intl.DisplayNames(value, { type: "language" }).of(value) ?? value }))} onChange={(language) => change({ language })} />
        <Field label={t("signIn.password")} type="password" autoComplete="new-password" value={draft.password} error={note("password")} hint={t("accounts.passwordHint")} data-testid="create-password" onChange={(event) => change({ password: event.target.value })} />
        <Switch label={t("accounts.operator")} hint={t("accounts.operatorHint")} on={draft.isOperator} onChange={(isOperator) => change({ isOperator })} />
        <div className="dialog-actions" data-focus="row">
          <Button variant="quiet" onClick={onClose}>{t("app.cancel")}</Button>
          <Button type="submit" variant="primary" busy={busy} data-testid="create-submit">{t("accounts.create")}</Button>
        </div>
      </form>
    </Dialog>
  );
}
