/** Texts in the language of the profile, or of the browser before a profile is chosen. */
import { useSyncExternalStore } from "react";
import * as format from "./format";
import { en, type Messages } from "./en";

export type Key = keyof Messages;
export type Language = "en" | "de";
export const LANGUAGES: Language[] = ["en", "de"];

const loaded: Partial<Record<Language, Messages>> = { en };
const loaders: Record<Language, () => Promise<Messages>> = {
  en: async () => en,
  de: async () => (await import("./de")).de,
};

let language: Language = "en";
const listeners = new Set<() => void>();

export function chooseLanguage(tag: string): Language {
  const base = tag.toLowerCase().split("-")[0];
  return LANGUAGES.find((one) => one === base) ?? "en";
}

/** Load the texts of a language and switch to it. */
export async function setLanguage(tag: string): Promise<void> {
  const next = chooseLanguage(tag);
  loaded[next] ??= await loaders[next]();
  if (next === language) return;
  language = next;
  document.documentElement.lang = next;
  translator = createTranslator(next);
  listeners.forEach((listener) => listener());
}

/** Replace `{name}` by values, and `{count|one film|# films}` by the plural form of the language. */
export function formatText(text: string, values: Record<string, string | number>, tag: string): string {
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name: string, one?: string, other?: string) => {
    const value = values[name] ?? "";
    if (one === undefined || other === undefined) return String(value);
    const plural = new Intl.PluralRules(tag).select(Number(value));
    return (plural === "one" ? one : other).replace("#", String(value));
  });
}

function createTranslator(tag: Language) {
  const messages = loaded[tag] ?? en;
  return {
    language: tag,
    t: (key: Key, values: Record<string, string | number> = {}) => formatText(messages[key], values, tag),
    /** Return the text of a key that comes from the server, or `null`. */
    find: (key: string) => (Object.hasOwn(messages, key) ? formatText(messages[key as Key], {}, tag) : null),
    formatClock: format.formatClock,
    formatDuration: (ms: number) => format.formatDuration(ms, tag),
    formatSize: (bytes: number) => format.formatSize(bytes, tag),
    formatRate: (bps: number) => format.formatRate(bps, tag),
    formatAge: (iso: string) => format.formatAge(iso, Date.now(), tag),
    formatMoment: (iso: string) => format.formatMoment(iso, tag),
    getLanguageName: (other: string) => format.getLanguageName(other, tag),
    getCountryName: (code: string) => format.getCountryName(code, tag),
    localise: (texts: Record<string, string> | undefined) => format.localise(texts, tag),
  };
}

export type Translator = ReturnType<typeof createTranslator>;
let translator: Translator = createTranslator("en");

export const getTranslator = () => translator;

export function useText(): Translator {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => translator,
  );
}
