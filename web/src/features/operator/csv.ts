/** Format comma-separated values (RFC 4180). Cells that a spreadsheet would execute as formulas are escaped. */
export function formatCsv(header: string[], rows: (string | number)[][]): string {
  return [header, ...rows].map((row) => row.map(formatCell).join(",")).join("\r\n") + "\r\n";
}

function formatCell(value: string | number): string {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const createCsv = (header: string[], rows: (string | number)[][]) => new Blob([formatCsv(header, rows)], { type: "text/csv;charset=utf-8" });
