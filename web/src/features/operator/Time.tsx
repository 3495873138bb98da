import { useText } from "../../i18n";

/** How long ago something was; the exact time is its title. */
export function Time({ at }: { at: string }) {
  const text = useText();
  return <time className="nowrap" dateTime={at} title={text.formatMoment(at)}>{text.formatAge(at)}</time>;
}
