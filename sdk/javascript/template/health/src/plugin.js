// Asks applications at `/ready`, and gives up early on those that only ever answer with errors.
// @ts-check

import { health as usual } from "windlass-sdk";

/** So many answers of 500 or above, one after another, and it is not well. */
const ERRORS_MAX = 10;

/** @type {import("windlass-sdk").Health} */
export const health = {
  policyFor(ctx, _source, _chosen, processes) {
    // The paths are tried in this order; what `[health]` of windlass.toml says comes first.
    return usual.defaultPolicy(ctx, processes, ["/ready", "/health", "/"]);
  },

  judge(_ctx, policy, seen) {
    const errors = seen.length - 1 - seen.findLastIndex((one) => !isError(one));
    if (errors >= ERRORS_MAX) {
      return { tag: "fail", val: `it answered with an error ${errors} times in a row` };
    }
    return usual.defaultJudge(policy, seen);
  },
};

function isError(/** @type {import("windlass-sdk").Observation} */ { outcome }) {
  return outcome.tag === "status" && outcome.val >= 500;
}
