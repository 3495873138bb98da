/** The focus of forms. */
import { type RefObject, useEffect, useRef, useState } from "react";

/** Focus the first invalid field, or the message if the failure concerns no field, and scroll it into view. */
function focusFailure(form: HTMLElement | null): void {
  const target = form?.querySelector<HTMLElement>('[aria-invalid="true"]') ?? form?.querySelector<HTMLElement>(".problem-note");
  target?.focus({ preventScroll: true });
  target?.scrollIntoView({ block: "center", behavior: "instant" });
}

/** Return the ref of a form, and a function to call after each submission that failed. */
export function useFailureFocus(): [RefObject<HTMLFormElement | null>, () => void] {
  const form = useRef<HTMLFormElement>(null);
  const [failures, setFailures] = useState(0);
  useEffect(() => {
    if (failures) focusFailure(form.current);
  }, [failures]);
  return [form, () => setFailures((count) => count + 1)];
}
