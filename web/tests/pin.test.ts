import { describe, expect, it } from "vitest";
import { isPin, addDigit } from "../src/features/profiles/pin";

describe("a PIN", () => {
  it("has four to eight digits", () => {
    expect(["123", "1234", "12345678", "123456789", "12a4", ""].map(isPin)).toEqual([false, true, true, false, false, false]);
  });

  it("ignores a ninth digit", () => {
    expect([..."123456789"].reduce(addDigit, "")).toBe("12345678");
  });
});
