/** The checks of the form before the request. */
import type { Key } from "../../i18n";

export interface Form {
  email: string;
  password: string;
  name: string;
}

export type Faults = Partial<Record<keyof Form, Key>>;

export const MIN_PASSWORD_LENGTH = 8;

export function validate(form: Form, isSignUp: boolean): Faults {
  const faults: Faults = {};
  if (!/^[^\s@]+@[^\s@]+$/.test(form.email.trim())) faults.email = "check.email";
  if (isSignUp && form.password.length < MIN_PASSWORD_LENGTH) faults.password = "check.newPassword";
  if (!isSignUp && !form.password) faults.password = "check.password";
  if (isSignUp && !form.name.trim()) faults.name = "check.name";
  return faults;
}
