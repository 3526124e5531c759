import assert from "node:assert/strict";
import { test } from "node:test";

import { Harness, detection } from "windlass-sdk/testing";

import * as plugin from "../src/plugin.js";

const source = new URL("../fixtures/web/source", import.meta.url).pathname;

test("errors in a row end it and a single one does not", () => {
  const harness = new Harness(source);
  const policy = harness.policy(plugin, detection("app"), [{ name: "web", web: true, port: 3000 }]);
  assert.equal(policy.probes[0].val.path, "/ready");
  const judge = (status, times) => {
    const one = { probe: 0, atMs: 0, tookMs: 1, outcome: { tag: "status", val: status } };
    return harness.judge(plugin, policy, Array(times).fill(one)).tag;
  };
  assert.equal(judge(200, 1), "pass");
  assert.equal(judge(500, 1), "wait");
  assert.equal(judge(500, 10), "fail");
});
