// Writes what both SDKs know of the contract, from the WIT files of its newest release:
//
//   sdk/javascript/wit, sdk/python/windlass_plugin/wit        the files themselves
//   sdk/javascript/src/contract.js, contract.d.ts             its types, as data and for TypeScript
//   sdk/python/windlass_plugin/contract/                      its types, as Python dataclasses
//
// `npm run contract` writes; `npm run contract -- --check` says whether all of it is up to date.

import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { javascriptFiles } from "./javascript.mjs";
import { pythonFiles } from "./python.mjs";
import { parseWit } from "./wit.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const sdks = join(root, "sdk");

/** The folder of the newest release. */
function newest() {
  const releases = readdirSync(join(root, "wit")).filter((name) => /^\d+\.\d+\.\d+$/.test(name));
  const number = (name) => name.split(".").map(Number);
  const [last] = releases.sort((a, b) => {
    const [left, right] = [number(a), number(b)];
    const place = left.findIndex((part, index) => part !== right[index]);
    return place < 0 ? 0 : right[place] - left[place];
  });
  return join(root, "wit", last);
}

function witFiles() {
  const folder = newest();
  const names = readdirSync(join(folder, "deps")).filter((name) => name.endsWith(".wit")).sort();
  const paths = ["plugin.wit", ...names.map((name) => `deps/${name}`)];
  return new Map(paths.map((path) => [path, readFileSync(join(folder, path), "utf8")]));
}

/** Every file that is written, by its path below `sdk`. */
function wanted() {
  const wit = witFiles();
  const contract = parseWit([...wit].filter(([path]) => path.startsWith("deps/")));
  const files = new Map();
  for (const [path, text] of wit) {
    files.set(`javascript/wit/${path}`, text);
    files.set(`python/windlass_plugin/wit/${path}`, text);
  }
  for (const [path, text] of javascriptFiles(contract)) files.set(`javascript/src/${path}`, text);
  for (const [path, text] of pythonFiles(contract)) {
    files.set(`python/windlass_plugin/contract/${path}`, text);
  }
  return files;
}

/** Files of the folders that hold nothing else, which are no longer wanted. */
function superfluous(files) {
  const owned = ["javascript/wit", "python/windlass_plugin/wit", "python/windlass_plugin/contract"];
  return owned.flatMap((folder) => below(join(sdks, folder)))
    .filter((path) => !path.includes("__pycache__") && !files.has(path));
}

function below(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? below(path) : [relative(sdks, path)];
  });
}

const files = wanted();
const stale = [...files]
  .filter(([path, text]) => {
    const file = join(sdks, path);
    return !existsSync(file) || readFileSync(file, "utf8") !== text;
  })
  .map(([path]) => path);
const gone = superfluous(files);

if (process.argv.includes("--check")) {
  for (const path of [...stale, ...gone]) console.error(`sdk/${path} does not follow the contract`);
  if (stale.length + gone.length > 0) {
    console.error("run `npm run contract` in sdk/javascript");
    process.exitCode = 1;
  }
} else {
  for (const path of stale) {
    const file = join(sdks, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, files.get(path));
  }
  for (const path of gone) rmSync(join(sdks, path));
  console.log(`${stale.length} written, ${gone.length} removed`);
}
