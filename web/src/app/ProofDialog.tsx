/** The dialog that asks for the password, or the PIN of an adult, before the household is changed. */
import { type FormEvent, useEffect, useState } from "react";
import { api, onProofRequired, type ProfileView } from "../api";
import { useText } from "../i18n";
import { useViewer } from "../session";
import { Button } from "../ui/Button";
import { Dialog } from "../ui/Dialog";
import { Choice, Field, ProblemNote } from "../ui/Field";

const ADULT_MATURITY = 18;
const PASSWORD = "";
const canProve = (profile: ProfileView) => profile.has_pin && !profile.kids && profile.maturity >= ADULT_MATURITY;

/** Shows the dialog when the server wants a proof. */
export function ProofHost() {
  const [settle, setSettle] = useState<((proven: boolean) => void) | null>(null);
  useEffect(() => onProofRequired(() => new Promise<boolean>((resolve) => setSettle(() => resolve))), []);
  if (!settle) return null;
  const close = (proven: boolean) => {
    setSettle(null);
    settle(proven);
  };
  return <ProofDialog onClose={close} />;
}

function ProofDialog({ onClose }: { onClose: (proven: boolean) => void }) {
  const { t } = useText();
  const adults = (useViewer().profiles ?? []).filter(canProve);
  const [way, setWay] = useState(PASSWORD);
  const [secret, setSecret] = useState("");
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const withPassword = way === PASSWORD;

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (!secret || busy) return;
    setBusy(true);
    try {
      await api.prove(withPassword ? { password: secret } : { profile_id: way, pin: secret });
      onClose(true);
    } catch (failure) {
      setProblem(failure);
      setSecret("");
      setBusy(false);
    }
  }

  const choose = (next: string) => {
    setWay(next);
    setSecret("");
    setProblem(null);
  };
  const ways = [{ value: PASSWORD, label: t("signIn.password") }, ...adults.map((one) => ({ value: one.profile_id, label: t("pin.title", { name: one.name }) }))];
  return (
    <Dialog title={t("proof.title")} onClose={() => onClose(false)}>
      <form onSubmit={(event) => void submit(event)} noValidate data-testid="proof">
        <p className="page-lead">{t("proof.lead")}</p>
        <ProblemNote problem={problem} />
        {adults.length > 0 && <Choice label={t("proof.way")} value={way} options={ways} onChange={choose} />}
        <Field key={way} label={t(withPassword ? "signIn.password" : "profiles.pin")} type="password" inputMode={withPassword ? undefined : "numeric"} autoComplete={withPassword ? "current-password" : "off"} value={secret} data-focus-first data-testid="proof-secret" onChange={(event) => setSecret(event.target.value)} />
        <div className="dialog-actions" data-focus="row">
          <Button variant="quiet" onClick={() => onClose(false)}>{t("app.cancel")}</Button>
          <Button type="submit" variant="primary" busy={busy} data-testid="proof-submit">{t("proof.submit")}</Button>
        </div>
      </form>
    </Dialog>
  );
}
