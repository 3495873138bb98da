/** What is said of an upload. Pure. */
import type { IngestRequest } from "../../api";

export interface Details {
  name: string;
  titleId: string;
  episodeId: string;
  synopsis: string;
  language: string;
  year: string;
  maturity: string;
  genres: string;
}

export const EMPTY: Details = { name: "", titleId: "", episodeId: "", synopsis: "", language: "en", year: "", maturity: "0", genres: "" };

/** `the_big-film.final.mp4` → `the big film final`, a beginning for the person who knows better. */
export const titleFromFile = (name: string) => name.replace(/\.[^.]+$/, "").replace(/[_.\-\s]+/g, " ").trim();

/** `Sci-Fi, Documentary ` → `sci-fi`, `documentary`. */
export const genresOf = (text: string) => [...new Set(text.split(",").map((word) => word.trim().toLowerCase().replace(/\s+/g, "-")).filter(Boolean))];

interface Side {
  kind: "film" | "audio" | "subtitles";
  uploadId: string | null;
  language: string;
  role: string;
}

const sidesOf = (sides: Side[], kind: Side["kind"]) =>
  sides.filter((side) => side.kind === kind).map((side) => ({ upload_id: side.uploadId ?? "", language: side.language, role: side.role }));

/** The request, or `null` while something is still on its way. */
export function toIngest(details: Details, sides: Side[]): IngestRequest | null {
  const film = sides.find((side) => side.kind === "film");
  if (!film?.uploadId || sides.some((side) => !side.uploadId)) return null;
  return {
    upload_id: film.uploadId,
    name: details.name.trim(),
    title_id: details.titleId || null,
    episode_id: details.episodeId || null,
    synopsis: details.synopsis.trim(),
    language: details.language.trim() || "und",
    year: details.year ? Number(details.year) : null,
    maturity: Number(details.maturity) || 0,
    genre_ids: genresOf(details.genres),
    audio: sidesOf(sides, "audio"),
    subtitles: sidesOf(sides, "subtitles"),
  };
}

/** What the server says of a file or a form that it refuses: which file and stream, and the remedy. */
export function reasons(facts: Readonly<Record<string, unknown>>): string[] {
  const words = (names: string[]) => names.map((name) => facts[name]).filter((value): value is string => typeof value === "string" && value !== "");
  const faults = Array.isArray(facts.faults) ? (facts.faults as { message?: unknown }[]).map((fault) => String(fault.message ?? "")) : [];
  const detail = words(["detail"]);
  return detail.length ? detail : [words(["file", "stream"]).join(", "), ...words(["remedy"]), ...faults].filter(Boolean);
}
