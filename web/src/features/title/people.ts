/** The people of a title, each once with all roles. Pure. */
import type { CreditView } from "../../api";
import type { Translator } from "../../i18n";

export interface Person {
  name: string;
  roles: string[];
}

export function listPeople(credits: CreditView[], text: Pick<Translator, "find">): Person[] {
  const people = new Map<string, string[]>();
  for (const { name, role, character } of credits) {
    const label = character || text.find(`role.${role}`) || role;
    const labels = people.get(name) ?? [];
    people.set(name, labels.includes(label) ? labels : [...labels, label]);
  }
  return [...people].map(([name, roles]) => ({ name, roles }));
}
