import { useCallback, useEffect, useState } from "react";
import type { ProfileView } from "../../api";
import { useText } from "../../i18n";
import { Avatar } from "../../ui/Avatar";
import { Dialog } from "../../ui/Dialog";
import { ProblemNote } from "../../ui/Field";
import { Icon } from "../../ui/icons";

export const PIN_LENGTH = 4;

interface PinPadProps {
  profile: ProfileView;
  enter: (pin: string) => Promise<void>;
  close: () => void;
}

/** Four digits, by keys, by touch or with a remote control. */
export function PinPad({ profile, enter, close }: PinPadProps) {
  const { t } = useText();
  const [digits, setDigits] = useState("");
  const [problem, setProblem] = useState<unknown>(null);

  const press = useCallback((digit: string) => setDigits((before) => (before.length < PIN_LENGTH ? before + digit : before)), []);
  const erase = useCallback(() => setDigits((before) => before.slice(0, -1)), []);

  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (/^\d$/.test(event.key)) press(event.key);
      else if (event.key === "Backspace") erase();
      else return;
      event.preventDefault();
    };
    // Before the page's own keys: here Backspace takes a digit back and does not leave.
    addEventListener("keydown", listen, true);
    return () => removeEventListener("keydown", listen, true);
  }, [press, erase]);

  useEffect(() => {
    if (digits.length < PIN_LENGTH) return;
    setProblem(null);
    enter(digits).catch((error: unknown) => {
      setProblem(error);
      setDigits("");
    });
    // `enter` is made anew at every draw; a PIN is sent once, when its last digit comes.
  }, [digits]);

  return (
    <Dialog title={t("pin.title", { name: profile.name })} close={close}>
      <div className="pin" data-testid="pin-pad">
        <Avatar name={profile.avatar} size="5rem" />
        <p className={`pin-dots ${problem ? "wrong" : ""}`} role="status" aria-label={t("pin.entered", { count: digits.length })}>
          {Array.from({ length: PIN_LENGTH }, (_, index) => <span key={index} className={index < digits.length ? "full" : ""} />)}
        </p>
        <ProblemNote problem={problem} />
        <div className="pin-keys" data-focus="grid">
          {["1", "2", "3", "4", "5", "6", "7", "8", "9"].map((digit) => <Key key={digit} digit={digit} press={press} />)}
          <span />
          <Key digit="0" press={press} />
          <button type="button" aria-label={t("pin.erase")} onClick={erase}><Icon name="erase" /></button>
        </div>
      </div>
    </Dialog>
  );
}

function Key({ digit, press }: { digit: string; press: (digit: string) => void }) {
  return <button type="button" data-testid={`pin-${digit}`} data-focus-first={digit === "5" ? "" : undefined} onClick={() => press(digit)}>{digit}</button>;
}
