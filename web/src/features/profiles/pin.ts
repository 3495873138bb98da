/** PINs have four to eight digits, as on the server. */
export const MIN_PIN_LENGTH = 4;
export const MAX_PIN_LENGTH = 8;

export const isPin = (digits: string) => /^\d+$/.test(digits) && digits.length >= MIN_PIN_LENGTH && digits.length <= MAX_PIN_LENGTH;

/** Add a digit, up to the maximum length. */
export const addDigit = (digits: string, digit: string) => (digits.length < MAX_PIN_LENGTH ? digits + digit : digits);
