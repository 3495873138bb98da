import { describe, expect, it } from "vitest";
import { isPin, withDigit } from "../src/features/profiles/pin";

describe("a PIN", () => {
  it("has four to eight digits, as in the house", () => {
    expect(["123", "1234", "12345678", "123456789", "12a4", ""].map(isPin)).toEqual([false, true, true, false, false, false]);
  });

  it("takes no ninth digit", () => {
    expect([..."123456789"].reduce(withDigit, "")).toBe("12345678");
  });
});
