import { useEffect, useRef, useState } from "react";
import { api } from "../api";
import { useBack } from "../focus";
import { useText } from "../i18n";
import { go, Link, paths, useLocation } from "../router";
import { useViewer } from "../session";
import { Avatar } from "../ui/Avatar";
import { Icon, Logo } from "../ui/icons";
import "./header.css";

export function Header() {
  const { t } = useText();
  const { path } = useLocation();
  const { profile } = useViewer();
  const [scrolled, setScrolled] = useState(false);
  useEffect(() => {
    const onScroll = () => setScrolled(scrollY > 24);
    onScroll();
    addEventListener("scroll", onScroll, { passive: true });
    return () => removeEventListener("scroll", onScroll);
  }, []);
  const getCurrent = (to: string) => (path === to ? "page" : undefined);
  return (
    <header className={`header ${scrolled ? "scrolled" : ""}`} data-focus="row">
      <Link to={paths.home} className="header-logo" aria-label={`Matinee: ${t("nav.home")}`}><Logo /></Link>
      <nav aria-label={t("nav.main")}>
        <Link to={paths.home} aria-current={getCurrent(paths.home)}>{t("nav.home")}</Link>
        <Link to={paths.history} aria-current={getCurrent(paths.history)}>{t("nav.history")}</Link>
        <Link className="header-search" to={paths.search()} aria-current={getCurrent(paths.search())} aria-keyshortcuts="/" data-testid="nav-search"><Icon name="search" size="1.2em" /><span>{t("nav.search")}</span></Link>
      </nav>
      {profile?.kids && <span className="header-kids">{t("profiles.kids")}</span>}
      <ProfileMenu />
    </header>
  );
}

function ProfileMenu() {
  const { t } = useText();
  const { profile, session } = useViewer();
  const { path } = useLocation();
  const [open, setOpen] = useState(false);
  const frame = useRef<HTMLDivElement>(null);
  useBack(() => setOpen(false), open);
  useEffect(() => setOpen(false), [path]);
  useEffect(() => {
    if (!open) return;
    const onPointerDown = (event: Event) => !frame.current?.contains(event.target as Node) && setOpen(false);
    addEventListener("pointerdown", onPointerDown);
    return () => removeEventListener("pointerdown", onPointerDown);
  }, [open]);
  return (
    <div className="menu" ref={frame} data-focus="column">
      <button type="button" className="menu-button" aria-expanded={open} aria-label={t("nav.menu", { name: profile?.name ?? "" })} data-testid="profile-menu" onClick={() => setOpen(!open)}>
        <Avatar name={profile?.avatar ?? "ember"} size="2.25rem" />
        <Icon name="down" size="1rem" />
      </button>
      {open && (
        <div className="menu-list" data-focus="column">
          <Link to={paths.profiles} data-testid="menu-profiles">{t("nav.profiles")}</Link>
          {session?.is_adult && <Link to={paths.account} data-testid="menu-account">{t("nav.account")}</Link>}
          {session?.roles.includes("operator") && <Link to={paths.operator} data-testid="menu-operator">{t("nav.operator")}</Link>}
          <button type="button" data-testid="sign-out" onClick={() => void api.signOut().then(() => go(paths.home, { replace: true }))}>{t("nav.signOut")}</button>
        </div>
      )}
    </div>
  );
}
