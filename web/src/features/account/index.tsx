/** The account page: profiles, devices, the password, sign-out everywhere, export and closing. */
import { useState } from "react";
import { api, type DeviceView } from "../../api";
import { invalidateScreens, useScreen } from "../../api/screens";
import { useInitialFocus, useBack } from "../../focus";
import { useText } from "../../i18n";
import { back, go, paths } from "../../router";
import { useViewer } from "../../session";
import { Avatar } from "../../ui/Avatar";
import { useAction } from "../../ui/action";
import { Button, LinkButton } from "../../ui/Button";
import { Confirm } from "../../ui/Dialog";
import { ProblemNote } from "../../ui/Field";
import { useTitle } from "../../ui/title";
import { ClosePanel, DataPanel } from "./DataPanels";
import { PasswordPanel } from "./PasswordPanel";

export default function AccountPage() {
  const { t } = useText();
  useTitle(t("account.title"));
  const { profiles } = useViewer();
  const { data: devices, error, reload } = useScreen("devices", api.listDevices);
  const removal = useAction();
  useBack(() => back());
  useInitialFocus(devices !== undefined);

  const remove = (device: DeviceView) => removal.run(async () => {
    await api.removeDevice(device.device_id);
    invalidateScreens("devices");
  });

  return (
    <main id="main" className="page narrow" data-focus="column">
      <h1>{t("account.title")}</h1>
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
        <ProblemNote problem={removal.problem ?? error} onRetry={error ? reload : undefined} />
        <ul className="devices" data-focus="column">{devices?.map((device) => <Device key={device.device_id} device={device} onRemove={() => void remove(device)} />)}</ul>
      </section>
      <PasswordPanel />
      <EverywherePanel />
      <DataPanel />
      <ClosePanel />
    </main>
  );
}

function EverywherePanel() {
  const { t } = useText();
  const { busy, problem, run } = useAction();
  const [confirming, setConfirming] = useState(false);

  async function signOut() {
    const isDone = await run(api.signOutEverywhere);
    setConfirming(false);
    if (isDone) go(paths.home, { replace: true });
  }

  return (
    <section className="panel">
      <h2>{t("account.everywhere")}</h2>
      <p className="page-lead">{t("account.everywhereLead")}</p>
      <ProblemNote problem={problem} />
      <Button variant="danger" onClick={() => setConfirming(true)}>{t("account.everywhere")}</Button>
      {confirming && <Confirm title={t("account.everywhereAsk")} action={t("account.everywhere")} busy={busy} onConfirm={() => void signOut()} onClose={() => setConfirming(false)} />}
    </section>
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
