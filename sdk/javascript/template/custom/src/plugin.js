// Refuses sources that hold private keys: a custom stage at the hook `after-fetch`.
// @ts-check

import { PluginError, annotations, done, options, skipped } from "windlass-sdk";

/** Files that are looked into. */
const LOOKED_INTO = ["**/*.pem", "**/*.key", "**/id_*"];

/** @type {import("windlass-sdk").Custom} */
export const custom = {
  run(_stage, ctx, source, _facts, _inputs) {
    // Files that may be there, keys of tests: `options` of `[[stages]]` in windlass.toml.
    const { allow = [] } = options(ctx);
    const files = source.files(LOOKED_INTO);
    if (files.length === 0) return skipped("there is no file that could be a key");
    source.prefetch(files);
    for (const file of files.filter((one) => !allow.includes(one))) {
      if (source.text(file)?.includes("PRIVATE KEY-----")) {
        throw new PluginError("my-plugin.private-key", `${file} is a private key`, {
          hint: "take it out of the source, and replace it: it is known now",
        });
      }
    }
    annotations.note("keys", `none; files looked into: ${files.length}`);
    // What stages that need `keys` get.
    return done("there is no private key", { looked_at: files.length });
  },
};
