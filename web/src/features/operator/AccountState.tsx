import type { Account } from "../../api";
import { useText } from "../../i18n";

export const OPERATOR = "operator";

export function AccountState({ account }: { account: Account }) {
  const text = useText();
  return <span className={`state ${account.status}`}>{text.find(`accounts.${account.status}`) ?? account.status}</span>;
}

export function Roles({ account }: { account: Account }) {
  const text = useText();
  return <>{account.roles.map((role) => text.find(`accounts.${role}`) ?? role).join(", ") || "–"}</>;
}
