/** Find the thumbnail of a position in the sheets. Pure. */
import type { ThumbnailSheets } from "../../api";

export interface Tile {
  sheet: number;
  x: number;
  y: number;
}

export function findTile(sheets: ThumbnailSheets, ms: number): Tile {
  const tilesPerSheet = sheets.columns * sheets.rows;
  const last = sheets.sheets * tilesPerSheet - 1;
  const index = Math.min(Math.max(0, Math.floor(ms / sheets.interval_ms)), last);
  const within = index % tilesPerSheet;
  return { sheet: Math.floor(index / tilesPerSheet) + 1, x: (within % sheets.columns) * sheets.width_px, y: Math.floor(within / sheets.columns) * sheets.height_px };
}

export const getSheetPath = (sheets: ThumbnailSheets, sheet: number) => sheets.media.replace("$Number$", String(sheet));
