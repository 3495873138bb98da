/** Which page is shown to whom. */
import { lazy, type ReactNode, Suspense, useEffect, useRef, useState } from "react";
import HomePage from "../features/home";
import ProfilesPage from "../features/profiles";
import SignInPage from "../features/sign-in";
import TitlePage from "../features/title";
import { useText } from "../i18n";
import { go, Link, match, paths, useLocation } from "../router";
import { loadProfiles, restore, useViewer } from "../session";
import { PreviewHost } from "../ui/Preview";
import { Header } from "./Header";
import { playerPage, warmPlayer } from "./warm";

const OperatorPage = lazy(() => import("../features/operator"));
const GenrePage = lazy(() => import("../features/genre"));
const HistoryPage = lazy(() => import("../features/history"));
const AccountPage = lazy(() => import("../features/account"));

export function App() {
  const viewer = useViewer();
  const { t } = useText();
  useEffect(() => void restore(), []);
  useEffect(() => {
    if (viewer.state === "signed-in" && !viewer.profiles) loadProfiles().catch(() => undefined);
  }, [viewer.state, viewer.profiles]);

  if (viewer.state === "restoring") return <div className="curtain-wait" aria-busy="true" aria-label={t("app.loading")} />;
  if (viewer.state === "unreachable") return <Unreachable />;
  if (viewer.state === "signed-out") return <Door />;
  return <House chosen={viewer.session?.profile_id != null} />;
}

function Door() {
  const { path } = useLocation();
  return <SignInPage opening={path === paths.signUp} />;
}

function Unreachable() {
  const { t } = useText();
  return (
    <main className="problem-page">
      <h1>{t("app.unreachable")}</h1>
      <p>{t("app.unreachableHint")}</p>
      <button type="button" className="button primary" onClick={() => void restore()}>{t("app.retry")}</button>
    </main>
  );
}

/** Where somebody wanted to go before they had to sign in or choose a profile. */
const ENTRANCES: readonly string[] = [paths.signIn, paths.signUp];

function House({ chosen }: { chosen: boolean }) {
  const { path, search, under } = useLocation();
  const entrance = ENTRANCES.includes(path);
  const choosing = path.startsWith(paths.profiles);
  useEffect(() => {
    if (entrance) go(chosen ? paths.home : paths.profiles, { replace: true });
  }, [entrance, chosen]);
  useEffect(() => (chosen ? warmPlayer() : undefined), [chosen]);
  if (entrance) return null;
  if (path.startsWith(paths.operator)) return <Suspense><OperatorPage path={path} /></Suspense>;
  if (choosing || !chosen) return <ProfilesPage managing={path === paths.manage} />;
  const watching = match("/watch/:id", path);
  if (watching) return <Watch key={path + search} titleId={watching.id ?? ""} search={search} />;
  return <Pages path={path} under={under} />;
}

function Watch({ titleId, search }: { titleId: string; search: string }) {
  const asked = new URLSearchParams(search);
  // Chosen once: another component in its place would be another player.
  const [PlayerPage] = useState(() => playerPage());
  return (
    <Suspense fallback={<div className="player-wait" />}>
      <PlayerPage titleId={titleId} episodeId={asked.get("episode")} fromStart={asked.get("from") === "start"} />
    </Suspense>
  );
}

/** The pages under the header, with a title's page laid over the one it was opened from. */
function Pages({ path, under }: { path: string; under: string | null }) {
  const { t } = useText();
  const overlay = match("/title/:id", path);
  const below = useRef<HTMLDivElement>(null);
  const base = overlay ? ((under ?? paths.home).split("?")[0] ?? paths.home) : path;
  useEffect(() => {
    if (below.current) below.current.inert = overlay !== null;
  }, [overlay]);
  return (
    <>
      <div ref={below} data-focus="column">
        <a className="skip" href="#main" tabIndex={overlay ? -1 : 0} data-focus-skip>{t("app.skip")}</a>
        <Header />
        <PreviewHost />
        <Suspense><Scrolled key={base}>{page(base)}</Scrolled></Suspense>
      </div>
      {overlay && <TitlePage titleId={overlay.id ?? ""} />}
    </>
  );
}

function page(path: string): ReactNode {
  const genre = match("/genre/:id", path);
  if (path === paths.home) return <HomePage />;
  if (genre) return <GenrePage genreId={genre.id ?? ""} />;
  if (path === paths.history) return <HistoryPage />;
  if (path === paths.account) return <AccountPage />;
  return <NotFound />;
}

/** A new page begins at its top; a page one comes back to lies where it was. */
const tops = new Map<string, number>();

function Scrolled({ children }: { children: ReactNode }) {
  const { path } = useLocation();
  const key = useRef(path);
  useEffect(() => {
    const own = key.current;
    scrollTo({ top: tops.get(own) ?? 0, behavior: "instant" });
    const note = () => void tops.set(own, scrollY);
    addEventListener("scroll", note, { passive: true });
    return () => removeEventListener("scroll", note);
  }, []);
  return children;
}

function NotFound() {
  const { t } = useText();
  return (
    <main id="main" className="problem-page">
      <h1>{t("app.notFound")}</h1>
      <Link to={paths.home} className="button primary">{t("app.toHome")}</Link>
    </main>
  );
}
