import type { Billboard, Row } from "../../api";

/** Returns the billboard with the viewer's progress in its title, if a row contains it. */
export function withProgress(billboard: Billboard, rows: Row[]): Billboard {
  const { card } = billboard;
  if (card.progress) return billboard;
  const known = rows.flatMap((row) => row.cards).find((one) => one.title_id === card.title_id && one.progress);
  return known ? { ...billboard, card: { ...card, progress: known.progress } } : billboard;
}
