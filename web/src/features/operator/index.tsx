/** The operator console. */
import { type ReactNode, useEffect, useLayoutEffect, useRef } from "react";
import { useText, type Key } from "../../i18n";
import { Link, paths, useScroll } from "../../router";
import { useViewer } from "../../session";
import { LinkButton } from "../../ui/Button";
import { Icon, Logo } from "../../ui/icons";
import { useTitle } from "../../ui/title";
import { AccountsView } from "./AccountsView";
import { AccountView } from "./AccountView";
import { AuditView } from "./AuditView";
import { EdgesView } from "./EdgesView";
import { JobsView } from "./JobsView";
import { NowView } from "./NowView";
import { SearchesView } from "./SearchesView";
import { ServicesView } from "./ServicesView";
import { TitlesView } from "./TitlesView";
import { UploadView } from "./UploadView";
import "./operator.css";
import "./table.css";

const VIEWS: { slug: string; name: Key; view: () => ReactNode; item?: (id: string) => ReactNode }[] = [
  { slug: "", name: "operator.overview", view: () => <NowView /> },
  { slug: "upload", name: "operator.upload", view: () => <UploadView /> },
  { slug: "jobs", name: "operator.jobs", view: () => <JobsView /> },
  { slug: "titles", name: "operator.titles", view: () => <TitlesView /> },
  { slug: "searches", name: "operator.searches", view: () => <SearchesView /> },
  { slug: "accounts", name: "operator.accounts", view: () => <AccountsView />, item: (id) => <AccountView key={id} accountId={id} /> },
  { slug: "audit", name: "operator.audit", view: () => <AuditView /> },
  { slug: "services", name: "operator.services", view: () => <ServicesView /> },
  { slug: "edges", name: "operator.edges", view: () => <EdgesView /> },
];

export default function OperatorPage({ path }: { path: string }) {
  const { t } = useText();
  const { session } = useViewer();
  const [slug = "", id, ...more] = path.slice(paths.operator.length).replace(/^\/|\/$/g, "").split("/");
  const current = VIEWS.find((view) => view.slug === slug);
  const content = id === undefined ? current?.view() : !more.length && current?.item?.(id);
  const views = useCurrentInView(slug);
  useLightTheme();
  useScroll(path);
  useTitle(t(current ? current.name : "operator.title"));
  const allowed = session?.roles.includes("operator");
  return (
    <div className="operator" data-theme="light" data-focus="row">
      <nav className="operator-nav" aria-label={t("operator.nav")} data-focus="column">
        <Link to={paths.operator} className="operator-logo"><Logo height="1.5rem" /><span>{t("operator.title")}</span></Link>
        <ul ref={views}>
          {VIEWS.map((view) => (
            <li key={view.slug}><Link to={view.slug ? `${paths.operator}/${view.slug}` : paths.operator} aria-current={view === current ? "page" : undefined} data-testid={`operator-${view.slug || "now"}`}>{t(view.name)}</Link></li>
          ))}
        </ul>
        <Link to={paths.home} className="operator-leave"><Icon name="back" size="1.1em" />{t("operator.leave")}</Link>
      </nav>
      <main id="main" className="operator-main" data-focus="column">
        {(allowed && content) || <DeadEnd message={t(allowed ? "app.notFound" : "operator.forbidden")} />}
      </main>
    </div>
  );
}

/** Use the light theme for the whole document, so that dialogs have it too. */
function useLightTheme(): void {
  useLayoutEffect(() => {
    document.documentElement.dataset.theme = "light";
    return () => void delete document.documentElement.dataset.theme;
  }, []);
}

/** Scroll the list of views, which is a line on phones, so that the current one is in view. */
function useCurrentInView(slug: string) {
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    const current = list.current?.querySelector<HTMLElement>("[aria-current]");
    if (list.current && current) list.current.scrollLeft = current.offsetLeft - (list.current.clientWidth - current.offsetWidth) / 2;
  }, [slug]);
  return list;
}

function DeadEnd({ message }: { message: string }) {
  const { t } = useText();
  return (
    <div className="operator-empty">
      <p>{message}</p>
      <LinkButton to={paths.home} variant="primary" data-testid="to-home">{t("app.toHome")}</LinkButton>
    </div>
  );
}
