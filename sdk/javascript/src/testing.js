// Runs a plugin's logic on a folder, natively: the same code as in the component, without WebAssembly,
// with the host's rules for reading the source and the contract's for answers.

import { complete } from "./conform.js";
import { PluginError } from "./error.js";
import { setHost } from "./host.js";
import { mockHost } from "./mock.js";
import { callStage } from "./stages.js";
import { Source } from "./source.js";
import { asBytes, encodeUtf8 } from "./text.js";

/** A folder and what a plugin is told with it. */
export class Harness {
  #folder;
  #answers;

  /** What the plugin is told; change it at will. */
  context;
  /** Lines that the last call wrote: `{ level, message, fields }`. */
  log = [];

  /**
   * @param {string} folder the source
   * @param {object} told
   *   `appDir`, `variables` (names), `services`, `previousToolchains`, `platform`: as in the contract;
   *   `settings` and `options`: objects; `images`: configurations by reference;
   *   `commands`: pairs of the beginning of a command line and its answer, see `ended`;
   *   `requests`: triples of method, beginning of the URL, and answer, see `answered`;
   *   `cached`: what the plugin's cache holds, by key; `denied`: capabilities that were not granted
   */
  constructor(folder, told = {}) {
    const { settings = {}, options = {}, variables = [], images = {}, commands = [], requests = [],
      cached = {}, denied = [], ...context } = told;
    this.#folder = folder;
    const held = Object.entries(cached).map(([key, value]) => [key, asBytes(value)]);
    this.#answers = { images, commands, requests, cached: held, denied: new Set(denied) };
    this.context = complete("types.context", {
      configJson: JSON.stringify(settings),
      optionsJson: JSON.stringify(options),
      variableNames: variables,
      ...context,
    });
  }

  /** What the detector of a plugin reports. `plugin` is its module: `import * as plugin from ...`. */
  detect(plugin) {
    return this.#call(plugin, "detector", "detect", [this.context]);
  }

  /** What the builder plans. */
  plan(plugin, chosen) {
    return this.#call(plugin, "builder", "plan", [this.context, complete("types.detection", chosen)]);
  }

  /**
   * The strongest detection and the plan for it: `{ chosen, plan }`. Throws a `PluginError` with the
   * code `test.nothing-detected` if nothing was.
   */
  detectAndPlan(plugin) {
    const { detections } = this.detect(plugin);
    const [chosen] = [...detections].sort((a, b) => b.confidence - a.confidence);
    if (chosen === undefined) throw new PluginError("test.nothing-detected", "no detection was returned");
    return { chosen, plan: this.plan(plugin, chosen) };
  }

  /** What the migrator finds; `outputs` are names of the plan's outputs. */
  migrations(plugin, chosen, outputs) {
    return this.#call(plugin, "migrator", "plan", [this.context, complete("types.detection", chosen), outputs]);
  }

  /** The health policy for processes. */
  policy(plugin, chosen, processes) {
    const all = processes.map((process) => complete("health.process", process));
    return this.#call(plugin, "health", "policyFor", [this.context, complete("types.detection", chosen), all]);
  }

  /** The verdict over what was seen. */
  judge(plugin, policy, seen) {
    return this.#call(plugin, "health", "judge", [this.context, complete("health.policy", policy), seen]);
  }

  /** What the rollout does next. */
  next(plugin, state) {
    return this.#call(plugin, "rollout", "next", [this.context, complete("rollout.state", state)]);
  }

  /**
   * Runs a custom stage: `{ outcome, artifacts, annotations, commands, requests, cache, log }`. `facts`
   * and `inputs` may leave out what does not matter.
   */
  custom(plugin, stage, facts = {}, inputs = []) {
    const all = inputs.map((input) => complete("custom.input", input));
    const args = [stage, this.context, complete("custom.facts", facts), all];
    const [outcome, did] = this.#calls(() => this.#answer(plugin, "custom", "run", args));
    return { outcome, ...did };
  }

  /** Runs anything that reads a source on the folder, or uses what a plugin may use. */
  run(work) {
    return this.#calls(() => work(Source.of(this.context)))[0];
  }

  #call(plugin, stage, func, args) {
    return this.#calls(() => this.#answer(plugin, stage, func, args))[0];
  }

  #answer(plugin, stage, func, args) {
    if (plugin[stage] === undefined) throw new TypeError(`the plugin exports no ${stage}`);
    return callStage(plugin, stage, func, args);
  }

  #calls(work) {
    const { packages, did } = mockHost(this.#folder, this.#answers);
    const [before, options] = setHost(packages);
    try {
      return [work(), did];
    } finally {
      setHost(before, options);
      this.log = did.log;
    }
  }
}

/** A detection that says nothing but its id, for stages that are given one. */
export function detection(id, fields = {}) {
  return complete("types.detection", { id, name: id, ecosystem: "test", ...fields });
}

/** The answer of a command that ended with this status and wrote this to standard output. */
export function ended(code, stdout = "") {
  const bytes = encodeUtf8(stdout);
  return {
    code, timedOut: false, outOfMemory: false, tookMs: 1, stdoutTail: bytes, stderrTail: new Uint8Array(),
    stdoutBytes: bytes.length, stderrBytes: 0,
  };
}

/** The answer of a server with this status and body. */
export function answered(status, body = "", headers = {}) {
  return { status, headers: Object.entries(headers), body: encodeUtf8(body) };
}
