/** The door: sign in, or open an account. */
import { type FormEvent, useState } from "react";
import { api, faultsOf } from "../../api";
import { useArrival } from "../../focus";
import { type Translator, useText } from "../../i18n";
import { Link, paths } from "../../router";
import { thisDevice } from "../../session";
import { Button } from "../../ui/Button";
import { Field, ProblemNote } from "../../ui/Field";
import { Logo } from "../../ui/icons";
import { Curtain } from "./Curtain";
import { check, type Faults, type Form } from "./check";
import "./sign-in.css";

const EMPTY: Form = { email: "", password: "", name: "" };

export default function SignInPage({ opening }: { opening: boolean }) {
  const text = useText();
  useArrival(true, true);
  return (
    <main className="door" data-focus="column" id="main">
      <Curtain />
      <div className="door-side">
        <Logo height="2.25rem" />
        <p className="door-tagline">{text.t("signIn.tagline")}</p>
      </div>
      <div className="door-panel" key={String(opening)}>
        <h1>{text.t(opening ? "signUp.title" : "signIn.title")}</h1>
        <p className="door-lead">{text.t(opening ? "signUp.lead" : "signIn.lead")}</p>
        <DoorForm opening={opening} text={text} />
        <p className="door-other">
          {text.t(opening ? "signUp.haveAccount" : "signIn.noAccount")}{" "}
          <Link to={opening ? paths.signIn : paths.signUp} replace>{text.t(opening ? "signUp.toSignIn" : "signIn.toSignUp")}</Link>
        </p>
      </div>
    </main>
  );
}

async function enter(form: Form, opening: boolean, language: string): Promise<void> {
  const { email, password, name } = form;
  const device = thisDevice();
  await (opening ? api.signUp({ email: email.trim(), password, name: name.trim(), device, language }) : api.signIn({ email: email.trim(), password, device }));
}

function DoorForm({ opening, text }: { opening: boolean; text: Translator }) {
  const [form, setForm] = useState(EMPTY);
  const [faults, setFaults] = useState<Faults>({});
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const found = check(form, opening);
    setFaults(found);
    setProblem(null);
    if (Object.keys(found).length) return;
    setBusy(true);
    try {
      await enter(form, opening, text.language);
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  }

  const named = faultsOf(problem);
  const note = (field: keyof Form) => (faults[field] ? text.t(faults[field]) : named[field]);
  const set = (field: keyof Form) => (value: string) => {
    setForm({ ...form, [field]: value });
    setFaults({ ...faults, [field]: undefined });
  };
  return (
    <form onSubmit={submit} noValidate>
      {problem !== null && <ProblemNote problem={problem} />}
      {opening && (
        <Field label={text.t("signIn.name")} value={form.name} error={note("name")} autoComplete="name" data-testid="sign-up-name" data-focus-first onChange={(event) => set("name")(event.target.value)} />
      )}
      <Field label={text.t("signIn.email")} type="email" inputMode="email" autoComplete="username" value={form.email} error={note("email")} data-testid="sign-in-email" data-focus-first={opening ? undefined : ""} onChange={(event) => set("email")(event.target.value)} />
      <Field label={text.t("signIn.password")} type="password" autoComplete={opening ? "new-password" : "current-password"} value={form.password} error={note("password")} hint={opening ? text.t("signUp.passwordHint") : undefined} data-testid="sign-in-password" onChange={(event) => set("password")(event.target.value)} />
      <Button type="submit" look="primary" large busy={busy} className="door-submit" data-testid="sign-in-submit">
        {text.t(opening ? "signUp.submit" : "signIn.submit")}
      </Button>
    </form>
  );
}
