/** Which picture of which sheet belongs to a moment. Pure. */
import type { ThumbnailSheets } from "../../api";

export interface Tile {
  sheet: number;
  x: number;
  y: number;
}

export function tileAt(sheets: ThumbnailSheets, ms: number): Tile {
  const each = sheets.columns * sheets.rows;
  const last = sheets.sheets * each - 1;
  const index = Math.min(Math.max(0, Math.floor(ms / sheets.interval_ms)), last);
  const within = index % each;
  return { sheet: Math.floor(index / each) + 1, x: (within % sheets.columns) * sheets.width_px, y: Math.floor(within / sheets.columns) * sheets.height_px };
}

export const sheetPath = (sheets: ThumbnailSheets, sheet: number) => sheets.media.replace("$Number$", String(sheet));
