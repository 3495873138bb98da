/*
 * Requests the data of the first page while the client itself is being loaded, and paints the billboard of the home
 * page as soon as its data is there. `api/early.ts` takes the answers and removes what was painted.
 */
(() => {
  const api = "/api/v1";
  const accept = { Accept: "application/json" };
  const early = (window.__matineeEarly = {});
  const keep = (key, answer) => {
    answer.catch(() => undefined);
    early[key] = answer;
    return answer;
  };
  if (!localStorage.getItem("matinee.signed-in")) {
    keep(`GET ${api}/auth/options`, fetch(`${api}/auth/options`, { headers: accept }));
    return;
  }
  const json = { ...accept, "Content-Type": "application/json" };
  const send = () => fetch(`${api}/auth/refresh`, { method: "POST", headers: json, body: "{}", credentials: "same-origin" });
  // The lock of the client: two tabs must not use one refresh token. If it is not free there is no early request: the
  // client, which takes the answer while it has the lock, would wait for a request that waits for the lock.
  const request = (lock) => (lock ? send() : null);
  const refresh = keep(`POST ${api}/auth/refresh`, navigator.locks ? navigator.locks.request("matinee-refresh", { ifAvailable: true }, request) : send());
  const session = refresh.then((answer) => (answer?.ok ? answer.clone().json() : null));
  const get = (path) =>
    keep(
      `GET ${api}${path}`,
      session.then((known) => (known?.profile_id ? fetch(api + path, { headers: { ...accept, Authorization: `Bearer ${known.access_token}` } }) : null)),
    );
  const isHome = location.pathname === "/";
  const home = isHome ? get("/home") : null;
  get("/profiles");

  // A television has another layout, which the client sets up; the colours of a child's profile are set up here.
  const isTv = sessionStorage.getItem("matinee.tv") === "1" || /[?&]tv\b/.test(location.search) || /TV|Tizen|Web[0O]S|NetCast|BRAVIA|AFT|CrKey|Roku|VIDAA|Xbox|PlayStation/i.test(navigator.userAgent);
  if (isHome && localStorage.getItem("matinee.kids") === "1") document.documentElement.dataset.profile = "kids";

  const create = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });

  function paint({ billboard }) {
    if (!billboard || early.isOver) return;
    const { card, synopsis } = billboard;
    const picture = card.pictures.backdrop ?? card.pictures.card;
    const root = Object.assign(create("div", "home"), { id: "early", ariaHidden: "true" });
    const [section, art, text] = [create("section", "billboard"), create("div", "billboard-art"), create("div", "billboard-text")];
    if (picture) art.append(Object.assign(create("img", "art shown"), { fetchPriority: "high", decoding: "async", alt: "", src: picture.url }));
    // What needs the texts of the client has its place only.
    const [facts, actions] = [create("p", "billboard-facts", "–"), create("div", "billboard-actions")];
    actions.append(create("span", "button large", "–"));
    facts.style.visibility = actions.style.visibility = "hidden";
    text.append(create("h2", "billboard-name", card.name), facts, create("p", "billboard-synopsis", card.tagline || synopsis), actions);
    section.append(art, text);
    root.append(section);
    document.body.prepend(root);
    return art.firstChild ? Promise.race([art.firstChild.decode().catch(() => undefined), wait(PICTURE_MS)]) : undefined;
  }

  /** The client waits no longer than this for the picture of the billboard. */
  const PICTURE_MS = 300;
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const nextFrame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  if (home && !isTv) {
    window.__matineePainted = home
      .then((answer) => (answer?.ok ? answer.clone().json().then(paint).then(nextFrame) : null))
      .catch(() => undefined);
  }
})();
