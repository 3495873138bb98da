import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { describe, expect, it } from "vitest";

const source = join(import.meta.dirname, "../src");

/** Each floor uses only those below it; rooms of one floor do not know each other. */
const FLOORS = [["app"], ["features"], ["ui"], ["session"], ["focus", "i18n", "router", "api"]];

const files = (folder: string): string[] =>
  readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : /\.tsx?$/.test(name) && !name.endsWith(".d.ts") ? [path] : [];
  });

const all = files(source);
const roomOf = (file: string) => relative(source, file).split("/").slice(0, -1);
const floorOf = (room: string[]) => FLOORS.findIndex((floor) => floor.includes(room[0] ?? ""));

function imports(file: string): string[][] {
  const text = readFileSync(file, "utf8");
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((one) => normalize(join(dirname(file), one[1] ?? "")));
  return found.map((path) => relative(source, path).split("/"));
}

describe("the walls", () => {
  it.each(all.map((file) => relative(source, file)))("%s imports only from its own room and from below", (name) => {
    const room = roomOf(join(source, name));
    if (!room.length) return;
    for (const target of imports(join(source, name))) {
      const inside = target[0] === room[0] && (room[0] !== "features" || target[1] === room[1]);
      const below = floorOf(target) > floorOf(room);
      expect([name, target.join("/"), inside || below]).toEqual([name, target.join("/"), true]);
    }
  });

  it("gives every room a floor", () => {
    for (const name of readdirSync(source)) if (statSync(join(source, name)).isDirectory()) expect(FLOORS.flat()).toContain(name);
  });

  it("leaves the player, the operator's console and their libraries out of home", () => {
    const shell = readFileSync(join(source, "app/App.tsx"), "utf8");
    const warm = readFileSync(join(source, "app/warm.ts"), "utf8");
    expect(warm).toMatch(/^import type Player from "\.\.\/features\/player";$/m);
    expect(warm).toMatch(/const load = \(\) =>\s+import\("\.\.\/features\/player"\)/);
    expect(shell).toMatch(/lazy\(\(\) => import\("\.\.\/features\/operator"\)\)/);
    for (const file of all) {
      const text = readFileSync(file, "utf8");
      if (!file.includes("features/player")) expect(text).not.toMatch(/shaka-player/);
      if (!file.includes("features/operator")) expect(text).not.toMatch(/tus-js-client/);
    }
  });

  it("keeps files to a few screens, and every text in the languages' files", () => {
    for (const file of all) {
      const lines = readFileSync(file, "utf8").split("\n").length;
      if (!file.includes("/i18n/")) expect([relative(source, file), lines <= 400]).toEqual([relative(source, file), true]);
    }
  });
});
