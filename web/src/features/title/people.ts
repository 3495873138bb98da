/** Who made a title, each person once with all that they did. Pure. */
import type { CreditView } from "../../api";
import type { Translator } from "../../i18n";

export interface Person {
  name: string;
  parts: string[];
}

export function peopleOf(credits: CreditView[], text: Pick<Translator, "known">): Person[] {
  const people = new Map<string, string[]>();
  for (const { name, role, character } of credits) {
    const part = character || text.known(`role.${role}`) || role;
    const parts = people.get(name) ?? [];
    people.set(name, parts.includes(part) ? parts : [...parts, part]);
  }
  return [...people].map(([name, parts]) => ({ name, parts }));
}
