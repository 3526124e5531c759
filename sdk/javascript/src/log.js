// Lines for the deployment's log. The host bounds them, and counts what it drops.

import { call } from "./host.js";

/**
 * Writes a line with fields.
 * @param {"debug" | "info" | "warn" | "error"} level
 * @param {string} message
 * @param {Record<string, unknown>} fields
 */
export function write(level, message, fields = {}) {
  const pairs = Object.entries(fields).map(([name, value]) => [name, String(value)]);
  call("log.write", [level, String(message), pairs]);
}

/** For the author of the plugin. */
export const debug = (message, fields) => write("debug", message, fields);
/** For whoever deploys. */
export const info = (message, fields) => write("info", message, fields);
/** Something to be looked at that stops nothing. */
export const warn = (message, fields) => write("warn", message, fields);
/** What made the call fail. */
export const error = (message, fields) => write("error", message, fields);
