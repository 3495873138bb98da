import { useEffect, useRef, useState } from "react";
import { type Account, api } from "../../api";
import { useText } from "../../i18n";
import { go, Link, paths, useLocation } from "../../router";
import { Button } from "../../ui/Button";
import { Field, ProblemNote } from "../../ui/Field";
import { AccountState, Roles } from "./AccountState";
import { CreateAccount } from "./CreateAccount";
import { usePages, useSettled } from "./pages";
import { type Column, Table } from "./Table";
import { Time } from "./Time";

export const ACCOUNTS = "operator:accounts:";
const QUERY = "q";

/** All accounts, searched by a part of the e-mail address. The address has the search, so that Back finds it again. */
export function AccountsView() {
  const { t } = useText();
  const { search } = useLocation();
  const [typed, setTyped] = useState(() => new URLSearchParams(search).get(QUERY) ?? "");
  const query = useSettled(typed.trim());
  const { items, isStale, error, hasMore, isLoadingMore, more, reload } = usePages(ACCOUNTS + query, (cursor) => api.operator.listAccounts(query, cursor));
  const [creating, setCreating] = useState(false);
  const written = useRef(query);
  useEffect(() => {
    if (query === written.current) return;
    written.current = query;
    go(paths.accounts(query && `?${new URLSearchParams({ [QUERY]: query })}`), { replace: true });
  }, [query]);
  // Another address of this page, by a link or by Back, is another search.
  useEffect(() => {
    const asked = new URLSearchParams(search).get(QUERY) ?? "";
    if (asked === written.current) return;
    written.current = asked;
    setTyped(asked);
  }, [search]);

  const columns: Column<Account>[] = [
    { key: "email", name: t("accounts.email"), cell: (account) => <Link className="row-name-link" to={paths.accounts(`/${account.account_id}`)} data-testid="account-link" data-focus-id={`account:${account.account_id}`}>{account.email}</Link>, sort: (account) => account.email },
    { key: "state", name: t("titles.state"), cell: (account) => <AccountState account={account} />, sort: (account) => account.status },
    { key: "roles", name: t("accounts.role"), cell: (account) => <Roles account={account} />, sort: (account) => account.roles.join() },
    { key: "created", name: t("accounts.created"), cell: (account) => <Time at={account.created_at} />, sort: (account) => account.created_at },
  ];
  return (
    <>
      <h1>{t("operator.accounts")}</h1>
      <div className="tools" data-focus="row">
        <Field label={t("accounts.search")} type="search" value={typed} maxLength={254} autoComplete="off" data-testid="account-search" onChange={(event) => setTyped(event.target.value)} />
        <Button icon="plus" data-testid="account-create" onClick={() => setCreating(true)}>{t("accounts.create")}</Button>
      </div>
      <ProblemNote problem={error} onRetry={reload} />
      <div aria-busy={isStale} className="pages">
        {items.length > 0 && <Table label={t("operator.accounts")} rows={items} columns={columns} getId={(account) => account.account_id} />}
        {!isStale && items.length === 0 && <p className="operator-empty">{t(query ? "accounts.none" : "accounts.empty", { query })}</p>}
      </div>
      {hasMore && <Button busy={isLoadingMore} data-testid="more" onClick={more}>{t("app.more")}</Button>}
      {creating && <CreateAccount onClose={() => setCreating(false)} />}
    </>
  );
}
