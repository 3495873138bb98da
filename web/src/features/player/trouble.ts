/** What is wrong, as one sentence and a code. Pure. */
import { Problem } from "../../api";
import type { Key } from "../../i18n";

export interface Trouble {
  /** The key of a sentence of the player's own … */
  key: Key;
  /** … or the kind of a problem that the server named. */
  kind?: string;
  code: string;
}

/** An error of Shaka Player, as much of it as is looked at. */
export interface ShakaError {
  severity: number;
  category: number;
  code: number;
  data: unknown[];
}

export const isShakaError = (error: unknown): error is ShakaError =>
  typeof error === "object" && error !== null && "category" in error && "code" in error && "severity" in error;

const NETWORK = 1;
const MANIFEST = 4;
const DRM = 6;
const BAD_STATUS = 1001;
const UNSUPPORTED = new Set([6000, 6001, 6002, 6020, 7006]);
const CODEC_ERRORS = new Set([4032, 4012]);

/** The problem document inside an HTTP error, be it wrapped in a licence error. */
function documentOf(error: ShakaError): string | null {
  const inner = error.data.find(isShakaError);
  if (inner) return documentOf(inner);
  if (error.code !== BAD_STATUS) return null;
  for (const part of error.data) {
    const found = typeof part === "string" ? /"type"\s*:\s*"[^"]*\/problems\/([a-z-]+)"/.exec(part) : null;
    if (found) return found[1] ?? null;
  }
  return null;
}

/** Whether the play session has ended behind the player's back. */
export const isOver = (error: unknown): boolean => error instanceof Problem && error.kind === "session-not-found";

/** The kind of problem behind a picture that does not come, from how asking the gateway for another way went. */
export function blame(renewal: unknown): string | undefined {
  if (renewal === null) return "no-edge";
  return renewal instanceof Problem ? renewal.kind : undefined;
}

export function troubleOf(error: unknown, known?: string): Trouble {
  if (error instanceof Problem && error.kind === "timeout") return { key: "player.error.timeout", kind: known, code: "timeout" };
  if (error instanceof Problem) return { key: "problem.unknown", kind: error.kind, code: error.trace ?? error.kind };
  if (!isShakaError(error)) return { key: "player.error.unknown", code: error instanceof Error ? error.name : "unknown" };
  const code = `S${error.code}`;
  const kind = documentOf(error) ?? known;
  return { key: keyOf(error), kind, code };
}

function keyOf({ category, code }: ShakaError): Key {
  if (UNSUPPORTED.has(code)) return "player.error.support";
  if (category === DRM) return "player.error.drm";
  if (category === NETWORK) return "player.error.network";
  if (category === MANIFEST && !CODEC_ERRORS.has(code)) return "player.error.unknown";
  return "player.error.media";
}

/** The HTTP status in an error, or 0. */
export function statusOf(error: ShakaError): number {
  return error.code === BAD_STATUS && typeof error.data[1] === "number" ? error.data[1] : 0;
}

/** Whether playback may go on after this error once the way to the picture is mended. */
export const mendable = (error: unknown): boolean => isShakaError(error) && error.category === NETWORK;
