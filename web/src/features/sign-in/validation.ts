/** Validation of the sign-in form before it is sent. */
import type { Key } from "../../i18n";

export interface Form {
  email: string;
  password: string;
  name: string;
}

export type FormErrors = Partial<Record<keyof Form, Key>>;

export const MIN_PASSWORD_LENGTH = 8;

export function validate(form: Form, signingUp: boolean): FormErrors {
  const errors: FormErrors = {};
  if (!/^[^\s@]+@[^\s@]+$/.test(form.email.trim())) errors.email = "check.email";
  if (signingUp && form.password.length < MIN_PASSWORD_LENGTH) errors.password = "check.newPassword";
  if (!signingUp && !form.password) errors.password = "check.password";
  if (signingUp && !form.name.trim()) errors.name = "check.name";
  return errors;
}
