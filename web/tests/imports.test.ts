import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { describe, expect, it } from "vitest";

const source = join(import.meta.dirname, "../src");

/** Each layer imports only from lower layers; folders of one layer do not import each other. */
const LAYERS = [["app"], ["features"], ["ui"], ["session"], ["focus", "i18n", "router", "api"]];

const listFiles = (folder: string): string[] =>
  readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? listFiles(path) : /\.tsx?$/.test(name) && !name.endsWith(".d.ts") ? [path] : [];
  });

const all = listFiles(source);
const getFolder = (file: string) => relative(source, file).split("/").slice(0, -1);
const getLayer = (folder: string[]) => LAYERS.findIndex((layer) => layer.includes(folder[0] ?? ""));

function listImports(file: string): string[][] {
  const text = readFileSync(file, "utf8");
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((one) => normalize(join(dirname(file), one[1] ?? "")));
  return found.map((path) => relative(source, path).split("/"));
}

/** The files that a file imports; a folder is its index file. */
function listModules(file: string): string[] {
  const names = listImports(file).map((parts) => parts.join("/"));
  const known = new Set(all.map((one) => relative(source, one)));
  return names.flatMap((name) => [name, ...["ts", "tsx"].flatMap((end) => [`${name}.${end}`, `${name}/index.${end}`])].filter((one) => known.has(one)));
}

describe("imports", () => {
  it.each(all.map((file) => relative(source, file)))("%s imports only from its own folder and from lower layers", (name) => {
    const folder = getFolder(join(source, name));
    if (!folder.length) return;
    for (const target of listImports(join(source, name))) {
      const inside = target[0] === folder[0] && (folder[0] !== "features" || target[1] === folder[1]);
      const below = getLayer(target) > getLayer(folder);
      expect([name, target.join("/"), inside || below]).toEqual([name, target.join("/"), true]);
    }
  });

  it("has no cycle", () => {
    const graph = new Map(all.map((file) => [relative(source, file), listModules(file)]));
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

  it("keeps the player, the operator console and their libraries out of the home bundle", () => {
    const shell = readFileSync(join(source, "app/App.tsx"), "utf8");
    const playerPage = readFileSync(join(source, "app/playerPage.ts"), "utf8");
    expect(playerPage).toMatch(/^import type Player from "\.\.\/features\/player";$/m);
    expect(playerPage).toMatch(/const load = \(\) =>\s+import\("\.\.\/features\/player"\)/);
    expect(shell).toMatch(/lazy\(\(\) => import\("\.\.\/features\/operator"\)\)/);
    for (const file of all) {
      const text = readFileSync(file, "utf8");
      if (!file.includes("features/player")) expect(text).not.toMatch(/shaka-player/);
      if (!file.includes("features/operator")) expect(text).not.toMatch(/tus-js-client/);
    }
  });

  it("keeps files at 400 lines or less", () => {
    for (const file of all) {
      const lines = readFileSync(file, "utf8").split("\n").length;
      if (!file.includes("/i18n/")) expect([relative(source, file), lines <= 400]).toEqual([relative(source, file), true]);
    }
  });
});
