/**
 * The HTTP client of the gateway. The access token is kept in this closure only; the refresh token is an HttpOnly
 * cookie. After a 401 the client refreshes the token once and sends the request again.
 */
import { createOfflineProblem, Problem, readProblem } from "./problem";
import { createRandomHex } from "./random";
import type { Session } from "./types";

const ROOT = "/api/v1";
/** Tokens are refreshed this long before they expire. */
const REFRESH_MARGIN_MS = 20_000;

export interface ClientDependencies {
  fetch: (input: string, init?: RequestInit) => Promise<Response>;
  now: () => number;
  /** Runs a task under a lock that all tabs of the browser share. */
  runExclusive: <T>(task: () => Promise<T>) => Promise<T>;
  /** Ask the viewer for the password or a PIN, which the server wants for this change; `false` if refused. */
  requestProof: () => Promise<boolean>;
  /** Called with every new session, and with `null` when the sign-in has ended. */
  onSessionChange: (session: Session | null) => void;
}

export interface CallOptions {
  body?: unknown;
  signal?: AbortSignal;
  headers?: Record<string, string>;
  /** Whether the request is completed after the page was left. */
  keepalive?: boolean;
}

/** A new trace (W3C Trace Context). The gateway decides whether it is recorded. */
function createTraceparent(): string {
  const hex = createRandomHex(24);
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-00`;
}

const readBody = async <T>(response: Response) => (response.status === 204 ? undefined : await response.json()) as T;

export function createClient(dependencies: ClientDependencies) {
  let session: Session | null = null;
  let expiresAt = 0;
  let refreshing: Promise<Session> | null = null;

  function setSession(next: Session | null): void {
    session = next;
    expiresAt = next ? dependencies.now() + next.expires_in_s * 1000 : 0;
    dependencies.onSessionChange(next);
  }

  async function send(method: string, path: string, options: CallOptions): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json", traceparent: createTraceparent(), ...options.headers };
    if (options.body !== undefined) headers["Content-Type"] = "application/json";
    if (session) headers.Authorization = `Bearer ${session.access_token}`;
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    try {
      return await dependencies.fetch(ROOT + path, { method, headers, body, signal: options.signal, keepalive: options.keepalive, credentials: "same-origin" });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw createOfflineProblem();
    }
  }

  async function requestRefresh(): Promise<Session> {
    const response = await send("POST", "/auth/refresh", { body: {} });
    if (!response.ok) {
      const problem = await readProblem(response);
      // Only a refusal ends the sign-in; a temporary failure of the service does not.
      if (problem.status === 401 || problem.status === 403) setSession(null);
      throw problem;
    }
    const next = (await response.json()) as Session;
    setSession(next);
    return next;
  }

  /** Refresh the tokens; concurrent callers share one request. */
  function refresh(): Promise<Session> {
    refreshing ??= dependencies.runExclusive(requestRefresh).finally(() => {
      refreshing = null;
    });
    return refreshing;
  }

  /** Send a request and return its response, which is not an error. */
  async function request(method: string, path: string, options: CallOptions): Promise<Response> {
    const token = session?.access_token;
    let response = await send(method, path, options);
    if (response.status === 401 && token && !path.startsWith("/auth/sign-")) {
      if (session?.access_token === token) await refresh();
      response = await send(method, path, options);
    }
    if (response.ok) return response;
    const problem = await readProblem(response);
    if (problem.kind !== "proof-required" || !(await dependencies.requestProof())) throw problem;
    response = await send(method, path, options);
    if (response.ok) return response;
    throw await readProblem(response);
  }

  return {
    call: async <T>(method: string, path: string, options: CallOptions = {}): Promise<T> => readBody<T>(await request(method, path, options)),
    /** Return the content of a file. */
    download: async (path: string): Promise<Blob> => (await request("GET", path, {})).blob(),
    refresh,
    setSession,
    getSession: () => session,
    /** Return a valid token for requests that do not use `call` (licences, uploads). */
    async getToken(): Promise<string> {
      if (!session) throw new Problem("unauthenticated", 401, "Sign in to continue");
      if (expiresAt - dependencies.now() < REFRESH_MARGIN_MS) await refresh();
      return session.access_token;
    },
  };
}

export type Client = ReturnType<typeof createClient>;
