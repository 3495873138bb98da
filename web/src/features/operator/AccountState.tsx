import type { Account } from "../../api";
import { useText } from "../../i18n";

export const OPERATOR = "operator";

export function AccountState({ account }: { account: Account }) {
  const { t } = useText();
  return <span className={`state ${account.status}`}>{t(`accounts.${account.status}`)}</span>;
}

export function Roles({ account }: { account: Account }) {
  const text = useText();
  return <>{account.roles.map((role) => text.find(`accounts.${role}`) ?? role).join(", ") || "–"}</>;
}
