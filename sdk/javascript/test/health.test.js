// The default policy and judge decide as those of the SDK for Rust do.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Harness, detection } from "../src/testing.js";

const plugin = { health: {} };
const web = { name: "web", web: true, port: 3000, check: null };
const worker = { name: "worker", web: false };
const policy = (processes, health = {}) =>
  new Harness(".", { settings: { health } }).policy(plugin, detection("a"), processes);
const judge = (of, ...outcomes) => {
  const seen = outcomes.map(([probe, tag, val, atMs = 0]) => ({ probe, atMs, tookMs: 1, outcome: { tag, val } }));
  return new Harness(".").judge(plugin, of, seen);
};
const usual = policy([web]);

test("without a path three are tried, with one it alone", () => {
  assert.deepEqual(usual.probes.map((probe) => probe.val.path), ["/health", "/healthz", "/"]);
  assert.equal(usual.budgetMs, 300_000);
  const set = policy([web], { path: "/up", status: "200,204-206", timeout: "5m" });
  assert.deepEqual(set.probes.map((probe) => probe.val.path), ["/up"]);
  assert.deepEqual(set.passStatus, [{ first: 200, last: 200 }, { first: 204, last: 206 }]);
  assert.equal(set.budgetMs, 300_000);
});

test("an image's own check is the probe, and workers alone must stay up", () => {
  const check = { test: ["CMD-SHELL", "curl -f localhost"], startPeriodMs: 60_000, timeoutMs: 3_000 };
  const own = policy([{ ...web, check }, worker]);
  assert.deepEqual(own.probes, [
    { tag: "command", val: { process: "web", argv: ["/bin/sh", "-c", "curl -f localhost"] } },
  ]);
  assert.equal(own.budgetMs, 360_000);
  assert.equal(own.timeoutMs, 3_000);
  assert.equal(policy([worker]).probes[0].tag, "stays-up");
  assert.equal(policy([{ ...web, check: { test: ["NONE"] } }]).probes.length, 3);
});

test("settings that do not read are refused with their codes", () => {
  const code = (health) => assert.throws(() => policy([web], health), (error) => error.code.startsWith("health."));
  for (const health of [{ path: "up" }, { path: "/a b" }, { status: "20" }, { status: "300-200" }, { timeout: "5" },
    { timeout: "0s" }, { timeout: "5 parsecs" }]) code(health);
});

test("the verdict waits, moves on, passes and fails", () => {
  assert.equal(judge(usual).tag, "wait");
  assert.equal(judge(usual, [0, "refused"]).tag, "wait");
  assert.equal(judge(usual, [0, "status", 200]).tag, "pass");
  assert.equal(judge(usual, [0, "status", 401]).tag, "pass");
  assert.equal(judge(usual, [0, "status", 404]).tag, "next");
  const lost = judge(usual, [0, "status", 404], [1, "status", 404], [2, "status", 404]);
  assert.match(lost.val, /404 on \/health, \/healthz, \/: set health.path/);
  assert.match(judge(usual, [0, "exited", 3]).val, /web exited with status 3/);
  assert.match(judge(usual, [0, "out-of-memory"]).val, /ran out of memory/);
  assert.match(judge(usual, [0, "status", 500, 300_000]).val, /not healthy after 300 s: web: GET \/health/);
  const wrong = judge(usual, [0, "wrong-address", undefined, 0], [0, "wrong-address", undefined, 10_000]);
  assert.match(wrong.val, /listen on 0\.0\.0\.0/);
});

test("every process has to pass", () => {
  const check = { test: ["CMD", "check"] };
  const both = policy([{ ...web, check }, { ...worker, check }]);
  assert.equal(judge(both, [0, "ok"]).tag, "next");
  assert.equal(judge(both, [0, "ok"], [1, "ok"]).tag, "pass");
});
