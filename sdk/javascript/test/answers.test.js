// What stages return is checked against the contract, and what they leave out has its usual value.

import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import * as sdk from "../src/index.js";
import { complete, lift, lower } from "../src/conform.js";
import { setHost } from "../src/host.js";
import { exported } from "../src/stages.js";
import { Harness, detection } from "../src/testing.js";
import { decodeUtf8, encodeUtf8 } from "../src/text.js";

const folder = mkdtempSync(join(tmpdir(), "windlass-sdk-"));
const detects = (answer) => ({ detector: { detect: () => answer } });
const detect = (answer) => new Harness(folder).detect(detects(answer));

test("a detection, several, a report and nothing are all reports", () => {
  const one = { id: "a", name: "A", ecosystem: "test" };
  assert.deepEqual(detect(null), { detections: [], nearMisses: [] });
  assert.equal(detect(one).detections[0].confidence, 0);
  assert.equal(detect([one, one]).detections.length, 2);
  assert.equal(detect(sdk.nearMiss("a", "why")).nearMisses[0].reason, "why");
});

test("what is left out has its usual value, and an option that is none is null", () => {
  const [found] = detect({ id: "a", name: "A", ecosystem: "test", toolchains: [{ name: "node" }] }).detections;
  assert.deepEqual(found, {
    id: "a", name: "A", ecosystem: "test", toolchains: [{ name: "node", requirement: "" }], confidence: 0,
    evidence: [], supersedes: [], appDir: null, notesJson: "", refusal: null,
  });
});

test("a value of the wrong shape is named with its place", () => {
  const broken = (fields, message) => {
    assert.throws(() => detect({ id: "a", name: "A", ecosystem: "test", ...fields }), { message });
  };
  broken({ confidence: 300 }, /detector.detect.detections\[0\].confidence: expected a whole number from 0 to 255/);
  broken({ evidence: [{ detail: "x" }] }, /evidence\[0\].path: expected a string, found undefined/);
  broken({ superceeds: [] }, /detection has no field superceeds; it has id, .*supersedes/);
  broken({ name: null }, /detections\[0\].name: expected a string, found null/);
  assert.throws(() => detect(Promise.resolve(null)), { message: /stages are synchronous/ });
  const builder = { plan: async () => new sdk.plan.Plan() };
  assert.throws(() => new Harness(folder).plan({ builder }, detection("a")), { message: /stages are synchronous/ });
});

test("a failure on purpose is thrown as it is, and a refusal travels in the detection", () => {
  const refusal = new sdk.PluginError("a.old", "it is old", { hint: "renew it" });
  const [found] = detect({ id: "a", name: "A", ecosystem: "test", refusal }).detections;
  assert.deepEqual(found.refusal, { code: "a.old", message: "it is old", hint: "renew it", retryable: false });
  const plugin = { detector: { detect: () => { throw refusal; } } };
  assert.throws(() => new Harness(folder).detect(plugin), { code: "a.old" });
});

test("in a component a failure on purpose is the contract's record, and a fault goes to the log first", () => {
  const lines = [];
  setHost({ log: { write: (level, message) => lines.push([level, message]) } });
  const context = lower({ ref: "types.context" }, {}, "context");
  const failing = (thrown) => exported({ detector: { detect: () => { throw thrown; } } }, "detector");
  const error = new sdk.PluginError("a.b", "message", { retryable: true });
  assert.throws(() => failing(error).detect(context), (thrown) => {
    assert.deepEqual(thrown, { code: "a.b", message: "message", hint: undefined, retryable: true });
    return true;
  });
  assert.deepEqual(lines, []);
  assert.throws(() => failing(new RangeError("oops")).detect(context), RangeError);
  assert.match(lines[0][1], /detector.detect threw RangeError: oops/);
  setHost({});
});

test("64-bit numbers are BigInts only where the engine wants them", () => {
  const type = { ref: "builder.tmpfs-mount" };
  assert.equal(lower(type, { target: "/tmp", bytesMax: 5 }, "mount", true).bytesMax, 5n);
  assert.equal(lower(type, { target: "/tmp", bytesMax: 5 }, "mount").bytesMax, 5);
  assert.equal(lift(type, { target: "/tmp", bytesMax: 5n }).bytesMax, 5);
});

