import { type ReactNode, useState } from "react";
import { type Account, api } from "../../api";
import { invalidateScreens } from "../../api/screens";
import { useText } from "../../i18n";
import { go, paths } from "../../router";
import { useAction } from "../../ui/action";
import { Button, LinkButton } from "../../ui/Button";
import { Confirm } from "../../ui/Dialog";
import { ProblemNote } from "../../ui/Field";
import { saveFile } from "../../ui/file";
import { TypedConfirm } from "../../ui/TypedConfirm";
import { OPERATOR } from "./AccountState";
import { ResetPassword } from "./ResetPassword";

interface ActionsProps {
  account: Account;
  /** Whether it is the account of this operator, whose sign-in some actions would end. */
  isOwn: boolean;
}

export function AccountActions({ account, isOwn }: ActionsProps) {
  const { t } = useText();
  return (
    <section className="sheet" aria-label={t("titles.actions")}>
      <h2>{t("titles.actions")}</h2>
      <ul className="actions" data-focus="column">
        {isOwn ? <OwnAccount /> : <><PasswordAction account={account} /><SignInsAction account={account} /><RoleAction account={account} /></>}
        <ExportAction account={account} />
        {!isOwn && <CloseAction account={account} />}
      </ul>
    </section>
  );
}

interface LineProps {
  name: string;
  lead: string;
  button: ReactNode;
  problem?: unknown;
  result?: string;
}

/** An action, with its problem or result below it. */
export function ActionLine({ name, lead, button, problem, result }: LineProps) {
  return (
    <li className="action">
      <p><strong>{name}</strong><span className="sub">{lead}</span></p>
      {button}
      {problem !== undefined && problem !== null && <ProblemNote problem={problem} />}
      {result && <p className="action-result" role="status">{result}</p>}
    </li>
  );
}

function OwnAccount() {
  const { t } = useText();
  return <ActionLine name={t("accounts.own")} lead={t("accounts.ownLead")} button={<LinkButton to={paths.account}>{t("accounts.toOwn")}</LinkButton>} />;
}

const reload = ({ account_id }: Account) => {
  invalidateScreens(`operator:account:${account_id}`);
  invalidateScreens(`operator:audit:${account_id}`);
};

function PasswordAction({ account }: { account: Account }) {
  const { t } = useText();
  const [open, setOpen] = useState(false);
  const [result, setResult] = useState("");
  const onDone = () => {
    setResult(t("account.passwordChanged"));
    reload(account);
  };
  return (
    <>
      <ActionLine name={t("accounts.reset")} lead={t("accounts.resetLead")} result={result} button={<Button data-testid="account-reset" onClick={() => setOpen(true)}>{t("accounts.reset")}</Button>} />
      {open && <ResetPassword account={account} onDone={onDone} onClose={() => setOpen(false)} />}
    </>
  );
}

function SignInsAction({ account }: { account: Account }) {
  const { t } = useText();
  const { busy, problem, result, run } = useAction();
  const [confirming, setConfirming] = useState(false);
  async function end() {
    await run(async () => {
      const { ended } = await api.operator.endSignIns(account.account_id);
      reload(account);
      return t("accounts.ended", { count: ended });
    });
    setConfirming(false);
  }
  return (
    <>
      <ActionLine name={t("accounts.end")} lead={t("accounts.endLead")} problem={problem} result={result} button={<Button data-testid="account-end" onClick={() => setConfirming(true)}>{t("accounts.end")}</Button>} />
      {confirming && <Confirm title={t("accounts.endAsk", { email: account.email })} action={t("accounts.end")} busy={busy} onConfirm={() => void end()} onClose={() => setConfirming(false)} />}
    </>
  );
}

function RoleAction({ account }: { account: Account }) {
  const { t } = useText();
  const { busy, problem, run } = useAction();
  const [confirming, setConfirming] = useState(false);
  const isOperator = account.roles.includes(OPERATOR);
  const key = isOperator ? "revoke" : "grant";
  async function change() {
    await run(async () => {
      await (isOperator ? api.operator.revokeOperator(account.account_id) : api.operator.grantOperator(account.account_id));
      reload(account);
    });
    setConfirming(false);
  }
  return (
    <>
      <ActionLine name={t("accounts.role")} lead={t(isOperator ? "accounts.isOperator" : "accounts.isViewer")} problem={problem} button={<Button data-testid="account-role" onClick={() => setConfirming(true)}>{t(`accounts.${key}`)}</Button>} />
      {confirming && <Confirm title={t(`accounts.${key}Ask`, { email: account.email })} action={t(`accounts.${key}`)} busy={busy} onConfirm={() => void change()} onClose={() => setConfirming(false)} />}
    </>
  );
}

function ExportAction({ account }: { account: Account }) {
  const { t } = useText();
  const { busy, problem, result, run } = useAction();
  const name = `matinee-account-${account.email}.json`;
  const save = () => run(async () => {
    saveFile(name, await api.operator.exportAccount(account.account_id));
    invalidateScreens(`operator:audit:${account.account_id}`);
    return t("account.exported", { file: name });
  });
  return <ActionLine name={t("accounts.export")} lead={t("accounts.exportLead")} problem={problem} result={result} button={<Button busy={busy} data-testid="account-export" onClick={() => void save()}>{t("accounts.export")}</Button>} />;
}

function CloseAction({ account }: { account: Account }) {
  const { t } = useText();
  const [confirming, setConfirming] = useState(false);
  const { email } = account;
  async function close() {
    await api.operator.closeAccount(account.account_id);
    invalidateScreens("operator:accounts");
    go(paths.accounts(), { replace: true });
  }
  return (
    <>
      <ActionLine name={t("accounts.close")} lead={t("accounts.closeLead")} button={<Button variant="danger" icon="trash" data-testid="account-close" onClick={() => setConfirming(true)}>{t("accounts.close")}</Button>} />
      {confirming && <TypedConfirm title={t("accounts.closeAsk", { email })} lead={t("accounts.closeErases")} label={t("account.closeType", { email })} expected={email} mismatch={t("account.closeMismatch", { email })} action={t("accounts.closeAction")} onConfirm={close} onClose={() => setConfirming(false)} />}
    </>
  );
}
