/** Numbers and times in the viewer's language; pure. */

/** `1:02:03`, or `2:03` below an hour. */
export function clock(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, seconds] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

const unit = (language: string, value: number, name: "hour" | "minute" | "second") =>
  new Intl.NumberFormat(language, { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: 0 }).format(value);

/** `1 hr 24 min`, `12 min`, `45 sec`: as long as a person would say it. */
export function span(ms: number, language: string): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return unit(language, seconds, "second");
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return unit(language, minutes, "minute");
  const rest = minutes % 60;
  const hours = unit(language, Math.floor(minutes / 60), "hour");
  return rest ? `${hours} ${unit(language, rest, "minute")}` : hours;
}

const STEPS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

export function size(bytes: number, language: string): string {
  const power = bytes > 0 ? Math.min(Math.floor(Math.log10(bytes) / 3), STEPS.length - 1) : 0;
  const digits = power > 2 ? 1 : 0;
  const format = { style: "unit", unit: STEPS[power], unitDisplay: "short", maximumFractionDigits: digits } as const;
  return new Intl.NumberFormat(language, format).format(bytes / 1000 ** power);
}

/** `2.4 Mbit/s`. */
export function rate(bps: number, language: string): string {
  const mega = new Intl.NumberFormat(language, { maximumFractionDigits: megaDigits(bps) }).format(bps / 1e6);
  return `${mega} Mbit/s`;
}

function megaDigits(bps: number): number {
  return bps < 10e6 ? 1 : 0;
}

/** `3 hours ago`. */
export function ago(iso: string, now: number, language: string): string {
  const seconds = Math.round((Date.parse(iso) - now) / 1000);
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const absolute = Math.abs(seconds);
  if (absolute < 60) return format.format(0, "minute");
  if (absolute < 3600) return format.format(Math.round(seconds / 60), "minute");
  if (absolute < 86_400) return format.format(Math.round(seconds / 3600), "hour");
  return format.format(Math.round(seconds / 86_400), "day");
}

/** A language by its own tag, named in the viewer's language: `Deutsch`, `German`. */
export function languageName(tag: string, language: string): string {
  if (!tag || tag === "und") return new Intl.DisplayNames(language, { type: "language" }).of("und") ?? "–";
  try {
    const name = new Intl.DisplayNames(language, { type: "language" }).of(tag) ?? tag;
    return name.charAt(0).toLocaleUpperCase(language) + name.slice(1);
  } catch {
    return tag;
  }
}

export function list(words: string[], language: string): string {
  return new Intl.ListFormat(language, { type: "unit" }).format(words);
}

/** The text in the best language there is: the asked, its base, the original, any. */
export function localised(texts: Record<string, string> | undefined, language: string, original = "en"): string {
  if (!texts) return "";
  const base = language.split("-")[0] ?? language;
  return texts[language] ?? texts[base] ?? texts[original] ?? Object.values(texts)[0] ?? "";
}
