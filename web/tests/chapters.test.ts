import { expect, test } from "vitest";
import { findChapter, nameChapter } from "../src/features/player/chapters";
import type { Translator } from "../src/i18n";

const chapters = [{ start_ms: 500, name: "One" }, { start_ms: 2000, name: "" }];
const text = { t: (_key: string, values: Record<string, string>) => `Chapter ${values.number}` } as unknown as Translator;

test("a time belongs to the last chapter that began", () => {
  expect([0, 500, 1999, 2000, 9000].map((time) => findChapter(chapters, time))).toEqual([-1, 0, 0, 1, 1]);
  expect(findChapter([], 5)).toBe(-1);
});

test("a chapter without a name has its number", () => {
  expect([-1, 0, 1].map((index) => nameChapter(chapters, index, text))).toEqual([null, "One", "Chapter 2"]);
});
