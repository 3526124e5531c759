#!/usr/bin/env node
// `windlass-plugin build`: makes a component of the plugin in this folder.

import { parseArgs } from "node:util";
import { relative, resolve } from "node:path";

import { buildPlugin } from "./build.js";
import { BuildError } from "./manifest.js";

const USAGE = `usage: windlass-plugin build [--out FILE] [--engine quickjs|starlingmonkey] [FOLDER]`;

async function main() {
  let args;
  try {
    args = parseArgs({
      allowPositionals: true,
      options: { out: { type: "string" }, engine: { type: "string" }, help: { type: "boolean", short: "h" } },
    });
  } catch (error) {
    throw new BuildError(`${error.message}\n${USAGE}`);
  }
  const { values, positionals } = args;
  if (values.help) return console.log(USAGE);
  const [verb, folder = "."] = positionals;
  if (verb !== "build" || positionals.length > 2) throw new BuildError(USAGE);
  const out = values.out === undefined ? undefined : resolve(values.out);
  const built = await buildPlugin(resolve(folder), { out, engine: values.engine });
  console.log(`${relative(".", built.file)}: ${built.stages.join(", ")}; ${Math.ceil(built.bytes / 1024)} KiB`);
  return undefined;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
