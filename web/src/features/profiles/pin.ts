/** PINs have four to eight digits. Pure. */
export const MIN_PIN_LENGTH = 4;
export const MAX_PIN_LENGTH = 8;

export const isPin = (digits: string) => /^\d+$/.test(digits) && digits.length >= MIN_PIN_LENGTH && digits.length <= MAX_PIN_LENGTH;

/** Appends a digit, unless the PIN has its maximum length. */
export const appendDigit = (digits: string, digit: string) => (digits.length < MAX_PIN_LENGTH ? digits + digit : digits);
