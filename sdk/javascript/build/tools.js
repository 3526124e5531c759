// The packages that building needs: the plugin's own, wherever the SDK lies.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { BuildError } from "./manifest.js";

/**
 * Imports a package from the plugin's `node_modules`, else from the SDK's. `install` is what a person is told to
 * install where it is missing.
 */
export async function load(plugin, name, install = name) {
  const froms = [join(plugin, "package.json"), fileURLToPath(import.meta.url)];
  const entry = froms.map((from) => entryOf(from, name)).find((one) => one !== undefined);
  if (entry === undefined) {
    const fix = `npm install --save-dev --save-exact ${install}`;
    throw new BuildError(`the package ${name} is not installed: run \`npm install\`, or add it with \`${fix}\``);
  }
  const module = await import(pathToFileURL(entry));
  return module.default ?? module;
}

/** The file that a package is imported by, as seen from a file. */
function entryOf(from, name) {
  const folders = createRequire(from).resolve.paths(name).map((folder) => join(folder, name));
  const folder = folders.find((one) => existsSync(join(one, "package.json")));
  if (folder === undefined) return undefined;
  const { exports: all, main } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const root = all?.["."] ?? all;
  return join(folder, root?.import?.default ?? root?.import ?? root?.default ?? main ?? "index.js");
}
