import { type InputHTMLAttributes, useId, useState } from "react";
import { Problem } from "../api";
import { type Translator, useText } from "../i18n";
import { paths } from "../router";
import { IconButton, LinkButton } from "./Button";
import { Icon } from "./icons";
import "./field.css";

interface FieldProps extends InputHTMLAttributes<HTMLInputElement> {
  label: string;
  /** The labels of the button that reveals a secret; for a password if left out. */
  revealLabels?: { show: string; hide: string };
  hint?: string;
  error?: string;
}

export function Field({ label, revealLabels, hint, error, type, ...rest }: FieldProps) {
  const id = useId();
  const { t } = useText();
  const [revealed, setRevealed] = useState(false);
  const secret = type === "password";
  const note = error ?? hint;
  return (
    <div className={`field ${error ? "invalid" : ""}`}>
      <label htmlFor={id}>{label}</label>
      <div className="field-box" data-focus="row">
        <input id={id} type={secret && revealed ? "text" : type} aria-invalid={error ? true : undefined} aria-describedby={note ? `${id}-note` : undefined} {...rest} />
        {secret && <IconButton icon={revealed ? "hide" : "eye"} label={revealLabels?.[revealed ? "hide" : "show"] ?? t(revealed ? "signIn.hide" : "signIn.show")} onClick={() => setRevealed(!revealed)} />}
      </div>
      {note && <p id={`${id}-note`} className="field-note">{note}</p>}
    </div>
  );
}

interface ChoiceProps<T extends string | number> {
  label: string;
  value: T;
  options: readonly { value: T; label: string }[];
  onChange: (value: T) => void;
}

/** A choice of a few visible options, which works with a remote control. */
export function Choice<T extends string | number>({ label, value, options, onChange }: ChoiceProps<T>) {
  return (
    <fieldset className="field">
      <legend>{label}</legend>
      <div className="choices" data-focus="row" role="radiogroup" aria-label={label}>
        {options.map((option) => (
          <button key={option.value} type="button" role="radio" className="choice" aria-checked={option.value === value} onClick={() => onChange(option.value)}>
            {option.label}
          </button>
        ))}
      </div>
    </fieldset>
  );
}

interface SwitchProps {
  label: string;
  hint?: string;
  on: boolean;
  onChange: (on: boolean) => void;
}

export function Switch({ label, hint, on, onChange }: SwitchProps) {
  return (
    <button type="button" className="switch" role="switch" aria-checked={on} onClick={() => onChange(!on)}>
      <span><span className="switch-label">{label}</span>{hint && <span className="switch-hint">{hint}</span>}</span>
      <span className="switch-track" aria-hidden="true" />
    </button>
  );
}

/** Describe a problem in the viewer's language. */
export function describeProblem(problem: unknown, text: Translator): string {
  if (!(problem instanceof Problem)) return text.t("problem.unknown");
  return text.find(`problem.${problem.kind}`) ?? (problem.status < 500 && problem.message ? problem.message : text.t("problem.unknown"));
}

export function ProblemNote({ problem, onRetry }: { problem: unknown; onRetry?: () => void }) {
  const text = useText();
  if (!problem) return null;
  return (
    <div className="problem-note" role="alert" tabIndex={-1}>
      <Icon name="alert" size="1.35em" />
      <span>{describeProblem(problem, text)}</span>
      {onRetry && <button type="button" className="problem-note-retry" onClick={onRetry}>{text.t("app.retry")}</button>}
    </div>
  );
}

/** The page shown when loading failed; it leads home where trying again is of no use. */
export function ProblemPage({ problem, onRetry }: { problem: unknown; onRetry: () => void }) {
  const text = useText();
  const trace = problem instanceof Problem ? problem.trace : null;
  return (
    <div className="problem-page" role="alert">
      <h1>{describeProblem(problem, text)}</h1>
      {problem instanceof Problem && problem.isFinal
        ? <LinkButton to={paths.home} variant="primary" data-testid="to-home" data-focus-first>{text.t("app.toHome")}</LinkButton>
        : <button type="button" className="button primary" onClick={onRetry} data-focus-first>{text.t("app.retry")}</button>}
      {trace && <p className="problem-code">{text.t("problem.code", { code: trace })}</p>}
    </div>
  );
}
