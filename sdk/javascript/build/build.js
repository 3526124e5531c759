// Makes a component of a plugin: one module of all its code, a world of the stages that it exports and
// the capabilities that it asks for, an engine that runs JavaScript, and the manifest.

import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { VERSIONS } from "../src/contract.js";
import { STAGES } from "../src/stages.js";
import { ENGINES } from "./engines.js";
import { BuildError, readPackage } from "./manifest.js";
import { MANIFEST, withSection } from "./section.js";
import { load } from "./tools.js";

const SDK = dirname(dirname(fileURLToPath(import.meta.url)));
/** What every plugin may use without asking. */
const ALWAYS = ["log", "source", "images"];

/**
 * Builds the plugin in a folder.
 * @param {string} folder
 * @param {{ out?: string, engine?: string }} options `out`: the file to write, by default dist/NAME.wasm
 * @returns {Promise<{ file: string, bytes: number, stages: string[], imports: string[] }>}
 */
export async function buildPlugin(folder, options = {}) {
  const { manifest, entry, engine: usual } = readPackage(folder);
  const name = options.engine ?? usual;
  const engine = ENGINES[name];
  if (engine === undefined) {
    throw new BuildError(`there is no engine ${name}; use ${Object.keys(ENGINES).join(" or ")}`);
  }
  const stages = await exportedStages(folder, entry);
  const imports = [...ALWAYS, ...granted(manifest.capabilities)];
  const work = mkdtempSync(join(tmpdir(), "windlass-plugin-"));
  try {
    const js = await bundled(folder, inside(entry, stages, imports, engine.bigInts));
    writeFileSync(join(work, "plugin.js"), js);
    writeWorld(join(work, "wit"), stages, imports);
    const component = await engine.componentize({
      plugin: folder, folder: work, js, wit: join(work, "wit"), world: "plugin",
    });
    const whole = withSection(component, MANIFEST, JSON.stringify(manifest));
    const file = options.out ?? join(folder, "dist", `${manifest.name}.wasm`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, whole);
    return { file, bytes: whole.length, stages, imports };
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** Packages that capabilities bring; some, as `secrets`, bring none. */
function granted(capabilities) {
  const names = new Set(capabilities.map((capability) => capability.name));
  const grantable = Object.keys(VERSIONS).filter(
    (name) => name !== "types" && !ALWAYS.includes(name) && !(name in STAGES),
  );
  return grantable.filter((name) => names.has(name));
}

const interfaceOf = (name) => `windlass:${name}/${name}@${VERSIONS[name]}`;

/** The contract, with a world of what this plugin exports and imports. */
function writeWorld(folder, stages, imports) {
  cpSync(join(SDK, "wit", "deps"), join(folder, "deps"), { recursive: true });
  const lines = [
    "package windlass:built;",
    "world plugin {",
    ...["types", ...imports].map((name) => `  import ${interfaceOf(name)};`),
    ...stages.map((name) => `  export ${interfaceOf(name)};`),
    "}",
  ];
  writeFileSync(join(folder, "plugin.wit"), `${lines.join("\n")}\n`);
}

/** The module that the component begins with. */
function inside(entry, stages, imports, bigInts) {
  const variable = (name) => `host_${name}`;
  return [
    ...imports.map((name) => `import * as ${variable(name)} from ${JSON.stringify(interfaceOf(name))};`),
    `import { connect, exported } from ${JSON.stringify(join(SDK, "src", "component.js"))};`,
    `import * as plugin from ${JSON.stringify(entry)};`,
    `connect({ ${imports.map((name) => `${JSON.stringify(name)}: ${variable(name)}`).join(", ")} }, { big: ${bigInts} });`,
    ...stages.map((name) => `export const ${name} = exported(plugin, ${JSON.stringify(name)});`),
  ].join("\n");
}

const COMMON = {
  bundle: true, write: false, format: "esm", target: "es2022", platform: "neutral", charset: "utf8",
  mainFields: ["module", "main"], conditions: ["module", "import"], external: ["windlass:*"],
  logLevel: "silent",
};

async function bundled(folder, contents) {
  const result = await bundling(folder, { stdin: { contents, resolveDir: folder, loader: "js" } });
  return result.outputFiles[0].text;
}

/** Which stages the plugin's module exports. */
async function exportedStages(folder, entry) {
  const result = await bundling(folder, { entryPoints: [entry], metafile: true, outdir: folder });
  const [output] = Object.values(result.metafile.outputs);
  const stages = Object.keys(STAGES).filter((name) => output.exports.includes(name));
  if (stages.length === 0) {
    throw new BuildError(`${entry} exports no stage: export one of ${Object.keys(STAGES).join(", ")}`);
  }
  return stages;
}

async function bundling(folder, options) {
  const { build } = await load(folder, "esbuild");
  try {
    return await build({ ...COMMON, ...options });
  } catch (error) {
    if (!Array.isArray(error.errors)) throw error;
    const lines = error.errors.map(({ text, location }) =>
      location === null ? text : `${location.file}:${location.line}:${location.column}: ${text}`,
    );
    throw new BuildError(lines.join("\n"));
  }
}
