import { useEffect, useRef, useState } from "react";
import type { ProfileView } from "../../api";
import { useText } from "../../i18n";
import { Avatar } from "../../ui/Avatar";
import { Dialog } from "../../ui/Dialog";
import { ProblemNote } from "../../ui/Field";
import { Icon } from "../../ui/icons";
import { isPin, LEAST_PIN, withDigit } from "./pin";

interface PinPadProps {
  profile: ProfileView;
  enter: (pin: string) => Promise<void>;
  close: () => void;
}

/** Four to eight digits, by keys, by touch or with a remote control; how many, only its owner knows. */
export function PinPad({ profile, enter, close }: PinPadProps) {
  const { t } = useText();
  const [digits, setDigits] = useState("");
  const [problem, setProblem] = useState<unknown>(null);

  const [busy, setBusy] = useState(false);
  const confirm = useRef<HTMLButtonElement>(null);
  const typed = useRef(false);

  const press = (digit: string) => {
    setProblem(null);
    setDigits((before) => withDigit(before, digit));
  };
  const erase = () => setDigits((before) => before.slice(0, -1));

  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (/^\d$/.test(event.key)) {
        press(event.key);
        typed.current = true;
      } else if (event.key === "Backspace") erase();
      else return;
      event.preventDefault();
    };
    // Before the page's own keys: here Backspace takes a digit back and does not leave.
    addEventListener("keydown", listen, true);
    return () => removeEventListener("keydown", listen, true);
  }, []);

  const whole = isPin(digits);
  // Whoever types goes on with the Enter key; a remote control stays on the digits.
  useEffect(() => {
    if (whole && typed.current) confirm.current?.focus();
  }, [whole]);

  // The key keeps the focus where it is of no use: a button that is disabled would lose it.
  async function send() {
    if (!whole || busy) return;
    setProblem(null);
    setBusy(true);
    try {
      await enter(digits);
    } catch (error) {
      setProblem(error);
      setDigits("");
      setBusy(false);
    }
  }

  return (
    <Dialog title={t("pin.title", { name: profile.name })} close={close}>
      <div className="pin" data-testid="pin-pad">
        <Avatar name={profile.avatar} size="5rem" />
        <p className={`pin-dots ${problem ? "wrong" : ""}`} role="status" aria-label={t("pin.entered", { count: digits.length })}>
          {Array.from({ length: Math.max(LEAST_PIN, digits.length) }, (_, index) => <span key={index} className={index < digits.length ? "full" : ""} />)}
        </p>
        <ProblemNote problem={problem} />
        <div className="pin-keys" data-focus="grid">
          {["1", "2", "3", "4", "5", "6", "7", "8", "9"].map((digit) => <Key key={digit} digit={digit} press={press} />)}
          <button type="button" aria-label={t("pin.erase")} data-testid="pin-erase" onClick={erase}><Icon name="erase" /></button>
          <Key digit="0" press={press} />
          <button ref={confirm} type="button" className="pin-confirm" aria-label={t("pin.confirm")} data-testid="pin-confirm" aria-disabled={!whole || busy} aria-busy={busy || undefined} onClick={() => void send()}><Icon name="check" /></button>
        </div>
      </div>
    </Dialog>
  );
}

function Key({ digit, press }: { digit: string; press: (digit: string) => void }) {
  return <button type="button" data-testid={`pin-${digit}`} data-focus-first={digit === "5" ? "" : undefined} onClick={() => press(digit)}>{digit}</button>;
}
