/** Holds the built bundles against budget.json; a budget is raised in the change that needs it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const root = new URL("..", import.meta.url).pathname;
const manifest = JSON.parse(readFileSync(join(root, "dist/.vite/manifest.json"), "utf8"));
const budgets = JSON.parse(readFileSync(join(root, "budget.json"), "utf8"));

/** A chunk and everything it imports at once. */
function reached(key, seen = new Set()) {
  if (seen.has(key)) return seen;
  seen.add(key);
  for (const next of manifest[key].imports ?? []) reached(next, seen);
  return seen;
}

const size = (file) => gzipSync(readFileSync(join(root, "dist", file))).length;
const weigh = (keys, pick) => [...new Set([...keys].flatMap((key) => pick(manifest[key])))].reduce((sum, file) => sum + size(file), 0);
const scripts = (chunk) => [chunk.file];
const styles = (chunk) => chunk.css ?? [];

const home = reached("index.html");
const player = new Set();
for (const key of ["src/features/player/index.tsx", "node_modules/shaka-player/dist/shaka-player.dash-es2021.js"]) if (manifest[key]) reached(key, player);
const measured = {
  home: weigh(home, scripts),
  homeStyles: weigh(home, styles),
  player: weigh([...player].filter((key) => !home.has(key)), scripts),
};

let over = 0;
for (const [name, { kilobytes, what }] of Object.entries(budgets)) {
  const value = measured[name] / 1000;
  const verdict = value <= kilobytes ? "within" : "OVER";
  if (value > kilobytes) over += 1;
  console.log(`${verdict.padEnd(6)} ${value.toFixed(1).padStart(6)} of ${String(kilobytes).padStart(3)} kB  ${what}`);
}
process.exit(over ? 1 : 0);
