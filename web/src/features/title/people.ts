/** Groups the credits of a title by person. Pure. */
import type { CreditView } from "../../api";
import type { Translator } from "../../i18n";

export interface Person {
  name: string;
  roles: string[];
}

export function groupCredits(credits: CreditView[], text: Pick<Translator, "translateIfKnown">): Person[] {
  const people = new Map<string, string[]>();
  for (const { name, role, character } of credits) {
    const label = character || text.translateIfKnown(`role.${role}`) || role;
    const roles = people.get(name) ?? [];
    people.set(name, roles.includes(label) ? roles : [...roles, label]);
  }
  return [...people].map(([name, roles]) => ({ name, roles }));
}
