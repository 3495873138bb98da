import { type ReactNode, useState } from "react";

export interface Column<T> {
  key: string;
  name: ReactNode;
  /** What is shown … */
  cell: (row: T) => ReactNode;
  /** … and what is sorted by; without it the column does not sort. */
  sort?: (row: T) => string | number;
  number?: boolean;
}

interface TableProps<T> {
  label: string;
  rows: T[];
  columns: Column<T>[];
  idOf: (row: T) => string;
}

/** Sorts by a press on the name of a column; a second press turns it round. */
export function Table<T>({ label, rows, columns, idOf }: TableProps<T>) {
  const [order, setOrder] = useState<{ key: string; down: boolean } | null>(null);
  const column = columns.find((one) => one.key === order?.key);
  const sorted = column?.sort ? [...rows].sort((a, b) => compare(column.sort?.(a) ?? "", column.sort?.(b) ?? "") * (order?.down ? -1 : 1)) : rows;
  return (
    <div className="table-frame" tabIndex={-1}>
      <table aria-label={label}>
        <thead>
          <tr>
            {columns.map((one) => (
              <th key={one.key} scope="col" className={one.number ? "number" : undefined} aria-sort={one.key === order?.key ? (order.down ? "descending" : "ascending") : undefined}>
                {one.sort ? <button type="button" onClick={() => setOrder({ key: one.key, down: order?.key === one.key && !order.down })}>{one.name}</button> : one.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sorted.map((row) => <tr key={idOf(row)}>{columns.map((one) => <td key={one.key} className={one.number ? "number" : undefined}>{one.cell(row)}</td>)}</tr>)}
        </tbody>
      </table>
    </div>
  );
}

const compare = (a: string | number, b: string | number) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
