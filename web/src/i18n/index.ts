/** Every text that a person reads, in the language of the profile, or before there is one, of the browser. */
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

export function supported(tag: string): Language {
  const base = tag.toLowerCase().split("-")[0];
  return LANGUAGES.find((one) => one === base) ?? "en";
}

/** Speaks another language as soon as its texts are here. */
export async function setLanguage(tag: string): Promise<void> {
  const next = supported(tag);
  loaded[next] ??= await loaders[next]();
  if (next === language) return;
  language = next;
  document.documentElement.lang = next;
  translator = make(next);
  listeners.forEach((listener) => listener());
}

/** Puts values into `{name}` and picks from `{count|one film|# films}` by the language's plural rules. */
export function fill(text: string, values: Record<string, string | number>, tag: string): string {
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name: string, one?: string, other?: string) => {
    const value = values[name] ?? "";
    if (one === undefined || other === undefined) return String(value);
    const plural = new Intl.PluralRules(tag).select(Number(value));
    return (plural === "one" ? one : other).replace("#", String(value));
  });
}

function make(tag: Language) {
  const messages = loaded[tag] ?? en;
  return {
    language: tag,
    t: (key: Key, values: Record<string, string | number> = {}) => fill(messages[key], values, tag),
    /** A text whose key comes from the server, where there is one. */
    known: (key: string) => (Object.hasOwn(messages, key) ? fill(messages[key as Key], {}, tag) : null),
    clock: format.clock,
    span: (ms: number) => format.span(ms, tag),
    size: (bytes: number) => format.size(bytes, tag),
    rate: (bps: number) => format.rate(bps, tag),
    ago: (iso: string) => format.ago(iso, Date.now(), tag),
    languageName: (other: string) => format.languageName(other, tag),
    list: (words: string[]) => format.list(words, tag),
    localised: (texts: Record<string, string> | undefined) => format.localised(texts, tag),
  };
}

export type Translator = ReturnType<typeof make>;
let translator: Translator = make("en");

export const translate = () => translator;

export function useText(): Translator {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => translator,
  );
}
