import { api, type ServiceView } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { ProblemNote } from "../../ui/Field";
import { RotateKeys } from "./RotateKeys";
import { type Column, Table } from "./Table";

export function ServicesView() {
  const text = useText();
  const { t } = text;
  const { data, error, reload } = useScreen("operator:services", api.operator.listServices, 4_000);
  const columns: Column<ServiceView>[] = [
    { key: "service", name: t("services.service"), cell: (row) => <strong>{row.service}</strong>, sort: (row) => row.service },
    { key: "state", name: t("services.state"), cell: (row) => <span className={`state ${row.state}`}>{text.find(`services.${row.state}`) ?? row.state}</span>, sort: (row) => row.state },
    { key: "address", name: t("services.address"), cell: (row) => <code>{row.address}</code>, sort: (row) => row.address },
    { key: "renewed", name: t("services.renewed"), cell: (row) => text.formatAge(row.renewed_at), sort: (row) => row.renewed_at },
    { key: "instance", name: t("services.instance"), cell: (row) => <code>{row.instance_id}</code> },
  ];
  return (
    <>
      <h1>{t("services.title")}</h1>
      <ProblemNote problem={error} onRetry={reload} />
      {data && data.length > 0 && <Table label={t("services.title")} rows={data} columns={columns} getId={(row) => `${row.service}:${row.instance_id}`} />}
      {data?.length === 0 && <p className="operator-empty">{t("services.empty")}</p>}
      <RotateKeys />
    </>
  );
}
