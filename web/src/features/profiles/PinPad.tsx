import { useEffect, useRef, useState } from "react";
import type { ProfileView } from "../../api";
import { useText } from "../../i18n";
import { Avatar } from "../../ui/Avatar";
import { Dialog } from "../../ui/Dialog";
import { ProblemNote } from "../../ui/Field";
import { Icon } from "../../ui/icons";
import { isPin, MIN_PIN_LENGTH, addDigit } from "./pin";

interface PinPadProps {
  profile: ProfileView;
  onEnter: (pin: string) => Promise<void>;
  onClose: () => void;
}

/** A pad for PINs of four to eight digits, for keys, touch and remote controls. */
export function PinPad({ profile, onEnter, onClose }: PinPadProps) {
  const { t } = useText();
  const [digits, setDigits] = useState("");
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const confirm = useRef<HTMLButtonElement>(null);
  const isTyped = useRef(false);

  const onPress = (digit: string) => {
    setProblem(null);
    setDigits((before) => addDigit(before, digit));
  };
  const erase = () => setDigits((before) => before.slice(0, -1));

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (/^\d$/.test(event.key)) {
        onPress(event.key);
        isTyped.current = true;
      } else if (event.key === "Backspace") erase();
      else return;
      event.preventDefault();
    };
    // In the capture phase, so that Backspace erases a digit instead of going back.
    addEventListener("keydown", onKeyDown, true);
    return () => removeEventListener("keydown", onKeyDown, true);
  }, []);

  const complete = isPin(digits);
  // After typing, Enter confirms; with a remote control the focus stays on the digits.
  useEffect(() => {
    if (complete && isTyped.current) confirm.current?.focus();
  }, [complete]);

  // The button is not disabled meanwhile, because a disabled button loses the focus.
  async function send() {
    if (!complete || busy) return;
    setProblem(null);
    setBusy(true);
    try {
      await onEnter(digits);
    } catch (error) {
      setProblem(error);
      setDigits("");
      setBusy(false);
    }
  }

  return (
    <Dialog title={t("pin.title", { name: profile.name })} onClose={onClose}>
      <div className="pin" data-testid="pin-pad">
        <Avatar name={profile.avatar} size="5rem" />
        <p className={`pin-dots ${problem ? "invalid" : ""}`} role="status" aria-label={t("pin.entered", { count: digits.length })}>
          {Array.from({ length: Math.max(MIN_PIN_LENGTH, digits.length) }, (_, index) => <span key={index} className={index < digits.length ? "full" : ""} />)}
        </p>
        <ProblemNote problem={problem} />
        <div className="pin-keys" data-focus="grid">
          {["1", "2", "3", "4", "5", "6", "7", "8", "9"].map((digit) => <DigitButton key={digit} digit={digit} onPress={onPress} />)}
          <button type="button" aria-label={t("pin.erase")} data-testid="pin-erase" onClick={erase}><Icon name="erase" /></button>
          <DigitButton digit="0" onPress={onPress} />
          <button ref={confirm} type="button" className="pin-confirm" aria-label={t("pin.confirm")} data-testid="pin-confirm" aria-disabled={!complete || busy} aria-busy={busy || undefined} onClick={() => void send()}><Icon name="check" /></button>
        </div>
      </div>
    </Dialog>
  );
}

function DigitButton({ digit, onPress }: { digit: string; onPress: (digit: string) => void }) {
  return <button type="button" data-testid={`pin-${digit}`} data-focus-first={digit === "5" ? "" : undefined} onClick={() => onPress(digit)}>{digit}</button>;
}
