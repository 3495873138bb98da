import { useEffect, useRef, useState } from "react";
import { useText } from "../../i18n";
import { Button } from "../../ui/Button";
import { Dialog } from "../../ui/Dialog";

/** Copy the text of an element; where the clipboard is out of reach, because of plain HTTP, by a selection. */
async function copyText(element: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(element.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(element);
    return document.execCommand("copy");
  }
}

interface PasswordShownProps {
  email: string;
  password: string;
  onClose: () => void;
}

const stay = () => undefined;
const ask = (event: BeforeUnloadEvent) => event.preventDefault();

/** The dialog that shows a generated password. It cannot be shown again, so only its own button closes it. */
export function PasswordShown({ email, password, onClose }: PasswordShownProps) {
  const { t } = useText();
  const [isCopied, setIsCopied] = useState(false);
  const shown = useRef<HTMLElement>(null);
  useEffect(() => {
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, []);
  const copy = async () => shown.current && setIsCopied(await copyText(shown.current));
  return (
    <Dialog title={t("accounts.generated")} onClose={onClose} isDismissable={false} onBack={stay}>
      <p className="page-lead">{t("accounts.generatedLead", { email })}</p>
      <p className="password-shown"><code ref={shown} data-testid="generated-password">{password}</code></p>
      <p role="status" className="field-note">{isCopied && t("accounts.copied")}</p>
      <div className="dialog-actions" data-focus="row">
        <Button data-testid="password-copy" onClick={() => void copy()} data-focus-first>{t("accounts.copy")}</Button>
        <Button variant="primary" data-testid="password-done" onClick={onClose}>{t("app.done")}</Button>
      </div>
    </Dialog>
  );
}
