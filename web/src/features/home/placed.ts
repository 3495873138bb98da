import type { Billboard, Row } from "../../api";

/** The billboard with how far one is in its title, as far as the rows know: then it says so. */
export function placed(billboard: Billboard, rows: Row[]): Billboard {
  const { card } = billboard;
  if (card.progress) return billboard;
  const known = rows.flatMap((row) => row.cards).find((one) => one.title_id === card.title_id && one.progress);
  return known ? { ...billboard, card: { ...card, progress: known.progress } } : billboard;
}
