import { type FormEvent, useState } from "react";
import { api, getFaults, type NewProfile, type ProfileView } from "../../api";
import { clearScreens } from "../../api/screens";
import { LANGUAGES, chooseLanguage, useText } from "../../i18n";
import { loadProfiles } from "../../session";
import { Avatar, AVATARS } from "../../ui/Avatar";
import { Button } from "../../ui/Button";
import { Confirm, Dialog } from "../../ui/Dialog";
import { Choice, Field, ProblemNote, Switch } from "../../ui/Field";
import { useFailureFocus } from "../../ui/form";
import { isPin, MAX_PIN_LENGTH } from "./pin";

const AGES = [0, 6, 12, 16, 18];
const KIDS_AGE = 6;

type Draft = Required<NewProfile>;

function createDraft(profile: ProfileView | null, language: string): Draft {
  if (!profile) return { name: "", avatar: AVATARS[Math.floor(Math.random() * AVATARS.length)] ?? "ember", language, maturity: 18, kids: false, pin: null };
  const { name, avatar, maturity, kids } = profile;
  return { name, avatar, language: chooseLanguage(profile.language), maturity, kids, pin: null };
}

interface ProfileFormProps {
  profile: ProfileView | null;
  only: boolean;
  onClose: () => void;
}

export function ProfileForm({ profile, only, onClose }: ProfileFormProps) {
  const text = useText();
  const { t } = text;
  const [form, setForm] = useState(() => createDraft(profile, text.language));
  const [problem, setProblem] = useState<unknown>(null);
  const [faults, setFaults] = useState<{ name?: string; pin?: string }>({});
  const [busy, setBusy] = useState(false);
  const [confirming, setConfirming] = useState(false);
  const [formRef, onFailure] = useFailureFocus();
  const change = (part: Partial<Draft>) => setForm({ ...form, ...part });

  async function run(task: () => Promise<unknown>) {
    setBusy(true);
    setProblem(null);
    try {
      await task();
      clearScreens();
      await loadProfiles();
      onClose();
    } catch (error) {
      setProblem(error);
      setBusy(false);
      setConfirming(false);
      onFailure();
    }
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    const found = { name: form.name.trim() ? undefined : t("check.name"), pin: !form.pin || isPin(form.pin) ? undefined : t("profiles.pinCheck") };
    setFaults(found);
    if (found.name || found.pin) return onFailure();
    const body = { ...form, name: form.name.trim() };
    void run(() => (profile ? api.changeProfile(profile.profile_id, body) : api.addProfile(body)));
  }

  const serverFaults = getFaults(problem);
  if (confirming && profile) {
    return <Confirm title={t("profiles.deleteAsk", { name: profile.name })} action={t("app.delete")} busy={busy} onClose={() => setConfirming(false)} onConfirm={() => void run(() => api.removeProfile(profile.profile_id))} />;
  }
  return (
    <Dialog title={t(profile ? "profiles.editTitle" : "profiles.newTitle")} onClose={onClose}>
      <form ref={formRef} onSubmit={submit} className="profile-form" noValidate>
        <ProblemNote problem={problem} />
        <Field label={t("profiles.name")} value={form.name} maxLength={40} error={faults.name ?? serverFaults.name} data-focus-first data-testid="profile-name" onChange={(event) => change({ name: event.target.value })} />
        <AvatarChoice value={form.avatar} onChange={(avatar) => change({ avatar })} />
        <Choice label={t("profiles.language")} value={form.language} options={LANGUAGES.map((value) => ({ value: value as string, label: new Intl.DisplayNames(value, { type: "language" }).of(value) ?? value }))} onChange={(language) => change({ language })} />
        <Switch label={t("profiles.kidsLabel")} hint={t("profiles.kidsHint")} on={form.kids} onChange={(kids) => change({ kids, maturity: kids ? Math.min(form.maturity, KIDS_AGE) : form.maturity })} />
        <Choice label={t("profiles.maturity")} value={form.maturity} options={AGES.filter((age) => !form.kids || age <= 12).map((value) => ({ value, label: value ? t("profiles.maturityAge", { age: value }) : t("profiles.maturityAll") }))} onChange={(maturity) => change({ maturity })} />
        <PinField profile={profile} pin={form.pin} error={faults.pin ?? serverFaults.pin} onChange={(pin) => change({ pin })} />
        <div className="dialog-actions" data-focus="row">
          {profile && !only && <Button variant="danger" icon="trash" className="push" onClick={() => setConfirming(true)}>{t("app.delete")}</Button>}
          <Button variant="quiet" onClick={onClose}>{t("app.cancel")}</Button>
          <Button type="submit" variant="primary" busy={busy} data-testid="profile-save">{t("app.save")}</Button>
        </div>
      </form>
    </Dialog>
  );
}

interface PinFieldProps {
  profile: ProfileView | null;
  pin: string | null;
  error?: string;
  onChange: (pin: string | null) => void;
}

/** The PIN field: `null` keeps the PIN, an empty text removes it. */
function PinField({ profile, pin, error, onChange }: PinFieldProps) {
  const { t } = useText();
  const hasPin = profile?.has_pin ?? false;
  const removing = hasPin && pin === "";
  return (
    <>
      <Field type="password" revealLabels={{ show: t("profiles.pinShow"), hide: t("profiles.pinHide") }} label={t("profiles.pin")} hint={t(hasPin ? "profiles.pinKeep" : "profiles.pinHint")} inputMode="numeric" autoComplete="off" maxLength={MAX_PIN_LENGTH} disabled={removing} value={pin ?? ""} error={error} data-testid="profile-pin" onChange={(event) => onChange(event.target.value.replace(/\D/g, "") || null)} />
      {hasPin && <Switch label={t("profiles.pinRemove")} on={removing} onChange={(on) => onChange(on ? "" : null)} />}
    </>
  );
}

function AvatarChoice({ value, onChange }: { value: string; onChange: (avatar: string) => void }) {
  const text = useText();
  const { t } = text;
  return (
    <fieldset className="field">
      <legend>{t("profiles.avatar")}</legend>
      <div className="avatar-choices" role="radiogroup" aria-label={t("profiles.avatar")} data-focus="grid">
        {AVATARS.map((avatar) => (
          <button key={avatar} type="button" role="radio" aria-checked={avatar === value} aria-label={text.find(`avatar.${avatar}`) ?? avatar} onClick={() => onChange(avatar)}><Avatar name={avatar} /></button>
        ))}
      </div>
    </fieldset>
  );
}
