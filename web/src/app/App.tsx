/** The root component: chooses the page by sign-in, profile and address. */
import { lazy, type ReactNode, useEffect, useLayoutEffect, useRef, useState } from "react";
import HomePage from "../features/home";
import SignInPage from "../features/sign-in";
import type { Session } from "../api";
import { removeEarlyPaint } from "../api/early";
import { useText } from "../i18n";
import { addNext, go, Link, match, paths, readNext, useLocation, useScroll } from "../router";
import { ensureProfiles, restoreSession, useViewer } from "../session";
import { PreviewHost } from "../ui/Preview";
import { useTitle } from "../ui/title";
import { useChildTheme } from "./childTheme";
import { Header } from "./Header";
import { PageBoundary } from "./PageBoundary";
import { preloadPages, profilesPage, searchPage, titlePage } from "./pages";
import { getPlayerPage, playPreview, preloadPlayer } from "./playerPage";
import { ProofHost } from "./ProofDialog";
import { useSearchKey } from "./searchKey";

const OperatorPage = lazy(() => import("../features/operator"));
const GenrePage = lazy(() => import("../features/genre"));
const BrowsePage = lazy(() => import("../features/browse"));
const HistoryPage = lazy(() => import("../features/history"));
const AccountPage = lazy(() => import("../features/account"));

export function App() {
  const viewer = useViewer();
  const { t } = useText();
  useEffect(() => void restoreSession(), []);
  useEffect(() => {
    if (viewer.state === "signed-in") ensureProfiles().catch(() => undefined);
  }, [viewer.state, viewer.profiles]);
  useChildTheme();
  useEarlyPaint();

  if (viewer.state === "restoring") return <div className="app-loading" aria-busy="true" aria-label={t("app.loading")} />;
  if (viewer.state === "unreachable") return <Unreachable />;
  if (viewer.state === "signed-out") return <SignIn />;
  return (
    <>
      <SignedIn session={viewer.session} />
      <ProofHost />
    </>
  );
}

/** Remove the early billboard if something else than the home page is shown. */
function useEarlyPaint(): void {
  const { state, session } = useViewer();
  const { path, under } = useLocation();
  const isHome = (under ?? path) === paths.home && (state === "restoring" || (state === "signed-in" && session?.profile_id != null));
  useLayoutEffect(() => {
    if (!isHome) removeEarlyPaint();
  }, [isHome]);
}

function SignIn() {
  const { path, search } = useLocation();
  useEffect(() => profilesPage.preload(), []);
  // The page that was asked for is shown after the sign-in.
  const next = SIGN_IN_PATHS.includes(path) ? (readNext(search) ?? paths.home) : path + search;
  return <SignInPage isSignUp={path === paths.signUp} other={addNext(path === paths.signUp ? paths.signIn : paths.signUp, next)} />;
}

function Unreachable() {
  const { t } = useText();
  useTitle(t("app.unreachable"));
  return (
    <main className="problem-page">
      <h1>{t("app.unreachable")}</h1>
      <p>{t("app.unreachableHint")}</p>
      <button type="button" className="button primary" onClick={() => void restoreSession()}>{t("app.retry")}</button>
    </main>
  );
}

const SIGN_IN_PATHS: readonly string[] = [paths.signIn, paths.signUp];

function SignedIn({ session }: { session: Session | null }) {
  const { path, search, under } = useLocation();
  const hasProfile = session?.profile_id != null;
  const isOperator = session?.roles?.includes("operator") ?? false;
  const isSignIn = SIGN_IN_PATHS.includes(path);
  const isProfiles = path.startsWith(paths.profiles);
  useEffect(() => {
    if (isSignIn) go(readNext(search) ?? (hasProfile ? paths.home : paths.profiles), { replace: true });
  }, [isSignIn, hasProfile, search]);
  useEffect(() => (hasProfile ? preloadPlayer() : undefined), [hasProfile]);
  useEffect(() => (hasProfile ? preloadPages() : undefined), [hasProfile]);
  if (isSignIn) return null;
  if (path.startsWith(paths.operator) && isOperator) return <PageBoundary><OperatorPage path={path} /></PageBoundary>;
  if (isProfiles || !hasProfile) return <Profiles managing={path === paths.manage} />;
  const watching = match("/watch/:id", path);
  if (watching) return <Player key={path + search} titleId={watching.id ?? ""} search={search} />;
  return <Pages path={path} search={search} under={under} isAdult={session?.is_adult ?? false} />;
}

function Player({ titleId, search }: { titleId: string; search: string }) {
  const query = new URLSearchParams(search);
  // Chosen once, because another component would restart the player.
  const [PlayerPage] = useState(() => getPlayerPage());
  return (
    <PageBoundary fallback={<div className="player-loading" />}>
      <PlayerPage titleId={titleId} episodeId={query.get("episode")} fromStart={query.get("from") === "start"} />
    </PageBoundary>
  );
}

function Profiles({ managing }: { managing: boolean }) {
  const [ProfilesPage] = useState(() => profilesPage.get());
  return <PageBoundary fallback={<div className="app-loading" />}><ProfilesPage managing={managing} /></PageBoundary>;
}

function Title({ titleId }: { titleId: string }) {
  const [TitlePage] = useState(() => titlePage.get());
  return <PageBoundary><TitlePage titleId={titleId} /></PageBoundary>;
}

function Search({ query }: { query: string }) {
  const [SearchPage] = useState(() => searchPage.get());
  return <SearchPage query={query} />;
}

/** The pages with a header, and the title page as an overlay. */
function Pages({ path, search, under, isAdult }: { path: string; search: string; under: string | null; isAdult: boolean }) {
  const { t } = useText();
  const overlay = match("/title/:id", path);
  const below = useRef<HTMLDivElement>(null);
  const [base = paths.home, query = ""] = (overlay ? (under ?? paths.home) : path + search).split("?");
  useSearchKey();
  useEffect(() => {
    if (below.current) below.current.inert = overlay !== null;
  }, [overlay]);
  return (
    <>
      <div ref={below} data-focus="column">
        <a className="skip" href="#main" tabIndex={overlay ? -1 : 0} data-focus-skip>{t("app.skip")}</a>
        <Header />
        <PreviewHost onPlay={playPreview} />
        <PageBoundary key={base}><ScrollRestorer>{renderPage(base, query, isAdult)}</ScrollRestorer></PageBoundary>
      </div>
      {overlay && <Title titleId={overlay.id ?? ""} />}
    </>
  );
}

function renderPage(path: string, query: string, isAdult: boolean): ReactNode {
  const genre = match("/genre/:id", path);
  const browse = match("/browse/:initial", path);
  if (path === paths.home) return <HomePage />;
  if (genre) return <GenrePage genreId={genre.id ?? ""} />;
  if ([...(browse?.initial ?? "")].length === 1) return <BrowsePage initial={browse?.initial ?? ""} />;
  if (path === paths.search()) return <Search query={new URLSearchParams(query).get("q") ?? ""} />;
  if (path === paths.history) return <HistoryPage />;
  if (path === paths.account && isAdult) return <AccountPage />;
  return <NotFound />;
}

/** Restores the scroll position of the page that was shown when it mounted. */
function ScrollRestorer({ children }: { children: ReactNode }) {
  const { path } = useLocation();
  const [mounted] = useState(path);
  useScroll(mounted);
  return children;
}

function NotFound() {
  const { t } = useText();
  useTitle(t("app.notFound"));
  return (
    <main id="main" className="problem-page">
      <h1>{t("app.notFound")}</h1>
      <Link to={paths.home} className="button primary">{t("app.toHome")}</Link>
    </main>
  );
}
