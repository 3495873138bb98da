import { type ReactNode, useEffect, useId, useRef } from "react";
import { createPortal } from "react-dom";
import { useArrival, useBack, useReturnFocus } from "../focus";
import { useText } from "../i18n";
import { Button } from "./Button";
import "./dialog.css";

interface DialogProps {
  title: string;
  close: () => void;
  children: ReactNode;
  hiddenTitle?: boolean;
}

/** A question or a form over the page; the rest of the page is out of reach meanwhile. */
export function Dialog({ title, close, children, hiddenTitle }: DialogProps) {
  const id = useId();
  const ref = useRef<HTMLDivElement>(null);
  const host = useRef(document.getElementById("root"));
  useReturnFocus();
  useBack(close);
  useEffect(() => {
    const root = host.current;
    const before = root?.inert ?? false;
    if (root) root.inert = true;
    return () => {
      if (root) root.inert = before;
    };
  }, []);
  useArrival(true, true);
  return createPortal(
    <div className="dialog-back" onPointerDown={(event) => event.target === event.currentTarget && close()}>
      <div ref={ref} className="dialog" role="dialog" aria-modal="true" aria-labelledby={id} data-focus-scope data-focus="column">
        <h2 id={id} className={hiddenTitle ? "visually-hidden" : undefined}>{title}</h2>
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
  confirm: () => void;
  close: () => void;
  busy?: boolean;
}

/** Says what will be done, and does it only after a second press. */
export function Confirm({ title, action, keep, confirm, close, busy }: ConfirmProps) {
  const { t } = useText();
  return (
    <Dialog title={title} close={close}>
      <div className="dialog-actions" data-focus="row">
        <Button onClick={close} data-focus-first>{keep ?? t("app.cancel")}</Button>
        <Button look="danger" busy={busy} onClick={confirm}>{action}</Button>
      </div>
    </Dialog>
  );
}
