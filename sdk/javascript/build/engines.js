// The engines that run JavaScript in a component.
//
// `quickjs` is small: a component of about 1.5 MB, compiled in a second or two. `starlingmonkey` is the engine
// of ComponentizeJS: about 12 MB, faster where a plugin computes much, and with more of what browsers have.

import { join } from "node:path";

import { load } from "./tools.js";

const COMPONENTIZE_JS = "@bytecodealliance/componentize-js@0.23.0 @bytecodealliance/preview2-shim@0.17.5";

/** For each engine: whether its 64-bit numbers are BigInts, and how it makes a component of a module. */
export const ENGINES = {
  quickjs: {
    bigInts: false,
    async componentize({ plugin, js, wit, world }) {
      const { componentize } = await load(plugin, "componentize-qjs");
      const made = await componentize({ witPath: wit, world, jsSource: js, optSize: true, sync: true });
      return made.component;
    },
  },
  starlingmonkey: {
    bigInts: true,
    async componentize({ plugin, folder, wit, world }) {
      // The first is needed by the second, which does not say so.
      await load(plugin, "@bytecodealliance/preview2-shim", COMPONENTIZE_JS);
      const { componentize } = await load(plugin, "@bytecodealliance/componentize-js", COMPONENTIZE_JS);
      const made = await componentize({
        sourcePath: join(folder, "plugin.js"), witPath: wit, worldName: world,
        // A host offers no wasi:http: requests are a capability of Windlass.
        disableFeatures: ["http", "fetch-event"],
      });
      return made.component;
    },
  },
};
