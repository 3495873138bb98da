import type { ButtonHTMLAttributes, ComponentProps, ReactNode, Ref } from "react";
import { Link } from "../router";
import { Icon, type IconName } from "./icons";
import "./button.css";

type Variant = "primary" | "secondary" | "quiet" | "danger";

interface Common {
  variant?: Variant;
  icon?: IconName;
  busy?: boolean;
  large?: boolean;
}

function getClasses({ variant = "secondary", large, className }: Common & { className?: string }): string {
  return ["button", variant, large && "large", className].filter(Boolean).join(" ");
}

type ButtonProps = Common & ButtonHTMLAttributes<HTMLButtonElement> & { ref?: Ref<HTMLButtonElement> };

export function Button({ variant, icon, busy, large, className, children, ...rest }: ButtonProps) {
  return (
    <button type="button" {...rest} className={getClasses({ variant, large, className })} disabled={rest.disabled || busy} aria-busy={busy || undefined}>
      {busy ? <Spinner /> : icon && <Icon name={icon} size="1.25em" />}
      {children}
    </button>
  );
}

export function LinkButton({ variant, icon, large, className, children, ...rest }: Common & ComponentProps<typeof Link>) {
  return (
    <Link {...rest} className={getClasses({ variant, large, className })}>
      {icon && <Icon name={icon} size="1.25em" />}
      {children}
    </Link>
  );
}

type IconButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & { icon: IconName; label: string; ref?: Ref<HTMLButtonElement> };

/** A round icon button with an accessible label. */
export function IconButton({ icon, label, className, ...rest }: IconButtonProps) {
  return (
    <button type="button" title={label} aria-label={label} {...rest} className={`icon-button ${className ?? ""}`}>
      <Icon name={icon} />
    </button>
  );
}

export function Spinner(): ReactNode {
  return (
    <svg className="spinner" viewBox="0 0 24 24" aria-hidden="true">
      <circle cx="12" cy="12" r="9" fill="none" stroke="currentColor" strokeWidth="3" strokeDasharray="36 60" strokeLinecap="round" />
    </svg>
  );
}
