import { describe, expect, it } from "vitest";
import { listPeople } from "../src/features/title/people";

const credit = (name: string, role: string, character: string | null = null) => ({ name, role, character });
const text = { find: (key: string) => ({ "role.director": "Director", "role.writer": "Writer" })[key] ?? null };

describe("credits", () => {
  it("name each person once, with all roles, in the order of the credits", () => {
    const found = listPeople([credit("B", "director"), credit("A", "writer"), credit("B", "writer"), credit("B", "writer")], text);
    expect(found).toEqual([{ name: "B", roles: ["Director", "Writer"] }, { name: "A", roles: ["Writer"] }]);
  });

  it("name the character, and an unknown role unchanged", () => {
    expect(listPeople([credit("A", "cast", "The voice"), credit("C", "gaffer")], text).map((one) => one.roles)).toEqual([["The voice"], ["gaffer"]]);
  });
});
