/** Playback errors, as a sentence and a code. Pure. */
import { Problem } from "../../api";
import type { Key } from "../../i18n";

export interface PlaybackError {
  /** The key of the player's own sentence … */
  key: Key;
  /** … or the kind of a problem that the server reported. */
  kind?: string;
  code: string;
}

/** The fields of a Shaka Player error that are used. */
export interface ShakaError {
  severity: number;
  category: number;
  code: number;
  data: unknown[];
}

export const isShakaError = (error: unknown): error is ShakaError =>
  typeof error === "object" && error !== null && "category" in error && "code" in error && "severity" in error;

/** The browser offers no decryption, because the page was opened neither with https nor at localhost. */
export class InsecurePage extends Error {}

const NETWORK = 1;
const MANIFEST = 4;
const DRM = 6;
const BAD_STATUS = 1001;
/** The connection failed or broke. */
const HTTP_ERROR = 1002;
/** There was no connection, or no byte, for too long: a transfer that moves has no limit. */
const TIMEOUT = 1003;
const UNSUPPORTED = new Set([6000, 6001, 6002, 6020, 7006]);
const CODEC_ERRORS = new Set([4032, 4012]);

/** Find the kind of the problem document in an HTTP error, which may be wrapped in a licence error. */
function findProblemKind(error: ShakaError): string | null {
  const inner = error.data.find(isShakaError);
  if (inner) return findProblemKind(inner);
  if (error.code !== BAD_STATUS) return null;
  for (const part of error.data) {
    const found = typeof part === "string" ? /"type"\s*:\s*"[^"]*\/problems\/([a-z-]+)"/.exec(part) : null;
    if (found) return found[1] ?? null;
  }
  return null;
}

/** Return whether the play session has ended on the server. */
export const isSessionOver = (error: unknown): boolean => error instanceof Problem && error.kind === "session-not-found";

/** Return the kind of problem that explains missing segments, given the error of the renewal, `null` if it succeeded. */
export function explainFailure(renewError: unknown): string | undefined {
  if (renewError === null) return "no-edge";
  return renewError instanceof Problem ? renewError.kind : undefined;
}

export function describeError(error: unknown, known?: string): PlaybackError {
  if (error instanceof Problem && error.kind === "timeout") return { key: "player.error.timeout", kind: known, code: "timeout" };
  if (error instanceof Problem) return { key: "problem.unknown", kind: error.kind, code: error.trace ?? error.kind };
  if (error instanceof InsecurePage) return { key: "player.error.insecure", code: "insecure" };
  if (!isShakaError(error)) return { key: "player.error.unknown", code: error instanceof Error ? error.name : "unknown" };
  const code = `S${error.code}`;
  const kind = findProblemKind(error) ?? known;
  return { key: getMessageKey(error), kind, code };
}

function getMessageKey({ category, code }: ShakaError): Key {
  if (UNSUPPORTED.has(code)) return "player.error.support";
  if (category === DRM) return "player.error.drm";
  if (category === NETWORK) return "player.error.network";
  if (category === MANIFEST && !CODEC_ERRORS.has(code)) return "player.error.unknown";
  return "player.error.media";
}

/** Return the HTTP status of an error, or 0. */
export function getHttpStatus(error: ShakaError): number {
  return error.code === BAD_STATUS && typeof error.data[1] === "number" ? error.data[1] : 0;
}

/** Return whether an edge is at fault: it could not be reached, it stalled, or it answered with an error. An expired URL is none. */
export function isEdgeFault(error: unknown): error is ShakaError {
  if (!isShakaError(error) || error.category !== NETWORK) return false;
  return error.code === HTTP_ERROR || error.code === TIMEOUT || (error.code === BAD_STATUS && ![401, 403].includes(getHttpStatus(error)));
}

/** Return whether the gateway could not be reached. */
export const isUnreachable = (error: unknown): boolean => error instanceof Problem && error.kind === "offline";

/** Describe a failure of the network while the browser is offline. */
export const OFFLINE: PlaybackError = { key: "player.error.offline", code: "offline" };

const FINAL = new Set(["title-not-found", "episode-not-found", "too-mature", "not-available", "not-entitled", "no-rendition", "forbidden"]);

/** Return whether another attempt would fail as well. */
export const isFinal = ({ kind }: PlaybackError): boolean => kind !== undefined && FINAL.has(kind);

/** Return whether playback can continue after this error when the network recovers. */
export const isRecoverable = (error: unknown): boolean => isShakaError(error) && error.category === NETWORK;
