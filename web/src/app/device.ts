/** Detection of televisions by user agent; `?tv` forces it and `?tv=0` turns it off. */
const TV_AGENTS = /\b(SmartTV|SMART-TV|Smart TV|Tizen|Web0S|webOS|NetCast|HbbTV|BRAVIA|AFT[A-Z]|GoogleTV|Android TV|CrKey|Roku|VIDAA|AppleTV|Xbox|PlayStation)\b/i;

export function isTelevision(agent: string, search: string, remembered: string | null): boolean {
  const forced = new URLSearchParams(search).get("tv");
  if (forced !== null) return forced !== "0";
  return remembered === "1" || TV_AGENTS.test(agent);
}

export function setUpDevice(): void {
  const tv = isTelevision(navigator.userAgent, location.search, sessionStorage.getItem("matinee.tv"));
  sessionStorage.setItem("matinee.tv", tv ? "1" : "0");
  document.documentElement.toggleAttribute("data-tv", tv);
}
