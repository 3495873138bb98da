import { type FormEvent, useState } from "react";
import { api } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { go, paths, useLocation } from "../../router";
import { Button } from "../../ui/Button";
import { Field, ProblemNote } from "../../ui/Field";
import { AuditList } from "./AuditList";
import { useSettled } from "./pages";

/** The audit log; the address names the account that it is filtered by. */
export function AuditView() {
  const { t } = useText();
  const accountId = new URLSearchParams(useLocation().search).get("account");
  return (
    <>
      <h1>{t("operator.audit")}</h1>
      {accountId ? <Filtered accountId={accountId} /> : <AccountFilter />}
      <AuditList key={accountId ?? ""} accountId={accountId} />
    </>
  );
}

function Filtered({ accountId }: { accountId: string }) {
  const { t } = useText();
  const { data } = useScreen(`operator:account:${accountId}`, () => api.operator.getAccount(accountId));
  return (
    <div className="tools filtered" data-focus="row">
      <p>{t("audit.only", { email: data?.account.email ?? accountId })}</p>
      <Button icon="close" data-testid="audit-all" onClick={() => go(paths.audit())}>{t("audit.all")}</Button>
    </div>
  );
}

const MAX_FOUND = 6;

/** Finds the account to filter by. */
function AccountFilter() {
  const { t } = useText();
  const [typed, setTyped] = useState("");
  const query = useSettled(typed.trim());
  return (
    <form className="tools" onSubmit={choose}>
      <Field label={t("audit.filter")} type="search" value={typed} maxLength={254} autoComplete="off" data-testid="audit-filter" onChange={(event) => setTyped(event.target.value)} />
      {query && <Found query={query} />}
    </form>
  );
}

/** Enter chooses the account if there is one only. */
function choose(event: FormEvent<HTMLFormElement>) {
  event.preventDefault();
  const found = event.currentTarget.querySelectorAll<HTMLButtonElement>(".choice");
  if (found.length === 1) found[0]?.click();
}

function Found({ query }: { query: string }) {
  const { t } = useText();
  const { data, error, reload } = useScreen(`operator:accounts:${query}`, () => api.operator.listAccounts(query));
  const found = data?.items.slice(0, MAX_FOUND) ?? [];
  return (
    <div className="found" role="status">
      <ProblemNote problem={error} onRetry={reload} />
      {data && found.length === 0 && <p>{t("accounts.none", { query })}</p>}
      <div className="choices" data-focus="row">
        {found.map((account) => <button key={account.account_id} type="button" className="choice" data-testid="audit-account" onClick={() => go(paths.audit(account.account_id))}>{account.email}</button>)}
      </div>
    </div>
  );
}
