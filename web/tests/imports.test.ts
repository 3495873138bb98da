import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { describe, expect, it } from "vitest";

const source = join(import.meta.dirname, "../src");

/** Each layer imports only from lower layers; folders of one layer do not import each other. */
const LAYERS = [["app"], ["features"], ["ui"], ["session"], ["focus", "i18n", "router", "api"]];

const files = (folder: string): string[] =>
  readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : /\.tsx?$/.test(name) && !name.endsWith(".d.ts") ? [path] : [];
  });

const all = files(source);
const folderOf = (file: string) => relative(source, file).split("/").slice(0, -1);
const layerOf = (folder: string[]) => LAYERS.findIndex((layer) => layer.includes(folder[0] ?? ""));

function imports(file: string): string[][] {
  const text = readFileSync(file, "utf8");
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((one) => normalize(join(dirname(file), one[1] ?? "")));
  return found.map((path) => relative(source, path).split("/"));
}

/** The files that a file imports; a folder is its index file. */
function modules(file: string): string[] {
  const names = imports(file).map((parts) => parts.join("/"));
  const known = new Set(all.map((one) => relative(source, one)));
  return names.flatMap((name) => [name, ...["ts", "tsx"].flatMap((end) => [`${name}.${end}`, `${name}/index.${end}`])].filter((one) => known.has(one)));
}

describe("imports", () => {
  it.each(all.map((file) => relative(source, file)))("%s imports only from its own folder and from lower layers", (name) => {
    const folder = folderOf(join(source, name));
    if (!folder.length) return;
    for (const target of imports(join(source, name))) {
      const inside = target[0] === folder[0] && (folder[0] !== "features" || target[1] === folder[1]);
      const below = layerOf(target) > layerOf(folder);
      expect([name, target.join("/"), inside || below]).toEqual([name, target.join("/"), true]);
    }
  });

  it("has no cycle", () => {
    const graph = new Map(all.map((file) => [relative(source, file), modules(file)]));
    const done = new Set<string>();
    const visit = (name: string, path: string[]) => {
      expect(path).not.toContain(name);
      if (done.has(name)) return;
      for (const next of graph.get(name) ?? []) visit(next, [...path, name]);
      done.add(name);
    };
    for (const name of graph.keys()) visit(name, []);
  });

  it("gives every folder a layer", () => {
    for (const name of readdirSync(source)) if (statSync(join(source, name)).isDirectory()) expect(LAYERS.flat()).toContain(name);
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
