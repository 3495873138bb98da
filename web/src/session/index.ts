/** The viewer: the sign-in and the chosen profile. */
import { useSyncExternalStore } from "react";
import { api, client, type DeviceInfo, onSession, Problem, type ProfileView, type Session } from "../api";
import { clearScreens } from "../api/screens";
import { setLanguage } from "../i18n";

export interface Viewer {
  /** `restoring` until the refresh cookie has been tried. */
  state: "restoring" | "signed-out" | "signed-in" | "unreachable";
  session: Session | null;
  profiles: ProfileView[] | null;
  profile: ProfileView | null;
  /** What the sign-in page says. */
  notice: "account-closed" | null;
}

const SIGNED_IN = "matinee.signed-in";
const DEVICE = "matinee.device";

let viewer: Viewer = { state: "restoring", session: null, profiles: null, profile: null, notice: null };
const listeners = new Set<() => void>();

function setViewer(change: Partial<Viewer>): void {
  viewer = { ...viewer, ...change };
  const profile = viewer.profiles?.find((one) => one.profile_id === viewer.session?.profile_id) ?? null;
  viewer.profile = profile;
  if (profile) setLanguage(profile.language);
  listeners.forEach((listener) => listener());
}

onSession((session) => {
  if (!session) {
    localStorage.removeItem(SIGNED_IN);
    clearScreens();
    setViewer({ state: "signed-out", session: null, profiles: null });
    return;
  }
  localStorage.setItem(SIGNED_IN, "1");
  localStorage.setItem(DEVICE, session.device_id);
  // Cached screens of one profile must not be shown to another.
  if (viewer.session?.profile_id !== session.profile_id) clearScreens();
  setViewer({ state: "signed-in", session, notice: null });
});

/** Restore the session from the refresh cookie. */
export async function restoreSession(): Promise<void> {
  if (!localStorage.getItem(SIGNED_IN)) return setViewer({ state: "signed-out" });
  setViewer({ state: "restoring" });
  try {
    await client.refresh();
    await ensureProfiles();
  } catch (error) {
    const refused = error instanceof Problem && (error.status === 401 || error.status === 403);
    setViewer({ state: refused ? "signed-out" : "unreachable" });
  }
}

/** Close the account; the sign-in page then says so. */
export async function closeAccount(): Promise<void> {
  await api.closeAccount();
  setViewer({ notice: "account-closed" });
}

export async function loadProfiles(): Promise<ProfileView[]> {
  const profiles = await api.listProfiles();
  setViewer({ profiles });
  return profiles;
}

let pending: Promise<unknown> | null = null;

/** Load the profiles unless they are known or being loaded. */
export async function ensureProfiles(): Promise<void> {
  if (viewer.profiles) return;
  pending ??= loadProfiles().finally(() => {
    pending = null;
  });
  await pending;
}

export function useViewer(): Viewer {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => viewer,
  );
}

const BROWSERS: [RegExp, string][] = [
  [/Edg\//, "Edge"],
  [/OPR\//, "Opera"],
  [/Firefox\//, "Firefox"],
  [/Chrome\//, "Chrome"],
  [/Safari\//, "Safari"],
];
const SYSTEMS: [RegExp, string][] = [
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "macOS"],
  [/Linux|X11/, "Linux"],
];

const findName = (table: [RegExp, string][], agent: string) => table.find(([pattern]) => pattern.test(agent))?.[1];

/** Describe this browser for the list of devices. */
export function describeDevice(agent = navigator.userAgent, tv = document.documentElement.dataset.tv !== undefined): DeviceInfo {
  const name = [findName(BROWSERS, agent) ?? "Browser", findName(SYSTEMS, agent)].filter(Boolean).join(" · ");
  const kind = tv ? "tv" : /iPad|Tablet/.test(agent) ? "tablet" : /Mobi/.test(agent) ? "phone" : "browser";
  return { name, kind, device_id: localStorage.getItem(DEVICE) };
}
