import { type ReactNode, useEffect, useId, useRef } from "react";
import { createPortal } from "react-dom";
import { useInitialFocus, useBack, useReturnFocus } from "../focus";
import { useText } from "../i18n";
import { useLayer } from "../router";
import { Button } from "./Button";
import "./dialog.css";

interface DialogProps {
  title: string;
  onClose: () => void;
  /** Whether a press outside the dialog closes it. */
  isDismissable?: boolean;
  /** What Escape and Back do instead of closing it. */
  onBack?: () => void;
  children: ReactNode;
}

/** A modal dialog; the rest of the page is inert. */
export function Dialog({ title, onClose, isDismissable = true, onBack = onClose, children }: DialogProps) {
  const id = useId();
  const ref = useRef<HTMLDivElement>(null);
  const host = useRef(document.getElementById("root"));
  useReturnFocus();
  useBack(onBack);
  useLayer(onBack);
  useEffect(() => {
    const root = host.current;
    const before = root?.inert ?? false;
    if (root) root.inert = true;
    return () => {
      if (root) root.inert = before;
    };
  }, []);
  useInitialFocus(true, true);
  return createPortal(
    <div className="dialog-back" onPointerDown={(event) => isDismissable && event.target === event.currentTarget && onClose()}>
      <div ref={ref} className="dialog" role="dialog" aria-modal="true" aria-labelledby={id} data-focus-scope data-focus="column">
        <h2 id={id}>{title}</h2>
        {children}
      </div>
    </div>,
    document.body,
  );
}

interface ConfirmProps {
  title: string;
  action: string;
  keep?: string;
  onConfirm: () => void;
  onClose: () => void;
  busy?: boolean;
}

/** A dialog that asks for confirmation. */
export function Confirm({ title, action, keep, onConfirm, onClose, busy }: ConfirmProps) {
  const { t } = useText();
  return (
    <Dialog title={title} onClose={onClose}>
      <div className="dialog-actions" data-focus="row">
        <Button onClick={onClose} data-focus-first>{keep ?? t("app.cancel")}</Button>
        <Button variant="danger" busy={busy} onClick={onConfirm}>{action}</Button>
      </div>
    </Dialog>
  );
}
