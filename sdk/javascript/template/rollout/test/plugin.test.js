import assert from "node:assert/strict";
import { test } from "node:test";

import { Harness } from "windlass-sdk/testing";

import * as plugin from "../src/plugin.js";

function decide(weight, atWeightMs, errors) {
  const sample = (errors) => ({ requests: 1_000, errors, p50Us: 900, p99Us: 9_000 });
  const state = { weight, elapsedMs: atWeightMs, atWeightMs, serving: sample(2), candidate: sample(errors) };
  const { tag, val } = new Harness(".").next(plugin, state);
  return tag === "shift" ? val : tag;
}

test("the share grows while nothing gets worse", () => {
  assert.equal(decide(0, 0, 0), 100);
  assert.equal(decide(100, 59_000, 2), "hold");
  assert.equal(decide(100, 60_000, 2), 1_000);
  assert.equal(decide(10_000, 60_000, 2), "finish");
});

test("more errors than before end it", () => {
  assert.equal(decide(1_000, 2_000, 10), "hold");
  assert.equal(decide(1_000, 2_000, 20), "abort");
});
