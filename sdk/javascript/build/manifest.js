// The plugin's manifest, from its package.json.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What a person can repair: shown without a trace. */
export class BuildError extends Error {}

const KEYS = ["entry", "engine", "capabilities", "custom", "options_schema", "failures"];

/**
 * What is built, and how.
 * @param {string} folder the plugin's
 * @returns {{ manifest: object, entry: string, engine: string }}
 */
export function readPackage(folder) {
  const file = join(folder, "package.json");
  if (!existsSync(file)) {
    throw new BuildError(`there is no ${file}: run this in the plugin's folder`);
  }
  const json = readJson(file);
  const windlass = json.windlass ?? {};
  const unknown = Object.keys(windlass).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) {
    throw new BuildError(`${file}: "windlass" has no key ${unknown}; it has ${KEYS.join(", ")}`);
  }
  const name = (json.name ?? "").replace(/^@[^/]*\//, "").replace(/^windlass-plugin-/, "");
  if (!/^[a-z0-9-]{1,40}$/.test(name)) {
    const rule = "1 to 40 lower-case letters, digits and hyphens, behind an optional windlass-plugin-";
    throw new BuildError(`${file}: the name ${JSON.stringify(json.name)} is not valid: use ${rule}`);
  }
  const text = (key, what) => {
    if (typeof json[key] === "string" && json[key] !== "") return json[key];
    throw new BuildError(`${file}: set ${JSON.stringify(key)}: ${what}`);
  };
  const manifest = {
    name,
    version: text("version", "the plugin's version, as 0.1.0"),
    summary: text("description", "one sentence that says what the plugin does"),
    licence: text("license", "an SPDX expression, as Apache-2.0"),
    capabilities: windlass.capabilities ?? [],
    options_schema: schema(folder, windlass.options_schema),
    failures: failures(folder, windlass.failures),
  };
  if (windlass.custom !== undefined) manifest.custom = windlass.custom;
  return { manifest, entry: entryOf(folder, windlass.entry), engine: windlass.engine ?? "quickjs" };
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new BuildError(`${file} does not read: ${error.message}`);
  }
}

/** A schema of the options: written out, or the name of a JSON file. */
function schema(folder, given) {
  if (given === undefined) return "";
  return JSON.stringify(typeof given === "string" ? readJson(join(folder, given)) : given);
}

/** The failures that the plugin knows: written out, or the name of a JSON file. */
function failures(folder, given) {
  if (given === undefined) return [];
  return typeof given === "string" ? readJson(join(folder, given)) : given;
}

function entryOf(folder, given) {
  const candidates = given === undefined ? ["src/plugin.ts", "src/plugin.js"] : [given];
  const found = candidates.map((path) => join(folder, path)).find((path) => existsSync(path));
  if (found === undefined) {
    throw new BuildError(`there is no ${candidates.join(" and no ")} in ${folder}: set "entry" in "windlass"`);
  }
  return found;
}
