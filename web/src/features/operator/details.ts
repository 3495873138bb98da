/** The details of an upload. Pure. */
import type { IngestRequest } from "../../api";
import type { Key } from "../../i18n";

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

export const YEARS = { min: 1880, max: 2100 };

export type DetailFaults = Partial<Record<"name" | "year", Key>>;

/** Check the fields of a new film before the request. */
export function validateDetails(details: Details): DetailFaults {
  const faults: DetailFaults = {};
  if (details.titleId) return faults;
  if (!details.name.trim()) faults.name = "check.name";
  const year = Number(details.year);
  if (details.year && !(Number.isInteger(year) && year >= YEARS.min && year <= YEARS.max)) faults.year = "check.year";
  return faults;
}

/** Derive a title from a file name: `the_big-film.final.mp4` becomes `the big film final`. */
export const deriveTitle = (name: string) => name.replace(/\.[^.]+$/, "").replace(/[_.\-\s]+/g, " ").trim();

/** Parse genre ids: `Sci-Fi, Documentary ` becomes `sci-fi`, `documentary`. */
export const parseGenres = (text: string) => [...new Set(text.split(",").map((word) => word.trim().toLowerCase().replace(/\s+/g, "-")).filter(Boolean))];

interface Side {
  kind: "film" | "audio" | "subtitles";
  uploadId: string | null;
  language: string;
  role: string;
}

const listSides = (sides: Side[], kind: Side["kind"]) =>
  sides.filter((side) => side.kind === kind).map((side) => ({ upload_id: side.uploadId ?? "", language: side.language, role: side.role }));

/** Create the request, or return `null` while an upload is incomplete. */
export function createIngestRequest(details: Details, sides: Side[], again = false): IngestRequest | null {
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
    genre_ids: parseGenres(details.genres),
    audio: listSides(sides, "audio"),
    subtitles: listSides(sides, "subtitles"),
    again,
  };
}

/** List the reasons why the server refused a file or a form. */
export function listReasons(facts: Readonly<Record<string, unknown>>): string[] {
  const read = (names: string[]) => names.map((name) => facts[name]).filter((value): value is string => typeof value === "string" && value !== "");
  const faults = Array.isArray(facts.faults) ? (facts.faults as { message?: unknown }[]).map((fault) => String(fault.message ?? "")) : [];
  const detail = read(["detail"]);
  return detail.length ? detail : [read(["file", "stream"]).join(", "), ...read(["remedy"]), ...faults].filter(Boolean);
}
