import assert from "node:assert/strict";
import { test } from "node:test";

import { Harness } from "windlass-sdk/testing";

import * as plugin from "../src/plugin.js";

const fixture = (name) => new URL(`../fixtures/${name}/source`, import.meta.url).pathname;

test("what the file says is built and run", () => {
  const { plan } = new Harness(fixture("server")).detectAndPlan(plugin);
  assert.equal(plan.processes[0].argv[2], "exec ./server.sh");
  assert.deepEqual(plan.processes[0].ports, [8080]);
});

test("the settings win", () => {
  const settings = { run: { command: "./other.sh", port: 9000 } };
  const { plan } = new Harness(fixture("server"), { settings }).detectAndPlan(plugin);
  assert.equal(plan.processes[0].argv[2], "exec ./other.sh");
  assert.deepEqual(plan.processes[0].ports, [9000]);
});

test("without a command it says what to do", () => {
  const plans = () => new Harness(fixture("no-command")).detectAndPlan(plugin);
  assert.throws(plans, { code: "my-plugin.no-command", hint: /run\.command/ });
});
