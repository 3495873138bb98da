/** The account page: profiles, devices, and sign-out everywhere. */
import { useState } from "react";
import { api, type DeviceView } from "../../api";
import { invalidateScreens, useScreen } from "../../api/screens";
import { useInitialFocus, useBack } from "../../focus";
import { useText } from "../../i18n";
import { back, go, paths } from "../../router";
import { useViewer } from "../../session";
import { Avatar } from "../../ui/Avatar";
import { Button, LinkButton } from "../../ui/Button";
import { Confirm } from "../../ui/Dialog";
import { ProblemNote } from "../../ui/Field";
import { useTitle } from "../../ui/title";
import { PasswordPanel } from "./PasswordPanel";

export default function AccountPage() {
  const { t } = useText();
  useTitle(t("account.title"));
  const { profiles } = useViewer();
  const { data: devices, error, reload } = useScreen("devices", api.listDevices);
  const [problem, setProblem] = useState<unknown>(null);
  const [confirming, setConfirming] = useState(false);
  const [busy, setBusy] = useState(false);
  useBack(() => back());
  useInitialFocus(devices !== undefined);

  async function remove(device: DeviceView) {
    try {
      await api.removeDevice(device.device_id);
      invalidateScreens("devices");
    } catch (failure) {
      setProblem(failure);
    }
  }
  async function signOutEverywhere() {
    setBusy(true);
    try {
      await api.signOutEverywhere();
      go(paths.home, { replace: true });
    } catch (failure) {
      setProblem(failure);
      setBusy(false);
      setConfirming(false);
    }
  }

  return (
    <main id="main" className="page narrow" data-focus="column">
      <h1>{t("account.title")}</h1>
      <ProblemNote problem={problem ?? error} onRetry={error ? reload : undefined} />
      <section className="panel">
        <h2>{t("account.profiles")}</h2>
        <ul className="account-profiles">
          {profiles?.map((profile) => <li key={profile.profile_id}><Avatar name={profile.avatar} size="3.5rem" /><span>{profile.name}</span></li>)}
        </ul>
        <LinkButton to={paths.manage} icon="edit">{t("profiles.manage")}</LinkButton>
      </section>
      <section className="panel">
        <h2>{t("account.devices")}</h2>
        <p className="page-lead">{t("account.devicesLead")}</p>
        <ul className="devices" data-focus="column">{devices?.map((device) => <Device key={device.device_id} device={device} onRemove={() => void remove(device)} />)}</ul>
      </section>
      <PasswordPanel />
      <section className="panel">
        <h2>{t("account.everywhere")}</h2>
        <p className="page-lead">{t("account.everywhereLead")}</p>
        <Button variant="danger" onClick={() => setConfirming(true)}>{t("account.everywhere")}</Button>
      </section>
      {confirming && <Confirm title={t("account.everywhereAsk")} action={t("account.everywhere")} busy={busy} onConfirm={() => void signOutEverywhere()} onClose={() => setConfirming(false)} />}
    </main>
  );
}

function Device({ device, onRemove }: { device: DeviceView; onRemove: () => void }) {
  const text = useText();
  const { t } = text;
  const lastUse = device.current ? t("account.thisDevice") : t("account.lastSeen", { when: text.formatAge(device.last_seen_at) });
  const line = [text.find(`device.${device.kind}`), lastUse, !device.signed_in && t("account.signedOut")].filter(Boolean).join(" · ");
  return (
    <li className="device" data-testid="device">
      <span><span className="device-name">{device.name}</span><span className="device-line">{line}</span></span>
      {!device.current && <Button variant="quiet" aria-label={t("account.removeLabel", { name: device.name })} onClick={onRemove}>{t("account.remove")}</Button>}
    </li>
  );
}
