import { useState } from "react";
import { api } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { go, paths } from "../../router";
import { closeAccount } from "../../session";
import { useAction } from "../../ui/action";
import { Button } from "../../ui/Button";
import { ProblemNote } from "../../ui/Field";
import { saveFile } from "../../ui/file";
import { TypedConfirm } from "../../ui/TypedConfirm";

const FILE_NAME = "matinee-account.json";

/** Saves everything that is stored of the account as a file. */
export function DataPanel() {
  const { t } = useText();
  const { busy, problem, result, run } = useAction();
  const save = () => run(async () => {
    saveFile(FILE_NAME, await api.exportAccount());
    return t("account.exported", { file: FILE_NAME });
  });
  return (
    <section className="panel">
      <h2>{t("account.export")}</h2>
      <p className="page-lead">{t("account.exportLead")}</p>
      <ProblemNote problem={problem} />
      <Button busy={busy} data-testid="account-export" onClick={() => void save()}>{t("account.exportAction")}</Button>
      {result && <p className="panel-result" role="status">{result}</p>}
    </section>
  );
}

/** Closes and erases the account. */
export function ClosePanel() {
  const { t } = useText();
  const { data: account, error, reload } = useScreen("account", api.getAccount);
  const [confirming, setConfirming] = useState(false);

  async function close() {
    await closeAccount();
    go(paths.home, { replace: true });
  }

  return (
    <section className="panel">
      <h2>{t("account.close")}</h2>
      <p className="page-lead">{t("account.closeLead")}</p>
      <ProblemNote problem={error} onRetry={reload} />
      <Button variant="danger" icon="trash" disabled={!account} data-testid="account-close" onClick={() => setConfirming(true)}>{t("account.close")}</Button>
      {confirming && account && (
        <TypedConfirm title={t("account.closeAsk")} lead={t("account.closeErases")} label={t("account.closeType", { email: account.email })} expected={account.email} mismatch={t("account.closeMismatch", { email: account.email })} action={t("account.closeAction")} onConfirm={close} onClose={() => setConfirming(false)} />
      )}
    </section>
  );
}
