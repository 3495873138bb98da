import { api, type AuditEntry } from "../../api";
import { useText } from "../../i18n";
import { Link, paths } from "../../router";
import { Button } from "../../ui/Button";
import { ProblemNote } from "../../ui/Field";
import { usePages } from "./pages";
import { type Column, Table } from "./Table";
import { Time } from "./Time";

const EVERY_MS = 10_000;

/** The audit log, newest first; of one account, or of all. */
export function AuditList({ accountId }: { accountId: string | null }) {
  const { t } = useText();
  const { items, isStale, error, hasMore, isLoadingMore, more, reload } = usePages(`operator:audit:${accountId ?? ""}`, (cursor) => api.operator.listAudit(accountId, cursor), EVERY_MS);
  const columns: Column<AuditEntry>[] = [
    { key: "act", name: t("audit.act"), cell: (entry) => <Act entry={entry} /> },
    { key: "account", name: t("audit.account"), cell: (entry) => <Who id={entry.account_id} email={entry.account} /> },
    { key: "actor", name: t("audit.actor"), cell: (entry) => <Who id={entry.actor_id} email={entry.actor} /> },
    { key: "client", name: t("audit.client"), cell: (entry) => (entry.client === COMMAND_LINE ? t("audit.commandLine") : entry.client || "–") },
    { key: "at", name: t("audit.at"), cell: (entry) => <Time at={entry.at} /> },
  ];
  return (
    <>
      <ProblemNote problem={error} onRetry={reload} />
      <div aria-busy={isStale} className="pages">
        {items.length > 0 && <Table label={t("operator.audit")} rows={items} columns={columns} getId={(entry) => entry.entry_id} />}
        {!isStale && items.length === 0 && <p className="operator-empty">{t("audit.empty")}</p>}
      </div>
      {hasMore && <p><Button busy={isLoadingMore} data-testid="more" onClick={more}>{t("app.more")}</Button></p>}
    </>
  );
}

const COMMAND_LINE = "command line";

/** The texts that name the details of acts: kinds of devices, roles, and the act that was refused. */
const DETAILS: Partial<Record<AuditEntry["act"], string>> = { "sign-in": "device", "role-granted": "accounts", "role-revoked": "accounts", "keys-rotated": "act", refused: "act" };

function Act({ entry: { act, detail } }: { entry: AuditEntry }) {
  const { t, find } = useText();
  if (act === "operator") return <Operation detail={detail} />;
  const [name, ...ids] = act === "refused" ? detail.split(" ") : [detail];
  const reason = ids.pop();
  const known = find(`operation.${name}`) ?? (DETAILS[act] && find(`${DETAILS[act]}.${name}`));
  const more = known && <>{ids.length > 0 && <> <code>{ids.join(" ")}</code></>}{reason && ` · ${find(`problem.${reason}`) ?? reason}`}</>;
  return <><strong>{t(`act.${act}`)}</strong>{detail && <span className="sub">{known ?? <code>{detail}</code>}{more}</span>}</>;
}

/** What an operator did to a title, a job or an edge. */
function Operation({ detail }: { detail: string }) {
  const { t, find } = useText();
  const [name, ...ids] = detail.split(" ");
  return <><strong>{find(`operation.${name}`) ?? t("act.operator")}</strong><span className="sub"><code>{ids.join(" ") || name}</code></span></>;
}

/** An account, by its e-mail address as long as it has one. */
function Who({ id, email }: { id: string | null; email: string | null }) {
  const { t } = useText();
  if (id && email) return <Link className="row-name-link" to={paths.accounts(`/${id}`)}>{email}</Link>;
  return id ? <span title={id}>{t("audit.erased")}</span> : <>–</>;
}
