/** German. */
import { operator } from "./de/operator";
import { viewer } from "./de/viewer";
import type { Messages } from "./en";

export const de: Messages = { ...viewer, ...operator };
