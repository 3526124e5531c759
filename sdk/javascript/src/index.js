// Write Windlass plugins in JavaScript or TypeScript.
//
// A plugin is a module that exports an object for each stage it fills: `detector`, `builder`, `migrator`,
// `health`, `rollout`, `custom`. `windlass-plugin build` makes a component of it; `windlass-sdk/testing`
// runs it without one.

export { done, nearMiss, notes, notesOf, outputsOf, schedule, skipped } from "./answer.js";
export { HostError, PluginError } from "./error.js";
export { annotations, artifacts, cache, exec, http, images } from "./grants.js";
export * as log from "./log.js";
export * as plan from "./plan.js";
export * as health from "./health.js";
export { options, settings } from "./settings.js";
export { Source } from "./source.js";
export { decodeUtf8, encodeUtf8 } from "./text.js";
