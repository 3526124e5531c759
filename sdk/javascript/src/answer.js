// Short ways to write answers. An answer is plain data of the contract's shape; what has a usual value
// may be left out.

import { PluginError } from "./error.js";

/** A report that says: nothing matched; this nearly did, and this is why not. */
export function nearMiss(id, reason) {
  return { detections: [], nearMisses: [{ id, reason }] };
}

/** Notes for the builder of the same plugin, for `notesJson` of a detection. */
export function notes(value) {
  return JSON.stringify(value);
}

/** The notes in a detection. Throws a `PluginError` with the code `notes.invalid` if they are no JSON. */
export function notesOf(detection) {
  return readJson(detection.notesJson, "notes.invalid", `the notes of ${detection.id}`);
}

/** What the other stage has answered. Throws a `PluginError` with the code `inputs.invalid`. */
export function outputsOf(input) {
  return readJson(input.outputsJson || "{}", "inputs.invalid", `${input.name} of ${input.plugin}.${input.stage}`);
}

function readJson(text, code, what) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new PluginError(code, `${what} does not read: ${error.message}`);
  }
}

/**
 * A custom stage's answer: it was done; one line says what came of it, and `outputs` go to stages that need it.
 * `more` are `schedules` and `withheld` of a stage at `after-build`.
 */
export function done(summary, outputs = undefined, more = {}) {
  return { skipped: false, summary, outputsJson: outputs === undefined ? "" : JSON.stringify(outputs), ...more };
}

/** A command that the host runs at its times while this version is live; `more` has what is not as usual. */
export function schedule(name, cron, argv, more = {}) {
  return { name, cron, argv, ...more };
}

/** A custom stage's answer: there was nothing to do, for this reason. */
export function skipped(why) {
  return { skipped: true, summary: why };
}

/** What a detector returned, as a report: a report, one detection, several, or nothing. */
export function reportOf(answer) {
  if (answer === null || answer === undefined) return { detections: [], nearMisses: [] };
  if (Array.isArray(answer)) return { detections: answer, nearMisses: [] };
  if (typeof answer === "object" && "id" in answer) return { detections: [answer], nearMisses: [] };
  return answer;
}

