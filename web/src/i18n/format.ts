/** Formats of numbers and times; pure functions. */

/** `1:02:03`, or `2:03` below an hour. */
export function formatClock(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, seconds] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

const formatUnit = (language: string, value: number, name: "hour" | "minute" | "second") =>
  new Intl.NumberFormat(language, { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: 0 }).format(value);

/** Format a duration: `1 hr 24 min`, `12 min`, `45 sec`. */
export function formatDuration(ms: number, language: string): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return formatUnit(language, seconds, "second");
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return formatUnit(language, minutes, "minute");
  const rest = minutes % 60;
  const hours = formatUnit(language, Math.floor(minutes / 60), "hour");
  return rest ? `${hours} ${formatUnit(language, rest, "minute")}` : hours;
}

const STEPS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

export function formatSize(bytes: number, language: string): string {
  const power = bytes > 0 ? Math.min(Math.floor(Math.log10(bytes) / 3), STEPS.length - 1) : 0;
  const digits = power > 2 ? 1 : 0;
  const format = { style: "unit", unit: STEPS[power], unitDisplay: "short", maximumFractionDigits: digits } as const;
  return new Intl.NumberFormat(language, format).format(bytes / 1000 ** power);
}

/** `2.4 Mbit/s`. */
export function formatRate(bps: number, language: string): string {
  const mega = new Intl.NumberFormat(language, { maximumFractionDigits: bps < 10e6 ? 1 : 0 }).format(bps / 1e6);
  return `${mega} Mbit/s`;
}

/** `3 hours ago`. */
export function formatAge(iso: string, now: number, language: string): string {
  const seconds = Math.round((Date.parse(iso) - now) / 1000);
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const absolute = Math.abs(seconds);
  if (absolute < 60) return format.format(0, "minute");
  if (absolute < 3600) return format.format(Math.round(seconds / 60), "minute");
  if (absolute < 86_400) return format.format(Math.round(seconds / 3600), "hour");
  const days = Math.round(seconds / 86_400);
  if (Math.abs(days) < 60) return format.format(days, "day");
  return Math.abs(days) < 730 ? format.format(Math.round(days / 30.44), "month") : format.format(Math.round(days / 365.25), "year");
}

/** `Jan 2, 2026, 12:00:00 PM`. */
export const formatMoment = (iso: string, language: string): string => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(iso));

/** Return the name of a language in the viewer's language. */
export function getLanguageName(tag: string, language: string): string {
  if (!tag || tag === "und") return new Intl.DisplayNames(language, { type: "language" }).of("und") ?? "–";
  try {
    const name = new Intl.DisplayNames(language, { type: "language" }).of(tag) ?? tag;
    return name.charAt(0).toLocaleUpperCase(language) + name.slice(1);
  } catch {
    return tag;
  }
}

/** Return the name of a country (ISO 3166-1 alpha-2) in the viewer's language. */
export function getCountryName(code: string, language: string): string {
  try {
    return new Intl.DisplayNames(language, { type: "region" }).of(code) ?? code;
  } catch {
    return code;
  }
}

/** Choose the text in a language, its base language, the original language or any other, in this order. */
export function localise(texts: Record<string, string> | undefined, language: string, original = "en"): string {
  if (!texts) return "";
  const base = language.split("-")[0] ?? language;
  return texts[language] ?? texts[base] ?? texts[original] ?? Object.values(texts)[0] ?? "";
}
