/**
 * The one way to the gateway. The access token lives in this closure only; the refresh token is an HttpOnly
 * cookie that no script sees. A 401 leads to one refresh and one more try.
 */
import { offline, Problem, problemOf } from "./problem";
import type { Session } from "./types";

const ROOT = "/api/v1";
/** A token is renewed this long before it ends, so that a request never leaves with one about to expire. */
const MARGIN_MS = 20_000;

export interface ClientParts {
  fetch: (input: string, init?: RequestInit) => Promise<Response>;
  now: () => number;
  /** Runs a task alone among all tabs of this browser. */
  alone: <T>(task: () => Promise<T>) => Promise<T>;
  /** Hears of every new session, and of `null` when the sign-in is over. */
  changed: (session: Session | null) => void;
}

export interface CallOptions {
  body?: unknown;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** A new trace (W3C Trace Context). The gateway decides whether it is recorded. */
function createTraceparent(): string {
  const hex = Array.from(crypto.getRandomValues(new Uint8Array(24)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-00`;
}

export function createClient(parts: ClientParts) {
  let session: Session | null = null;
  let expiresAt = 0;
  let refreshing: Promise<Session> | null = null;

  function adopt(next: Session | null): void {
    session = next;
    expiresAt = next ? parts.now() + next.expires_in_s * 1000 : 0;
    parts.changed(next);
  }

  async function send(method: string, path: string, options: CallOptions): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json", traceparent: createTraceparent(), ...options.headers };
    if (options.body !== undefined) headers["Content-Type"] = "application/json";
    if (session) headers.Authorization = `Bearer ${session.access_token}`;
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    try {
      return await parts.fetch(ROOT + path, { method, headers, body, signal: options.signal, credentials: "same-origin" });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw offline();
    }
  }

  async function refreshNow(): Promise<Session> {
    const response = await send("POST", "/auth/refresh", { body: {} });
    if (!response.ok) {
      const problem = await problemOf(response);
      // Only a refusal ends the sign-in; a service that is away for a moment must not sign anybody out.
      if (problem.status === 401 || problem.status === 403) adopt(null);
      throw problem;
    }
    const next = (await response.json()) as Session;
    adopt(next);
    return next;
  }

  /** New tokens for the cookie; those who ask meanwhile share the answer. */
  function refresh(): Promise<Session> {
    refreshing ??= parts.alone(refreshNow).finally(() => {
      refreshing = null;
    });
    return refreshing;
  }

  async function call<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const token = session?.access_token;
    let response = await send(method, path, options);
    if (response.status === 401 && token && !path.startsWith("/auth/sign-")) {
      if (session?.access_token === token) await refresh();
      response = await send(method, path, options);
    }
    if (!response.ok) throw await problemOf(response);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }

  return {
    call,
    refresh,
    adopt,
    session: () => session,
    /** A token good for a while yet, for requests that do not go through `call` (licences, uploads). */
    async token(): Promise<string> {
      if (!session) throw new Problem("unauthenticated", 401, "Sign in to continue");
      if (expiresAt - parts.now() < MARGIN_MS) await refresh();
      return session.access_token;
    },
  };
}

export type Client = ReturnType<typeof createClient>;
