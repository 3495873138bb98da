/* Requests the data of the first page while the client itself is being loaded. `api/early.ts` takes the answers. */
(() => {
  const api = "/api/v1";
  if (!localStorage.getItem("matinee.signed-in")) {
    const options = fetch(`${api}/auth/options`, { headers: { Accept: "application/json" } });
    options.catch(() => undefined);
    window.__matineeEarly = { [`GET ${api}/auth/options`]: options };
    return;
  }
  const json = { Accept: "application/json", "Content-Type": "application/json" };
  const send = () => fetch(`${api}/auth/refresh`, { method: "POST", headers: json, body: "{}", credentials: "same-origin" });
  // The lock of the client: two tabs must not use one refresh token. If it is not free there is no early request: the
  // client, which takes the answer while it has the lock, would wait for a request that waits for the lock.
  const request = (lock) => (lock ? send() : null);
  const refresh = navigator.locks ? navigator.locks.request("matinee-refresh", { ifAvailable: true }, request) : send();
  const session = refresh.then((answer) => (answer?.ok ? answer.clone().json() : null));
  const get = (path) =>
    session.then((known) => (known?.profile_id ? fetch(api + path, { headers: { Accept: json.Accept, Authorization: `Bearer ${known.access_token}` } }) : null));
  const early = { [`POST ${api}/auth/refresh`]: refresh, [`GET ${api}/profiles`]: get("/profiles") };
  if (location.pathname === "/") early[`GET ${api}/home`] = get("/home");
  for (const answer of Object.values(early)) answer.catch(() => undefined);
  window.__matineeEarly = early;
})();
