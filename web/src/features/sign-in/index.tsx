/** The sign-in and sign-up page. */
import { type FormEvent, useState } from "react";
import { api, getFaults } from "../../api";
import { useScreen } from "../../api/screens";
import { useInitialFocus } from "../../focus";
import { type Translator, useText } from "../../i18n";
import { Link } from "../../router";
import { describeDevice, useViewer } from "../../session";
import { Button, LinkButton } from "../../ui/Button";
import { Field, ProblemNote } from "../../ui/Field";
import { useFailureFocus } from "../../ui/form";
import { Logo } from "../../ui/icons";
import { getPasswordFault } from "../../ui/password";
import { useTitle } from "../../ui/title";
import { Backdrop } from "./Backdrop";
import { validate, type Faults, type Form } from "./validate";
import "./sign-in.css";

const EMPTY: Form = { email: "", password: "", name: "" };

interface SignInPageProps {
  isSignUp: boolean;
  /** The address of the other page: sign-up from sign-in, and sign-in from sign-up. */
  other: string;
}

export default function SignInPage({ isSignUp, other }: SignInPageProps) {
  const { t } = useText();
  useTitle(t(isSignUp ? "signUp.title" : "signIn.title"));
  return (
    <main className="sign-in" data-focus="column" id="main">
      <Backdrop />
      <div className="sign-in-side">
        <Logo height="2.25rem" />
        <p className="sign-in-tagline">{t("signIn.tagline")}</p>
      </div>
      <Panel key={String(isSignUp)} isSignUp={isSignUp} other={other} />
    </main>
  );
}

/** Return whether strangers may sign up, `undefined` until it is known. If it cannot be asked, the sign-up will tell. */
function useSignUpOpen(): boolean | undefined {
  const { data, error } = useScreen("auth:options", api.getAuthOptions);
  return data?.sign_up ?? (error === undefined ? undefined : true);
}

function Panel({ isSignUp, other }: SignInPageProps) {
  const text = useText();
  const { t } = text;
  const { notice } = useViewer();
  const isOpen = useSignUpOpen();
  // The form keeps its place until it is known, so that nothing moves.
  const isPending = isSignUp && isOpen === undefined;
  useInitialFocus(!isPending, true);
  if (isSignUp && isOpen === false) return <Closed to={other} />;
  return (
    <div className="sign-in-panel" style={{ visibility: isPending ? "hidden" : undefined }}>
      <h1>{t(isSignUp ? "signUp.title" : "signIn.title")}</h1>
      {notice && <p className="sign-in-notice" role="status">{t("signIn.accountClosed")}</p>}
      <p className="sign-in-lead">{t(isSignUp ? "signUp.lead" : "signIn.lead")}</p>
      <SignInForm isSignUp={isSignUp} text={text} />
      <p className="sign-in-other" style={{ visibility: isOpen === undefined ? "hidden" : undefined }}>
        {isOpen === false
          ? t("signIn.closed")
          : <>{t(isSignUp ? "signUp.haveAccount" : "signIn.noAccount")} <Link to={other} replace>{t(isSignUp ? "signUp.toSignIn" : "signIn.toSignUp")}</Link></>}
      </p>
    </div>
  );
}

/** What the sign-up page says where strangers may not sign up. */
function Closed({ to }: { to: string }) {
  const { t } = useText();
  return (
    <div className="sign-in-panel" data-testid="sign-up-closed">
      <h1>{t("signUp.closedTitle")}</h1>
      <p className="sign-in-lead">{t("signUp.closedLead")}</p>
      <LinkButton to={to} replace variant="primary" large className="sign-in-submit" data-focus-first>{t("signUp.toSignIn")}</LinkButton>
    </div>
  );
}

async function submitForm(form: Form, isSignUp: boolean, language: string): Promise<void> {
  const { email, password, name } = form;
  const device = describeDevice();
  await (isSignUp ? api.signUp({ email: email.trim(), password, name: name.trim(), device, language }) : api.signIn({ email: email.trim(), password, device }));
}

function SignInForm({ isSignUp, text }: { isSignUp: boolean; text: Translator }) {
  const [form, setForm] = useState(EMPTY);
  const [faults, setFaults] = useState<Faults>({});
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [formRef, onFailure] = useFailureFocus();

  async function submit(event: FormEvent) {
    event.preventDefault();
    const found = validate(form, isSignUp);
    setFaults(found);
    setProblem(null);
    if (Object.keys(found).length) return onFailure();
    setBusy(true);
    try {
      await submitForm(form, isSignUp, text.language);
    } catch (error) {
      setProblem(error);
      setBusy(false);
      onFailure();
    }
  }

  const serverFaults = getFaults(problem);
  const weak = getPasswordFault(problem);
  const note = (field: keyof Form) => (faults[field] ? text.t(faults[field]) : field === "password" && weak ? text.t(weak) : serverFaults[field]);
  const set = (field: keyof Form) => (value: string) => {
    setForm({ ...form, [field]: value });
    setFaults({ ...faults, [field]: undefined });
  };
  return (
    <form ref={formRef} onSubmit={submit} noValidate>
      {Object.keys(serverFaults).length === 0 && <ProblemNote problem={problem} />}
      {isSignUp && (
        <Field label={text.t("signIn.name")} value={form.name} error={note("name")} autoComplete="name" data-testid="sign-up-name" data-focus-first onChange={(event) => set("name")(event.target.value)} />
      )}
      <Field label={text.t("signIn.email")} type="email" inputMode="email" autoComplete="username" value={form.email} error={note("email")} data-testid="sign-in-email" data-focus-first={isSignUp ? undefined : ""} onChange={(event) => set("email")(event.target.value)} />
      <Field label={text.t("signIn.password")} type="password" autoComplete={isSignUp ? "new-password" : "current-password"} value={form.password} error={note("password")} hint={isSignUp ? text.t("signUp.passwordHint") : undefined} data-testid="sign-in-password" onChange={(event) => set("password")(event.target.value)} />
      <Button type="submit" variant="primary" large busy={busy} className="sign-in-submit" data-testid="sign-in-submit">
        {text.t(isSignUp ? "signUp.submit" : "signIn.submit")}
      </Button>
    </form>
  );
}
