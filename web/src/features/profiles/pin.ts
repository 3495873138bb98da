/** A PIN as the house takes it: four digits at least, eight at most. Pure. */
export const LEAST_PIN = 4;
export const MOST_PIN = 8;

export const isPin = (digits: string) => /^\d+$/.test(digits) && digits.length >= LEAST_PIN && digits.length <= MOST_PIN;

/** The digits after one more; past the longest PIN there is nothing to add. */
export const withDigit = (digits: string, digit: string) => (digits.length < MOST_PIN ? digits + digit : digits);
