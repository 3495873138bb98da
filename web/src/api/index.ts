/** The public API, one function for each route. */
import { createClient } from "./client";
import { takeEarly } from "./early";
import type * as T from "./types";

export * from "./types";
export { createOfflineProblem, getFaults, Problem } from "./problem";

type Listener = (session: T.Session | null) => void;
const listeners = new Set<Listener>();
let askForProof: () => Promise<boolean> = () => Promise.resolve(false);
let chain: Promise<unknown> = Promise.resolve();

/** Run tasks of this tab in turn, where the browser has no locks because the page was loaded over plain HTTP. */
function runInTurn<R>(task: () => Promise<R>): Promise<R> {
  const next = chain.then(task, task);
  chain = next.catch(() => undefined);
  return next;
}

export const client = createClient({
  fetch: async (input, init) => (await takeEarly(init?.method ?? "GET", input)) ?? fetch(input, init),
  now: () => Date.now(),
  runExclusive: <R>(task: () => Promise<R>) =>
    navigator.locks ? (navigator.locks.request("matinee-refresh", task) as Promise<R>) : runInTurn(task),
  requestProof: () => askForProof(),
  onSessionChange: (session) => listeners.forEach((listener) => listener(session)),
});

export function onSession(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Set the function that asks the viewer for a proof. It is called before a change of the household. */
export function onProofRequired(ask: () => Promise<boolean>): void {
  askForProof = ask;
}

const formatQuery = (values: Record<string, string | null | undefined>): string => {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value) search.set(key, value);
  const text = search.toString();
  return text && `?${text}`;
};

const get = <R>(path: string) => client.call<R>("GET", path);
const post = <R = void>(path: string, body?: unknown) => client.call<R>("POST", path, { body });
const put = <R = void>(path: string, body?: unknown) => client.call<R>("PUT", path, { body });
const remove = <R = void>(path: string) => client.call<R>("DELETE", path);
const id = encodeURIComponent;

async function startSession(path: string, body: unknown, method = "POST"): Promise<T.Session> {
  const session = await client.call<T.Session>(method, path, { body });
  client.setSession(session);
  return session;
}

async function endSession(path: string, method = "POST"): Promise<void> {
  await client.call(method, path);
  client.setSession(null);
}

export const api = {
  getAuthOptions: () => get<T.AuthOptions>("/auth/options"),
  signUp: (body: T.SignUp) => startSession("/auth/sign-up", body),
  signIn: (body: T.SignIn) => startSession("/auth/sign-in", body),
  signOut: () => endSession("/auth/sign-out"),
  signOutEverywhere: () => endSession("/auth/sign-out-everywhere"),

  getAccount: () => get<T.Account>("/account"),
  exportAccount: () => client.download("/account/export"),
  closeAccount: () => endSession("/account", "DELETE"),
  changePassword: (body: T.NewPassword) => startSession("/auth/password", body, "PUT"),
  prove: (body: T.Proof) => post("/auth/prove", body),

  listProfiles: () => get<T.ProfileView[]>("/profiles"),
  addProfile: (body: T.NewProfile) => post<T.ProfileView>("/profiles", body),
  changeProfile: (profile: string, body: T.ProfileChange) =>
    client.call<T.ProfileView>("PATCH", `/profiles/${id(profile)}`, { body }),
  removeProfile: (profile: string) => remove(`/profiles/${id(profile)}`),
  chooseProfile: (profile: string, pin?: string) => startSession(`/profiles/${id(profile)}/choose`, { pin: pin ?? null }),

  listDevices: () => get<T.DeviceView[]>("/devices"),
  removeDevice: (device: string) => remove(`/devices/${id(device)}`),

  getHome: () => get<T.HomeScreen>("/home"),
  getGenre: (genre: string, cursor?: string | null) => get<T.GenreScreen>(`/genres/${id(genre)}${formatQuery({ cursor })}`),
  browse: (initial: string, cursor?: string | null) => get<T.BrowseScreen>(`/browse${formatQuery({ initial, cursor })}`),
  getTitle: (title: string) => get<T.TitleScreen>(`/titles/${id(title)}`),
  search: (query: string, signal?: AbortSignal) => client.call<T.SearchScreen>("GET", `/search${formatQuery({ q: query })}`, { signal }),
  reportSearch: (body: T.EndedSearch) => client.call<void>("POST", "/search/reports", { body, keepalive: true }),
  getHistory: (cursor?: string | null) => get<T.HistoryScreen>(`/history${formatQuery({ cursor })}`),
  removeFromHistory: (title: string) => remove(`/continue-watching/${id(title)}`),

  startPlayback: (body: T.PlayRequest) => post<T.PlaySession>("/playback", body),
  renewPlayback: (session: string, failed: string[]) => post<T.Renewal>(`/playback/${id(session)}/renew`, { failed }),
  sendHeartbeat: (session: string, body: T.Heartbeat) => post(`/playback/${id(session)}/heartbeat`, body),
  endPlayback: (session: string, body: T.Heartbeat) => post(`/playback/${id(session)}/end`, body),

  operator: {
    ingest: (body: T.IngestRequest) => post<T.IngestAnswer>("/operator/ingest", body),
    listJobs: (state?: string, cursor?: string | null) => get<T.Page<T.Job>>(`/operator/jobs${formatQuery({ state, cursor })}`),
    cancelJob: (job: string) => post<T.Job>(`/operator/jobs/${id(job)}/cancel`),
    retryJob: (job: string) => post<T.Job>(`/operator/jobs/${id(job)}/retry`),
    listTitles: (cursor?: string | null) => get<T.Page<T.TitleEntry>>(`/operator/titles${formatQuery({ cursor })}`),
    publishTitle: (title: string) => post<T.Title>(`/operator/titles/${id(title)}/publish`),
    withdrawTitle: (title: string) => post<T.Title>(`/operator/titles/${id(title)}/withdraw`),
    listServices: () => get<T.ServiceView[]>("/operator/services"),
    listEdges: () => get<T.Edge[]>("/operator/edges"),
    reportQueries: (days: number, limit: number) => get<T.QueryReport>(`/operator/searches${formatQuery({ days: String(days), limit: String(limit) })}`),
    listAccounts: (query: string, cursor?: string | null) => get<T.Page<T.Account>>(`/operator/accounts${formatQuery({ query, cursor })}`),
    createAccount: (body: T.NewAccount) => post<T.AccountWithPassword>("/operator/accounts", body),
    getAccount: (account: string) => get<T.AccountScreen>(`/operator/accounts/${id(account)}`),
    resetPassword: (account: string, password: string | null) => put<T.AccountWithPassword>(`/operator/accounts/${id(account)}/password`, { password }),
    grantOperator: (account: string) => put<T.Account>(`/operator/accounts/${id(account)}/roles/operator`),
    revokeOperator: (account: string) => remove<T.Account>(`/operator/accounts/${id(account)}/roles/operator`),
    endSignIns: (account: string) => remove<T.EndedSignIns>(`/operator/accounts/${id(account)}/sign-ins`),
    exportAccount: (account: string) => client.download(`/operator/accounts/${id(account)}/export`),
    closeAccount: (account: string) => remove(`/operator/accounts/${id(account)}`),
    listAudit: (account_id: string | null, cursor?: string | null) => get<T.Page<T.AuditEntry>>(`/operator/audit${formatQuery({ account_id, cursor })}`),
    rotateKeys: () => post("/operator/keys/rotate"),
    setDraining: (edge: string, draining: boolean) => post<T.Edge>(`/operator/edges/${id(edge)}/drain`, { draining }),
  },
};
