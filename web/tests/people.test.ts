import { describe, expect, it } from "vitest";
import { peopleOf } from "../src/features/title/people";

const credit = (name: string, role: string, character: string | null = null) => ({ name, role, character });
const text = { known: (key: string) => ({ "role.director": "Director", "role.writer": "Writer" })[key] ?? null };

describe("credits", () => {
  it("name everybody once, with all they did, in the order of the credits", () => {
    const found = peopleOf([credit("B", "director"), credit("A", "writer"), credit("B", "writer"), credit("B", "writer")], text);
    expect(found).toEqual([{ name: "B", parts: ["Director", "Writer"] }, { name: "A", parts: ["Writer"] }]);
  });

  it("say the part that somebody plays, and a role without a word of ours as it is", () => {
    expect(peopleOf([credit("A", "cast", "The voice"), credit("C", "gaffer")], text).map((one) => one.parts)).toEqual([["The voice"], ["gaffer"]]);
  });
});
