/** The key `/`, which leads to the search field from every page with a header. */
import { useEffect } from "react";
import { go, paths } from "../router";

const FIELDS = "input,textarea,select,[contenteditable]";
const DIALOGS = "[data-focus-scope]:not([data-testid=title-page])";

/** Focus the search field, on its page. */
function openSearch(): void {
  const field = document.getElementById("search-field");
  if (location.pathname === paths.search() && field instanceof HTMLInputElement) {
    field.focus();
    field.select();
  } else go(paths.search());
}

/** Handle the key, unless a text is edited or a dialog is open. */
export function useSearchKey(): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== "/" || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
      if (event.target instanceof Element && event.target.closest(FIELDS)) return;
      if (document.querySelector(DIALOGS)) return;
      event.preventDefault();
      openSearch();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, []);
}
