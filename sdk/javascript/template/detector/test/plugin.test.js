import assert from "node:assert/strict";
import { test } from "node:test";

import { Harness } from "windlass-sdk/testing";

import * as plugin from "../src/plugin.js";

const fixture = (name) => new URL(`../fixtures/${name}/source`, import.meta.url).pathname;

test("a built book is served", () => {
  const { chosen, plan } = new Harness(fixture("book")).detectAndPlan(plugin);
  assert.equal(chosen.id, "mdbook");
  assert.equal(plan.outputs[0].artifact.val.root, "/site/book");
  assert.deepEqual(plan.processes, []);
});

test("a book without its pages is a near miss", () => {
  const report = new Harness(fixture("not-built")).detect(plugin);
  assert.deepEqual(report.detections, []);
  assert.match(report.nearMisses[0].reason, /mdbook build/);
});
