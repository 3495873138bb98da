import type { Billboard, Row } from "../../api";

/** Add the progress of the billboard's title, if the rows have it. */
export function addProgress(billboard: Billboard, rows: Row[]): Billboard {
  const { card } = billboard;
  if (card.progress) return billboard;
  const known = rows.flatMap((row) => row.cards).find((one) => one.title_id === card.title_id && one.progress);
  return known ? { ...billboard, card: { ...card, progress: known.progress } } : billboard;
}
