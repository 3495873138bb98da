import { type AccountScreen, api, type Device, Problem, type ProfileView } from "../../api";
import { useScreen } from "../../api/screens";
import { useBack, useInitialFocus } from "../../focus";
import { useText } from "../../i18n";
import { back, Link, paths } from "../../router";
import { useViewer } from "../../session";
import { Avatar } from "../../ui/Avatar";
import { LinkButton } from "../../ui/Button";
import { ProblemNote } from "../../ui/Field";
import { Icon } from "../../ui/icons";
import { useTitle } from "../../ui/title";
import { AccountActions } from "./AccountActions";
import { AccountState, Roles } from "./AccountState";
import { AuditList } from "./AuditList";
import { type Column, Table } from "./Table";
import { Time } from "./Time";

/** The page of one account. */
export function AccountView({ accountId }: { accountId: string }) {
  const { t } = useText();
  const { session } = useViewer();
  const { data, error, reload } = useScreen(`operator:account:${accountId}`, () => api.operator.getAccount(accountId));
  useTitle(data?.account.email);
  useBack(() => back(paths.accounts()));
  useInitialFocus(data !== undefined);
  const isGone = error instanceof Problem && error.isFinal;
  return (
    <>
      <Link to={paths.accounts()} className="crumb"><Icon name="back" size="1.1em" />{t("operator.accounts")}</Link>
      <ProblemNote problem={error} onRetry={isGone ? undefined : reload} />
      {data && <Details details={data} isOwn={session?.account_id === data.account.account_id} />}
    </>
  );
}

function Details({ details: { account, profiles, devices }, isOwn }: { details: AccountScreen; isOwn: boolean }) {
  const { t } = useText();
  return (
    <>
      <h1 className="account-name">{account.email}</h1>
      <dl className="facts">
        <div><dt>{t("titles.state")}</dt><dd><AccountState account={account} /></dd></div>
        <div><dt>{t("accounts.role")}</dt><dd><Roles account={account} /></dd></div>
        <div><dt>{t("accounts.created")}</dt><dd><Time at={account.created_at} /></dd></div>
        <div><dt>{t("accounts.id")}</dt><dd><code>{account.account_id}</code></dd></div>
      </dl>
      <AccountActions account={account} isOwn={isOwn} />
      <Profiles profiles={profiles} />
      <Devices devices={devices} />
      <h2>{t("operator.audit")}</h2>
      <AuditList accountId={account.account_id} />
      <LinkButton variant="quiet" to={paths.audit(account.account_id)}>{t("audit.open")}</LinkButton>
    </>
  );
}

function Profiles({ profiles }: { profiles: ProfileView[] }) {
  const text = useText();
  const { t } = text;
  const columns: Column<ProfileView>[] = [
    { key: "name", name: t("profiles.name"), cell: (profile) => <span className="with-avatar"><Avatar name={profile.avatar} size="2rem" /><strong>{profile.name}</strong></span> },
    { key: "kind", name: t("titles.kind"), cell: (profile) => t(profile.kids ? "accounts.child" : "accounts.adult") },
    { key: "age", name: t("profiles.maturity"), cell: (profile) => (profile.maturity ? t("profiles.maturityAge", { age: profile.maturity }) : t("profiles.maturityAll")) },
    { key: "language", name: t("profiles.language"), cell: (profile) => text.getLanguageName(profile.language) },
    { key: "pin", name: t("profiles.pin"), cell: (profile) => t(profile.has_pin ? "titles.yes" : "accounts.no") },
  ];
  return (
    <>
      <h2>{t("account.profiles")}</h2>
      {profiles.length > 0 ? <Table label={t("account.profiles")} rows={profiles} columns={columns} getId={(profile) => profile.profile_id} /> : <p className="operator-empty">{t("accounts.noProfiles")}</p>}
    </>
  );
}

function Devices({ devices }: { devices: Device[] }) {
  const text = useText();
  const { t } = text;
  const columns: Column<Device>[] = [
    { key: "name", name: t("profiles.name"), cell: (device) => <strong>{device.name}</strong> },
    { key: "kind", name: t("titles.kind"), cell: (device) => text.find(`device.${device.kind}`) ?? device.kind },
    { key: "state", name: t("accounts.signedIn"), cell: (device) => t(device.signed_in ? "titles.yes" : "accounts.no") },
    { key: "last", name: t("accounts.lastSeen"), cell: (device) => <Time at={device.last_seen_at} /> },
  ];
  return (
    <>
      <h2>{t("account.devices")}</h2>
      {devices.length > 0 ? <Table label={t("account.devices")} rows={devices} columns={columns} getId={(device) => device.device_id} /> : <p className="operator-empty">{t("accounts.noDevices")}</p>}
    </>
  );
}
