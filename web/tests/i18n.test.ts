import { describe, expect, it } from "vitest";
import { formatAge, formatClock, formatDuration, formatRate, formatSize, getLanguageName, localise } from "../src/i18n/format";
import { chooseLanguage, formatText } from "../src/i18n";
import { de } from "../src/i18n/de";
import { en } from "../src/i18n/en";

const listPlaceholders = (text: string) => [...text.matchAll(/\{(\w+)/g)].map((found) => found[1]).sort();

describe("the languages", () => {
  it("have the same texts", () => {
    expect(Object.keys(de).sort()).toEqual(Object.keys(en).sort());
  });

  it("have the same placeholders, and no empty text", () => {
    for (const [key, text] of Object.entries(en)) {
      expect([key, listPlaceholders(de[key as keyof typeof en])]).toEqual([key, listPlaceholders(text)]);
      expect(de[key as keyof typeof en].trim()).not.toBe("");
    }
  });

  it("fall back to English", () => {
    expect(chooseLanguage("de-AT")).toBe("de");
    expect(chooseLanguage("fr")).toBe("en");
  });

  it("replace placeholders and choose plurals", () => {
    expect(formatText("{count|1 season|# seasons}", { count: 1 }, "en")).toBe("1 season");
    expect(formatText("{count|1 season|# seasons} of {name}", { count: 3, name: "X" }, "en")).toBe("3 seasons of X");
  });
});

describe("formats", () => {
  it("format positions", () => {
    expect(formatClock(0)).toBe("0:00");
    expect(formatClock(65_999)).toBe("1:05");
    expect(formatClock(3_723_000)).toBe("1:02:03");
    expect(formatClock(-5)).toBe("0:00");
  });

  it("format durations", () => {
    expect(formatDuration(45_000, "en")).toBe("45 sec");
    expect(formatDuration(59_600, "en")).toBe("1 min");
    expect(formatDuration(5_040_000, "en")).toBe("1 hr 24 min");
    expect(formatDuration(3_599_000, "en")).toBe("1 hr");
    expect(formatDuration(7_200_000, "de")).toBe("2 Std.");
  });

  it("format sizes and rates", () => {
    expect(formatSize(1_234_567_890, "en")).toBe("1.2 GB");
    expect(formatSize(0, "en")).toBe("0 byte");
    expect(formatRate(2_400_000, "de")).toBe("2,4 Mbit/s");
  });

  it("format ages", () => {
    const now = Date.parse("2026-01-02T12:00:00Z");
    expect(formatAge("2026-01-02T09:00:00Z", now, "en")).toBe("3 hours ago");
    expect(formatAge("2026-01-01T12:00:00Z", now, "de")).toBe("gestern");
  });

  it("name languages, and return unknown tags", () => {
    expect(getLanguageName("de", "en")).toBe("German");
    expect(getLanguageName("en", "de")).toBe("Englisch");
    expect(getLanguageName("not a tag", "en")).toBe("not a tag");
  });

  it("choose the best text", () => {
    expect(localise({ pt: "a", en: "b" }, "pt-BR")).toBe("a");
    expect(localise({ ja: "c" }, "de")).toBe("c");
    expect(localise({}, "de")).toBe("");
  });
});
