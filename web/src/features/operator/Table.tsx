import { type ReactNode, useState } from "react";

export interface Column<T> {
  key: string;
  name: ReactNode;
  /** The content of a cell. */
  cell: (row: T) => ReactNode;
  /** The value to sort by; without it the column cannot be sorted. */
  sort?: (row: T) => string | number;
  number?: boolean;
}

interface TableProps<T> {
  label: string;
  rows: T[];
  columns: Column<T>[];
  getId: (row: T) => string;
}

/**
 * A table that sorts by a column when its name is pressed; a second press reverses the order. Where it does not fit, each
 * row is a list of its columns.
 */
export function Table<T>({ label, rows, columns, getId }: TableProps<T>) {
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
          {sorted.map((row) => <tr key={getId(row)}>{columns.map((one) => <td key={one.key} className={one.number ? "number" : undefined} data-column={typeof one.name === "string" ? one.name : undefined}>{one.cell(row)}</td>)}</tr>)}
        </tbody>
      </table>
    </div>
  );
}

const compare = (a: string | number, b: string | number) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
