// The inside of a component. What `windlass-plugin build` writes imports this; plugins do not.

import { setHost } from "./host.js";
import * as log from "./log.js";

export { exported } from "./stages.js";

/** Connects the SDK with the component's imports. */
export function connect(packages, options) {
  setHost(packages, options);
  const write = (level) => (...values) => log.write(level, values.map(shown).join(" "));
  globalThis.console = {
    debug: write("debug"), log: write("info"), info: write("info"), warn: write("warn"), error: write("error"),
  };
}

function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return value.stack ? `${value}\n${value.stack}` : String(value);
  return JSON.stringify(value) ?? String(value);
}
