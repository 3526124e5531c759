// The stages of a plugin, as the contract calls them: arguments are made complete, answers are checked.

import { reportOf } from "./answer.js";
import { lift, lower, signature } from "./conform.js";
import { PluginError, errorRecord } from "./error.js";
import { defaultJudge, defaultPolicy } from "./health.js";
import { takesBigInts } from "./host.js";
import * as log from "./log.js";
import { Source } from "./source.js";

/**
 * The contract's stages: for each function how it is called with the author's object and the
 * contract's arguments.
 */
export const STAGES = {
  detector: {
    detect: (stage, ctx) => reportOf(stage.detect(ctx, Source.of(ctx))),
  },
  builder: {
    plan: (stage, ctx, chosen) => stage.plan(ctx, Source.of(ctx), chosen),
  },
  migrator: {
    plan: (stage, ctx, chosen, outputs) => stage.plan(ctx, Source.of(ctx), chosen, outputs),
  },
  health: {
    policyFor: (stage, ctx, chosen, processes) =>
      stage.policyFor?.(ctx, Source.of(ctx), chosen, processes) ?? defaultPolicy(ctx, processes),
    judge: (stage, ctx, policy, seen) => stage.judge?.(ctx, policy, seen) ?? defaultJudge(policy, seen),
  },
  rollout: {
    next: (stage, ctx, state) => stage.next(ctx, state),
  },
  custom: {
    run: (stage, name, ctx, facts, inputs) => stage.run(name, ctx, Source.of(ctx), facts, inputs),
  },
};

/** Calls a function of a stage with the contract's arguments, and gives the contract's answer. */
function lowered(plugin, name, func, args) {
  const path = `${name}.${func}`;
  const { params, ok } = signature(path);
  const given = params.map((type, index) => lift(type, args[index]));
  return lower(ok, STAGES[name][func](plugin[name], ...given), path, takesBigInts());
}

/** The same natively: the answer as authors see it, with everything that they left out. */
export function callStage(plugin, name, func, args) {
  return lift(signature(`${name}.${func}`).ok, lowered(plugin, name, func, args));
}

/**
 * The functions of a stage as a component exports them. A failure on purpose is thrown as the contract's
 * record; everything else is a fault of the plugin: it goes to the log and on.
 */
export function exported(plugin, name) {
  const guarded = (func) => (...args) => {
    const path = `${name}.${func}`;
    try {
      return lowered(plugin, name, func, args);
    } catch (thrown) {
      if (thrown instanceof PluginError) {
        throw lower(signature(path).err, errorRecord(thrown), `the error of ${path}`);
      }
      log.error(`${path} threw ${String(thrown)}${thrown?.stack ? `\n${thrown.stack}` : ""}`);
      throw thrown;
    }
  };
  return Object.fromEntries(Object.keys(STAGES[name]).map((func) => [func, guarded(func)]));
}
