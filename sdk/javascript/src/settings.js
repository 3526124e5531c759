// What a plugin is told beside the source: the application's settings and the plugin's options.

import { PluginError } from "./error.js";

const TEXT = "string";
const SETTINGS_HINT = "compare windlass.toml with the documentation of its tables";
const SHAPE = {
  build: {
    framework: TEXT, install: TEXT, command: TEXT, output: TEXT, toolchain: {}, dockerfile: TEXT,
    target: TEXT, args: {},
  },
  run: { command: TEXT, port: "number", processes: {}, volumes: [] },
  health: { path: TEXT, status: TEXT, timeout: TEXT },
};

/**
 * The tables of `windlass.toml` that concern plugins; the shape is in the contract's README. What is not
 * set is `null`, or an empty table or list. `migrate` is `{ off, command }`.
 *
 * Throws a `PluginError` with the code `settings.invalid` if the JSON is not of that shape.
 */
export function settings(ctx) {
  const given = parsed(ctx.configJson, "settings", SETTINGS_HINT);
  const all = {};
  for (const [name, shape] of Object.entries(SHAPE)) {
    all[name] = table(name, shape, given[name] ?? {});
  }
  return { ...all, migrate: migrate(given.migrate) };
}

/**
 * What was set for this plugin, or for this custom stage: an object of the shape that the manifest's
 * `options_schema` says. Throws a `PluginError` with the code `options.invalid` if it is none.
 */
export function options(ctx) {
  return parsed(ctx.optionsJson, "options", "compare them with what `windlass plugin show` says there is to set");
}

function parsed(text, what, hint) {
  const bad = (why) => new PluginError(`${what}.invalid`, `the ${what} do not read: ${why}`, { hint });
  let value;
  try {
    value = JSON.parse(text.trim() || "{}");
  } catch (error) {
    throw bad(error.message);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw bad("they are no table");
  return value;
}

function table(name, shape, given) {
  const bad = (key, expected) => {
    const why = `the settings do not read: ${key} is no ${expected}`;
    return new PluginError("settings.invalid", why, { hint: SETTINGS_HINT });
  };
  if (given === null || typeof given !== "object" || Array.isArray(given)) throw bad(name, "table");
  const read = {};
  for (const [key, usual] of Object.entries(shape)) {
    const value = given[key];
    const full = `${name}.${key}`;
    if (typeof usual === "string") {
      if (value !== undefined && value !== null && typeof value !== usual) throw bad(full, usual);
      read[key] = value ?? null;
    } else {
      const isList = Array.isArray(usual);
      if (value !== undefined && (typeof value !== "object" || Array.isArray(value) !== isList)) {
        throw bad(full, isList ? "list" : "table");
      }
      read[key] = value ?? usual;
    }
  }
  return read;
}

function migrate(given) {
  if (given === false || given?.command === false) return { off: true, command: null };
  return { off: false, command: typeof given?.command === "string" ? given.command : null };
}
