/** Return random bytes as hexadecimal digits. `crypto.randomUUID` is missing where the page was loaded over plain HTTP. */
export const createRandomHex = (bytes: number): string => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
