/** The chapters of a film. Pure. */
import type { PlaySession } from "../../api";
import type { Translator } from "../../i18n";

type Chapter = PlaySession["chapters"][number];

/** Find the number of the chapter at a time, from 0; -1 before the first one. */
export function findChapter(chapters: Chapter[], timeMs: number): number {
  return chapters.findLastIndex((one) => one.start_ms <= timeMs);
}

/** Return the name of a chapter; one without a name has its number. */
export function nameChapter(chapters: Chapter[], index: number, text: Translator): string | null {
  const chapter = chapters[index];
  return chapter ? chapter.name || text.t("player.chapter", { number: String(index + 1) }) : null;
}
