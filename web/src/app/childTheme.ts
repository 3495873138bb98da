/** The theme of a child's profile: `data-profile="kids"` on the document. */
import { useLayoutEffect } from "react";
import { paths, useLocation } from "../router";
import { useViewer } from "../session";

const KEY = "matinee.kids";

/** Use the theme of the last visit until the profile is known, so that the page does not change its colours. */
export function restoreChildTheme(): void {
  setChildTheme(localStorage.getItem(KEY) === "1" && !location.pathname.startsWith(paths.profiles));
}

function setChildTheme(isOn: boolean): void {
  if (isOn) document.documentElement.dataset.profile = "kids";
  else delete document.documentElement.dataset.profile;
}

/** Use the theme on all pages of a child's profile; the choice of profiles belongs to everyone. */
export function useChildTheme(): void {
  const { path } = useLocation();
  const { state, session, profile } = useViewer();
  const isKnown = state === "signed-out" || profile !== null || (session !== null && session.profile_id === null);
  const isChild = state === "signed-in" && profile?.kids === true;
  const isShared = path.startsWith(paths.profiles);
  useLayoutEffect(() => {
    if (!isKnown) return;
    localStorage.setItem(KEY, isChild ? "1" : "0");
    setChildTheme(isChild && !isShared);
  }, [isKnown, isChild, isShared]);
}
