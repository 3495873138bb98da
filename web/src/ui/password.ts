/** The checks of a new password. */
import { getFaults } from "../api";
import type { Key } from "../i18n";

const LENGTHS = { min: 8, max: 128 };

export function checkNewPassword(password: string): Key | undefined {
  if (password.length < LENGTHS.min) return "check.newPassword";
  return password.length > LENGTHS.max ? "check.longPassword" : undefined;
}

/** Return the fault that the server found in a new password whose length is right. */
export const getPasswordFault = (problem: unknown): Key | undefined => (getFaults(problem).password === undefined ? undefined : "check.weakPassword");
