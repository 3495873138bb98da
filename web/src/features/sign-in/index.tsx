/** The sign-in page, which also creates accounts. */
import { type FormEvent, useState } from "react";
import { api, getFieldErrors } from "../../api";
import { useArrival } from "../../focus";
import { type Translator, useText } from "../../i18n";
import { Link, paths } from "../../router";
import { describeDevice } from "../../session";
import { Button } from "../../ui/Button";
import { Field, ProblemNote } from "../../ui/Field";
import { Logo } from "../../ui/icons";
import { CurtainBackground } from "./CurtainBackground";
import { type FormErrors, validate, type Form } from "./validation";
import "./sign-in.css";

const EMPTY: Form = { email: "", password: "", name: "" };

export default function SignInPage({ signingUp }: { signingUp: boolean }) {
  const text = useText();
  useArrival(true, true);
  return (
    <main className="sign-in" data-focus="column" id="main">
      <CurtainBackground />
      <div className="sign-in-side">
        <Logo height="2.25rem" />
        <p className="sign-in-tagline">{text.t("signIn.tagline")}</p>
      </div>
      <div className="sign-in-panel" key={String(signingUp)}>
        <h1>{text.t(signingUp ? "signUp.title" : "signIn.title")}</h1>
        <p className="sign-in-lead">{text.t(signingUp ? "signUp.lead" : "signIn.lead")}</p>
        <SignInForm signingUp={signingUp} text={text} />
        <p className="sign-in-other">
          {text.t(signingUp ? "signUp.haveAccount" : "signIn.noAccount")}{" "}
          <Link to={signingUp ? paths.signIn : paths.signUp} replace>{text.t(signingUp ? "signUp.toSignIn" : "signIn.toSignUp")}</Link>
        </p>
      </div>
    </main>
  );
}

async function send(form: Form, signingUp: boolean, language: string): Promise<void> {
  const { email, password, name } = form;
  const device = describeDevice();
  await (signingUp ? api.signUp({ email: email.trim(), password, name: name.trim(), device, language }) : api.signIn({ email: email.trim(), password, device }));
}

function SignInForm({ signingUp, text }: { signingUp: boolean; text: Translator }) {
  const [form, setForm] = useState(EMPTY);
  const [errors, setErrors] = useState<FormErrors>({});
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const found = validate(form, signingUp);
    setErrors(found);
    setProblem(null);
    if (Object.keys(found).length) return;
    setBusy(true);
    try {
      await send(form, signingUp, text.language);
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  }

  const serverErrors = getFieldErrors(problem);
  const note = (field: keyof Form) => (errors[field] ? text.t(errors[field]) : serverErrors[field]);
  const set = (field: keyof Form) => (value: string) => {
    setForm({ ...form, [field]: value });
    setErrors({ ...errors, [field]: undefined });
  };
  return (
    <form onSubmit={submit} noValidate>
      {problem !== null && <ProblemNote problem={problem} />}
      {signingUp && (
        <Field label={text.t("signIn.name")} value={form.name} error={note("name")} autoComplete="name" data-testid="sign-up-name" data-focus-first onChange={(event) => set("name")(event.target.value)} />
      )}
      <Field label={text.t("signIn.email")} type="email" inputMode="email" autoComplete="username" value={form.email} error={note("email")} data-testid="sign-in-email" data-focus-first={signingUp ? undefined : ""} onChange={(event) => set("email")(event.target.value)} />
      <Field label={text.t("signIn.password")} type="password" autoComplete={signingUp ? "new-password" : "current-password"} value={form.password} error={note("password")} hint={signingUp ? text.t("signUp.passwordHint") : undefined} data-testid="sign-in-password" onChange={(event) => set("password")(event.target.value)} />
      <Button type="submit" look="primary" large busy={busy} className="sign-in-submit" data-testid="sign-in-submit">
        {text.t(signingUp ? "signUp.submit" : "signIn.submit")}
      </Button>
    </form>
  );
}
