/** Who is in front of the screen: the sign-in, and the profile that was chosen. */
import { useSyncExternalStore } from "react";
import { api, client, type DeviceInfo, onSession, Problem, type ProfileView, type Session } from "../api";
import { forgetScreens } from "../api/screens";
import { setLanguage } from "../i18n";

export interface Viewer {
  /** `restoring` until the refresh cookie has been tried. */
  state: "restoring" | "signed-out" | "signed-in" | "unreachable";
  session: Session | null;
  profiles: ProfileView[] | null;
  profile: ProfileView | null;
}

const SIGNED_IN = "matinee.signed-in";
const DEVICE = "matinee.device";

let viewer: Viewer = { state: "restoring", session: null, profiles: null, profile: null };
const listeners = new Set<() => void>();

function set(change: Partial<Viewer>): void {
  viewer = { ...viewer, ...change };
  const profile = viewer.profiles?.find((one) => one.profile_id === viewer.session?.profile_id) ?? null;
  viewer.profile = profile;
  if (profile) setLanguage(profile.language);
  listeners.forEach((listener) => listener());
}

onSession((session) => {
  if (!session) {
    localStorage.removeItem(SIGNED_IN);
    forgetScreens();
    set({ state: "signed-out", session: null, profiles: null });
    return;
  }
  localStorage.setItem(SIGNED_IN, "1");
  localStorage.setItem(DEVICE, session.device_id);
  // What one profile saw must never flash up for another.
  if (viewer.session?.profile_id !== session.profile_id) forgetScreens();
  set({ state: "signed-in", session });
});

/** Tries the refresh cookie once at the start. */
export async function restore(): Promise<void> {
  if (!localStorage.getItem(SIGNED_IN)) return set({ state: "signed-out" });
  set({ state: "restoring" });
  try {
    await client.refresh();
    await loadProfiles();
  } catch (error) {
    const refused = error instanceof Problem && (error.status === 401 || error.status === 403);
    set({ state: refused ? "signed-out" : "unreachable" });
  }
}

export async function loadProfiles(): Promise<ProfileView[]> {
  const profiles = await api.profiles();
  set({ profiles });
  return profiles;
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

const named = (table: [RegExp, string][], agent: string) => table.find(([pattern]) => pattern.test(agent))?.[1];

/** What this browser calls itself in the list of devices. */
export function thisDevice(agent = navigator.userAgent, tv = document.documentElement.dataset.tv !== undefined): DeviceInfo {
  const name = [named(BROWSERS, agent) ?? "Browser", named(SYSTEMS, agent)].filter(Boolean).join(" · ");
  const kind = tv ? "tv" : /iPad|Tablet/.test(agent) ? "tablet" : /Mobi/.test(agent) ? "phone" : "browser";
  return { name, kind, device_id: localStorage.getItem(DEVICE) };
}
