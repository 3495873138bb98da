import type { ButtonHTMLAttributes, ComponentProps, ReactNode, Ref } from "react";
import { Link } from "../router";
import { Icon, type IconName } from "./icons";
import "./button.css";

type Look = "primary" | "secondary" | "quiet" | "danger";

interface Common {
  look?: Look;
  icon?: IconName;
  busy?: boolean;
  large?: boolean;
}

function classes({ look = "secondary", large, className }: Common & { className?: string }): string {
  return ["button", look, large && "large", className].filter(Boolean).join(" ");
}

type ButtonProps = Common & ButtonHTMLAttributes<HTMLButtonElement> & { ref?: Ref<HTMLButtonElement> };

export function Button({ look, icon, busy, large, className, children, ...rest }: ButtonProps) {
  return (
    <button type="button" {...rest} className={classes({ look, large, className })} disabled={rest.disabled || busy} aria-busy={busy || undefined}>
      {busy ? <Spinner /> : icon && <Icon name={icon} size="1.25em" />}
      {children}
    </button>
  );
}

export function LinkButton({ look, icon, large, className, children, ...rest }: Common & ComponentProps<typeof Link>) {
  return (
    <Link {...rest} className={classes({ look, large, className })}>
      {icon && <Icon name={icon} size="1.25em" />}
      {children}
    </Link>
  );
}

type IconButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & { icon: IconName; label: string; ref?: Ref<HTMLButtonElement> };

/** A round button that shows an icon and says what it does. */
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
