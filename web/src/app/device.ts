/** Whether this is a television: its user agent says so, or `?tv` asks for it (`?tv=0` takes it back). */
const TVS = /\b(SmartTV|SMART-TV|Smart TV|Tizen|Web0S|webOS|NetCast|HbbTV|BRAVIA|AFT[A-Z]|GoogleTV|Android TV|CrKey|Roku|VIDAA|AppleTV|Xbox|PlayStation)\b/i;

export function isTelevision(agent: string, search: string, remembered: string | null): boolean {
  const asked = new URLSearchParams(search).get("tv");
  if (asked !== null) return asked !== "0";
  return remembered === "1" || TVS.test(agent);
}

export function setUpDevice(): void {
  const tv = isTelevision(navigator.userAgent, location.search, sessionStorage.getItem("matinee.tv"));
  sessionStorage.setItem("matinee.tv", tv ? "1" : "0");
  document.documentElement.toggleAttribute("data-tv", tv);
}
