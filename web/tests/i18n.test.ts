import { describe, expect, it } from "vitest";
import { ago, clock, languageName, localised, rate, size, span } from "../src/i18n/format";
import { fill, supported } from "../src/i18n";
import { de } from "../src/i18n/de";
import { en } from "../src/i18n/en";

const holes = (text: string) => [...text.matchAll(/\{(\w+)/g)].map((found) => found[1]).sort();

describe("the languages", () => {
  it("have the same texts", () => {
    expect(Object.keys(de).sort()).toEqual(Object.keys(en).sort());
  });

  it("leave the same holes to fill, and no text empty", () => {
    for (const [key, text] of Object.entries(en)) {
      expect([key, holes(de[key as keyof typeof en])]).toEqual([key, holes(text)]);
      expect(de[key as keyof typeof en].trim()).not.toBe("");
    }
  });

  it("fall back to English", () => {
    expect(supported("de-AT")).toBe("de");
    expect(supported("fr")).toBe("en");
  });

  it("fill holes and choose plurals", () => {
    expect(fill("{count|1 season|# seasons}", { count: 1 }, "en")).toBe("1 season");
    expect(fill("{count|1 season|# seasons} of {name}", { count: 3, name: "X" }, "en")).toBe("3 seasons of X");
  });
});

describe("formats", () => {
  it("tell the time of a film", () => {
    expect(clock(0)).toBe("0:00");
    expect(clock(65_999)).toBe("1:05");
    expect(clock(3_723_000)).toBe("1:02:03");
    expect(clock(-5)).toBe("0:00");
  });

  it("say lengths as a person would", () => {
    expect(span(45_000, "en")).toBe("45 sec");
    expect(span(59_600, "en")).toBe("1 min");
    expect(span(5_040_000, "en")).toBe("1 hr 24 min");
    expect(span(3_599_000, "en")).toBe("1 hr");
    expect(span(7_200_000, "de")).toBe("2 Std.");
  });

  it("give sizes and rates their units", () => {
    expect(size(1_234_567_890, "en")).toBe("1.2 GB");
    expect(size(0, "en")).toBe("0 byte");
    expect(rate(2_400_000, "de")).toBe("2,4 Mbit/s");
  });

  it("tell how long ago", () => {
    const now = Date.parse("2026-01-02T12:00:00Z");
    expect(ago("2026-01-02T09:00:00Z", now, "en")).toBe("3 hours ago");
    expect(ago("2026-01-01T12:00:00Z", now, "de")).toBe("gestern");
  });

  it("name languages, whatever comes", () => {
    expect(languageName("de", "en")).toBe("German");
    expect(languageName("en", "de")).toBe("Englisch");
    expect(languageName("not a tag", "en")).toBe("not a tag");
  });

  it("find the best text", () => {
    expect(localised({ pt: "a", en: "b" }, "pt-BR")).toBe("a");
    expect(localised({ ja: "c" }, "de")).toBe("c");
    expect(localised({}, "de")).toBe("");
  });
});
