/** The checks of the form before the request. */
import type { Key } from "../../i18n";
import { checkNewPassword } from "../../ui/password";

export interface Form {
  email: string;
  password: string;
  name: string;
}

export type Faults = Partial<Record<keyof Form, Key>>;

export function validate(form: Form, isSignUp: boolean): Faults {
  const faults: Faults = {};
  if (!/^[^\s@]+@[^\s@]+$/.test(form.email.trim())) faults.email = "check.email";
  const password = isSignUp ? checkNewPassword(form.password) : form.password ? undefined : "check.password";
  if (password) faults.password = password;
  if (isSignUp && !form.name.trim()) faults.name = "check.name";
  return faults;
}
