/** The API as the screens use it: one function a route. */
import { createClient } from "./client";
import type * as T from "./types";

export * from "./types";
export { faultsOf, Problem } from "./problem";

type Listener = (session: T.Session | null) => void;
const listeners = new Set<Listener>();
let chain: Promise<unknown> = Promise.resolve();

/** Where the browser has no locks (plain HTTP on a network), tasks of this tab at least queue up. */
function queued<R>(task: () => Promise<R>): Promise<R> {
  const next = chain.then(task, task);
  chain = next.catch(() => undefined);
  return next;
}

export const client = createClient({
  fetch: (input, init) => fetch(input, init),
  now: () => Date.now(),
  alone: <R>(task: () => Promise<R>) =>
    navigator.locks ? (navigator.locks.request("matinee-refresh", task) as Promise<R>) : queued(task),
  changed: (session) => listeners.forEach((listener) => listener(session)),
});

export function onSession(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const query = (values: Record<string, string | null | undefined>): string => {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value) search.set(key, value);
  const text = search.toString();
  return text && `?${text}`;
};

const get = <R>(path: string, signal?: AbortSignal) => client.call<R>("GET", path, { signal });
const post = <R = void>(path: string, body?: unknown) => client.call<R>("POST", path, { body });
const drop = (path: string) => client.call<void>("DELETE", path);
const id = encodeURIComponent;

async function entering(path: string, body: unknown): Promise<T.Session> {
  const session = await post<T.Session>(path, body);
  client.adopt(session);
  return session;
}

async function leaving(path: string): Promise<void> {
  await post(path);
  client.adopt(null);
}

export const api = {
  signUp: (body: T.SignUp) => entering("/auth/sign-up", body),
  signIn: (body: T.SignIn) => entering("/auth/sign-in", body),
  signOut: () => leaving("/auth/sign-out"),
  signOutEverywhere: () => leaving("/auth/sign-out-everywhere"),

  profiles: () => get<T.ProfileView[]>("/profiles"),
  addProfile: (body: T.NewProfile) => post<T.ProfileView>("/profiles", body),
  changeProfile: (profile: string, body: T.ProfileChange) =>
    client.call<T.ProfileView>("PATCH", `/profiles/${id(profile)}`, { body }),
  removeProfile: (profile: string) => drop(`/profiles/${id(profile)}`),
  chooseProfile: (profile: string, pin?: string) => entering(`/profiles/${id(profile)}/choose`, { pin: pin ?? null }),

  devices: () => get<T.DeviceView[]>("/devices"),
  removeDevice: (device: string) => drop(`/devices/${id(device)}`),

  home: () => get<T.HomeScreen>("/home"),
  genre: (genre: string, cursor?: string | null) => get<T.GenreScreen>(`/genres/${id(genre)}${query({ cursor })}`),
  title: (title: string) => get<T.TitleScreen>(`/titles/${id(title)}`),
  history: (cursor?: string | null) => get<T.HistoryScreen>(`/history${query({ cursor })}`),
  forget: (title: string) => drop(`/continue-watching/${id(title)}`),

  play: (body: T.PlayRequest) => post<T.PlaySession>("/playback", body),
  renew: (session: string, failed: string[]) => post<T.Renewal>(`/playback/${id(session)}/renew`, { failed }),
  heartbeat: (session: string, body: T.Heartbeat) => post(`/playback/${id(session)}/heartbeat`, body),
  endPlay: (session: string, body: T.Heartbeat) => post(`/playback/${id(session)}/end`, body),

  operator: {
    ingest: (body: T.IngestRequest) => post<T.IngestAnswer>("/operator/ingest", body),
    jobs: (state?: string, cursor?: string | null) => get<T.Page<T.Job>>(`/operator/jobs${query({ state, cursor })}`),
    cancel: (job: string) => post<T.Job>(`/operator/jobs/${id(job)}/cancel`),
    retry: (job: string) => post<T.Job>(`/operator/jobs/${id(job)}/retry`),
    titles: (cursor?: string | null) => get<T.Page<T.Title>>(`/operator/titles${query({ cursor })}`),
    publish: (title: string) => post<T.Title>(`/operator/titles/${id(title)}/publish`),
    withdraw: (title: string) => post<T.Title>(`/operator/titles/${id(title)}/withdraw`),
    services: () => get<T.ServiceView[]>("/operator/services"),
    edges: () => get<T.Edge[]>("/operator/edges"),
    drain: (edge: string, draining: boolean) => post<T.Edge>(`/operator/edges/${id(edge)}/drain`, { draining }),
  },
};
