/** The details of an uploaded title, and the request made of them. Pure. */
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

/** `the_big-film.final.mp4` → `the big film final`: a suggested name. */
export const toTitleName = (name: string) => name.replace(/\.[^.]+$/, "").replace(/[_.\-\s]+/g, " ").trim();

/** `Sci-Fi, Documentary ` → `sci-fi`, `documentary`. */
export const parseGenres = (text: string) => [...new Set(text.split(",").map((word) => word.trim().toLowerCase().replace(/\s+/g, "-")).filter(Boolean))];

interface File {
  kind: "film" | "audio" | "subtitles";
  uploadId: string | null;
  language: string;
  role: string;
}

const filesOf = (files: File[], kind: File["kind"]) =>
  files.filter((file) => file.kind === kind).map((file) => ({ upload_id: file.uploadId ?? "", language: file.language, role: file.role }));

/** Builds the request; `null` while an upload is incomplete. */
export function toIngest(details: Details, files: File[]): IngestRequest | null {
  const film = files.find((file) => file.kind === "film");
  if (!film?.uploadId || files.some((file) => !file.uploadId)) return null;
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
    audio: filesOf(files, "audio"),
    subtitles: filesOf(files, "subtitles"),
  };
}

/** Why the server refused a file or a form: the file and stream, and the remedy. */
export function describeRefusal(facts: Readonly<Record<string, unknown>>): string[] {
  const words = (names: string[]) => names.map((name) => facts[name]).filter((value): value is string => typeof value === "string" && value !== "");
  const faults = Array.isArray(facts.faults) ? (facts.faults as { message?: unknown }[]).map((fault) => String(fault.message ?? "")) : [];
  const detail = words(["detail"]);
  return detail.length ? detail : [words(["file", "stream"]).join(", "), ...words(["remedy"]), ...faults].filter(Boolean);
}
