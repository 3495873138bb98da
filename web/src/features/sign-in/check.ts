/** What the form can tell before the server is asked. */
import type { Key } from "../../i18n";

export interface Form {
  email: string;
  password: string;
  name: string;
}

export type Faults = Partial<Record<keyof Form, Key>>;

export const LEAST_PASSWORD = 8;

export function check(form: Form, opening: boolean): Faults {
  const faults: Faults = {};
  if (!/^[^\s@]+@[^\s@]+$/.test(form.email.trim())) faults.email = "check.email";
  if (opening && form.password.length < LEAST_PASSWORD) faults.password = "check.newPassword";
  if (!opening && !form.password) faults.password = "check.password";
  if (opening && !form.name.trim()) faults.name = "check.name";
  return faults;
}