test("a plan is put together with every operation and mount", () => {
  const { base, mount, origin } = sdk.plan;
  const built = new sdk.plan.Plan()
    .step("deps", "install", base.toolchains({ node: "22" }), [
      sdk.plan.copy(["package.json"], "/app/"),
      sdk.plan.run(["npm", "ci"], { network: true, env: { CI: "1" }, mounts: [
        mount.cache("npm", "/root/.npm"), mount.secret("TOKEN", { env: "TOKEN" }),
        mount.bind("/src", { fromStep: "x" }), mount.tmpfs("/tmp", { bytesMax: 1 }),
      ] }),
      sdk.plan.writeFile("/etc/x", encodeUtf8("x")), sdk.plan.makeDir("/data"),
      sdk.plan.fetch("https://example.com/a.tar", "/a.tar"), sdk.plan.extract("/a.tar", "/a"),
      sdk.plan.place(["."], "/b/", { origin: { tag: "step", val: "deps" } }),
    ])
    .step("run", "collect", base.step("deps"), [sdk.plan.copyFrom("deps", ["/app/**"], "/app/")])
    .image("app", "run", { env: { A: "1" }, user: "1000:1000" })
    .web("web", "app", ["node", "server.js"], [3000])
    .worker("worker", "app", ["node", "worker.js"])
    .uses({ node: "22.11.0" });
  const harness = new Harness(folder);
  const made = harness.plan({ builder: { plan: () => built } }, detection("a"));
  assert.deepEqual(made.steps[0].ops[1].val.mounts[0].val, { id: "npm", target: "/root/.npm", sharing: "locked" });
  assert.deepEqual(made.steps[1].ops[0].val.origin, origin.step("deps"));
  assert.deepEqual(made.outputs[0].artifact.val.config.env, [["A", "1"]]);
  assert.deepEqual(made.processes.map(({ kind }) => kind), ["web", "worker"]);
  assert.deepEqual(made.toolchains, [{ name: "node", requirement: "22.11.0" }]);
});

test("text survives both directions with and without the platform's codecs", () => {
  const text = "aé€😀\uFFFD";
  const bytes = Uint8Array.from([...Buffer.from(text), 0xff, 0xe2, 0x82, 0x41]);
  const native = [decodeUtf8(bytes), encodeUtf8(text)];
  const { TextDecoder: decoder, TextEncoder: encoder } = globalThis;
  try {
    globalThis.TextDecoder = undefined;
    globalThis.TextEncoder = undefined;
    assert.equal(decodeUtf8(bytes), native[0]);
    assert.deepEqual(encodeUtf8(text), Uint8Array.from(native[1]));
    assert.equal(decodeUtf8(Uint8Array.from([0xed, 0xa0, 0x80])), "\uFFFD\uFFFD\uFFFD");
  } finally {
    Object.assign(globalThis, { TextDecoder: decoder, TextEncoder: encoder });
  }
});

test("settings and options are read, and what does not read is named", () => {
  const ctx = (config, options = "{}") => complete("types.context", { configJson: config, optionsJson: options });
  const all = sdk.settings(ctx('{"build":{"toolchain":{"node":"22"}},"run":{"port":3000},"migrate":false,"new":1}'));
  assert.equal(all.build.toolchain.node, "22");
  assert.equal(all.run.port, 3000);
  assert.equal(all.run.command, null);
  assert.deepEqual(all.migrate, { off: true, command: null });
  assert.equal(sdk.settings(ctx("")).health.path, null);
  assert.throws(() => sdk.settings(ctx('{"run":{"port":"x"}}')), { code: "settings.invalid", message: /run.port/ });
  assert.deepEqual(sdk.options(ctx("{}", '{"a":1}')), { a: 1 });
  assert.throws(() => sdk.options(ctx("{}", "[]")), { code: "options.invalid" });
});

test("schedules and withheld files are part of a custom stage's answer, and usual values may be left out", () => {
  const custom = { run: () => sdk.done("cleans", { n: 1 }, {
    schedules: [sdk.schedule("nightly", "0 3 * * *", ["bin/clean"], { timezone: "Europe/Vienna" })],
    withheld: [{ output: "site", paths: ["**/*.map"] }],
  }) };
  const { outcome } = new Harness(folder).custom({ custom }, "clean");
  assert.deepEqual(outcome.schedules, [{
    name: "nightly", cron: "0 3 * * *", timezone: "Europe/Vienna", argv: ["bin/clean"], process: null,
    overlap: "skip", timeoutMs: 0,
  }]);
  assert.deepEqual(outcome.withheld, [{ output: "site", paths: ["**/*.map"] }]);
  assert.equal(outcome.outputsJson, '{"n":1}');
  const nothing = new Harness(folder).custom({ custom: { run: () => sdk.skipped("why") } }, "clean").outcome;
  assert.deepEqual([nothing.schedules, nothing.withheld], [[], []]);
});

test("notes go from the detector to the builder, and others are refused", () => {
  const found = { id: "a", notesJson: sdk.notes({ root: "public" }) };
  assert.deepEqual(sdk.notesOf(found), { root: "public" });
  assert.throws(() => sdk.notesOf({ id: "a", notesJson: "" }), { code: "notes.invalid" });
});
