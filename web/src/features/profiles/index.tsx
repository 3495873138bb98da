/** The profiles page: choose and manage profiles. */
import { useEffect, useState } from "react";
import { api, Problem, type ProfileView } from "../../api";
import { useInitialFocus, useBack } from "../../focus";
import { useText } from "../../i18n";
import { back, go, paths } from "../../router";
import { ensureProfiles, useViewer } from "../../session";
import { Avatar } from "../../ui/Avatar";
import { Button } from "../../ui/Button";
import { ProblemNote, ProblemPage } from "../../ui/Field";
import { Icon, Logo } from "../../ui/icons";
import { useTitle } from "../../ui/title";
import { PinPad } from "./PinPad";
import { ProfileForm } from "./ProfileForm";
import "./profiles.css";

export default function ProfilesPage({ managing }: { managing: boolean }) {
  const { t } = useText();
  useTitle(t(managing ? "profiles.manageTitle" : "profiles.title"));
  const viewer = useViewer();
  const [problem, setProblem] = useState<unknown>(null);
  const [locked, setLocked] = useState<ProfileView | null>(null);
  const [edited, setEdited] = useState<ProfileView | "new" | null>(null);
  const [opening, setOpening] = useState<string | null>(null);
  const profiles = viewer.profiles;
  useBack(() => (managing ? go(paths.profiles, { replace: true }) : back()), managing || viewer.profile !== null);
  useInitialFocus(profiles !== null);

  const load = () => {
    setProblem(null);
    ensureProfiles().catch(setProblem);
  };
  useEffect(() => void ensureProfiles().catch(setProblem), [profiles]);

  async function open(profile: ProfileView, pin?: string) {
    setOpening(profile.profile_id);
    setProblem(null);
    try {
      await api.chooseProfile(profile.profile_id, pin);
      // A page that was asked for before the sign-in is shown now.
      if (location.pathname.startsWith(paths.profiles)) go(paths.home, { replace: true });
    } catch (error) {
      // The list may be outdated: the profile may have a PIN by now.
      if (error instanceof Problem && error.kind === "wrong-pin" && pin === undefined) setLocked(profile);
      else if (pin !== undefined) throw error;
      else setProblem(error);
    } finally {
      setOpening(null);
    }
  }

  function onPress(profile: ProfileView) {
    if (managing) setEdited(profile);
    else if (profile.has_pin) setLocked(profile);
    else void open(profile);
  }

  if (!profiles && problem) return <ProblemPage problem={problem} onRetry={load} />;
  return (
    <main className={`profiles ${managing ? "managing" : ""}`} id="main" data-focus="column">
      <header className="profiles-header"><Logo /></header>
      <h1>{t(managing ? "profiles.manageTitle" : "profiles.title")}</h1>
      <ProblemNote problem={problem} />
      <ul className="profiles-list" data-focus="grid" aria-busy={profiles === null}>
        {(profiles ?? []).map((profile, index) => (
          <li key={profile.profile_id} style={{ animationDelay: `${index * 45}ms` }}>
            <ProfileButton profile={profile} managing={managing} busy={opening === profile.profile_id} first={index === 0} onPress={() => onPress(profile)} />
          </li>
        ))}
        {profiles && (managing || profiles.length < 5) && (
          <li style={{ animationDelay: `${profiles.length * 45}ms` }}>
            <button type="button" className="profile-card" data-testid="profile-add" data-focus-id="profiles:add" onClick={() => setEdited("new")}>
              <span className="profile-picture profile-add"><Icon name="plus" size="2.5rem" /></span>
              <span className="profile-name">{t("profiles.add")}</span>
            </button>
          </li>
        )}
      </ul>
      {profiles && <Button variant="quiet" icon={managing ? "check" : "edit"} data-testid="profiles-manage" onClick={() => go(managing ? paths.profiles : paths.manage, { replace: managing })}>{t(managing ? "app.done" : "profiles.manage")}</Button>}
      {locked && <PinPad profile={locked} onClose={() => setLocked(null)} onEnter={(pin) => open(locked, pin)} />}
      {edited && <ProfileForm profile={edited === "new" ? null : edited} only={profiles?.length === 1} onClose={() => setEdited(null)} />}
    </main>
  );
}

interface ProfileButtonProps {
  profile: ProfileView;
  managing: boolean;
  busy: boolean;
  first: boolean;
  onPress: () => void;
}

function ProfileButton({ profile, managing, busy, first, onPress }: ProfileButtonProps) {
  const { t } = useText();
  return (
    <button
      type="button"
      className={`profile-card ${profile.kids ? "kids" : ""}`}
      aria-busy={busy}
      aria-label={managing ? t("profiles.edit", { name: profile.name }) : undefined}
      data-testid="profile-card"
      data-profile-id={profile.profile_id}
      data-focus-id={`profiles:${profile.profile_id}`}
      data-focus-first={first ? "" : undefined}
      onClick={onPress}
    >
      <span className="profile-picture">
        <Avatar name={profile.avatar} />
        {profile.kids && <span className="profile-kids">{t("profiles.kids")}</span>}
        {managing && <span className="profile-edit"><Icon name="edit" size="2.25rem" /></span>}
      </span>
      <span className="profile-name">
        {profile.name}
        {profile.has_pin && <span className="profile-lock" role="img" aria-label={t("profiles.locked")}><Icon name="lock" size="1em" /></span>}
      </span>
    </button>
  );
}
