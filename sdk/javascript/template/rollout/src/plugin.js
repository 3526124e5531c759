// Moves traffic to the new version in steps, and back when it shows more errors than the one that serves.
// @ts-check

import { options } from "windlass-sdk";

/** Shares of the new version, in hundredths of a percent. */
const STEPS = [100, 1_000, 5_000, 10_000];
/** Requests that a share must have seen before it is judged. */
const REQUESTS_MIN = 50;
/** Between two looks, in milliseconds. */
const LOOK_EVERY_MS = 1_000;

/** @type {import("windlass-sdk").Rollout} */
export const rollout = {
  next(ctx, state) {
    // How long each share is looked at, in seconds.
    const { step_s: stepS = 60 } = options(ctx);
    if (state.candidate.requests >= REQUESTS_MIN) {
      const [before, now] = [perThousand(state.serving), perThousand(state.candidate)];
      // Twice the errors of the version that serves, and more than one in a hundred.
      if (now > 10 && now > before * 2) {
        return { tag: "abort", val: `${now} of 1000 requests fail, ${before} before` };
      }
    }
    if (state.weight > 0 && state.atWeightMs < stepS * 1_000) return { tag: "hold", val: LOOK_EVERY_MS };
    const step = STEPS.find((one) => one > state.weight);
    return step === undefined ? { tag: "finish" } : { tag: "shift", val: step };
  },
};

function perThousand(/** @type {{ requests: number, errors: number }} */ { requests, errors }) {
  return Math.floor((errors * 1_000) / Math.max(requests, 1));
}
