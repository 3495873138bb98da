/** English texts; the other languages have the same keys. */
import { operator } from "./en/operator";
import { viewer } from "./en/viewer";

export const en = { ...viewer, ...operator } as const;

export type Messages = Record<keyof typeof en, string>;
