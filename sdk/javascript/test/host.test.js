// The mock host keeps the rules of the real one.

import assert from "node:assert/strict";
import { rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import * as sdk from "../src/index.js";
import { globToRegExp } from "../src/glob.js";
import { Harness, answered, ended } from "../src/testing.js";
import { folder } from "./folder.js";

const reasonOf = (work) => {
  try {
    return work();
  } catch (error) {
    return error.reason ?? error.code;
  }
};

test("nothing outside the source is read", () => {
  const root = folder({ outside: "secret", "source/inside/file": "12345" });
  symlinkSync("../outside", join(root, "source/out"));
  symlinkSync("inside/file", join(root, "source/in"));
  const seen = new Harness(join(root, "source")).run((source) =>
    ["../outside", "/etc/passwd", "out", "in", "inside", "absent"].map((path) =>
      reasonOf(() => sdk.decodeUtf8(source.read(path)))),
  );
  assert.deepEqual(seen, ["denied", "denied", "denied", "12345", "not-a-file", "not-found"]);
});

test("a listing is sorted below the application and without git", () => {
  const root = folder({
    "app/b/c.html": "", "app/a.html": "", "app/d.txt": "", "app/.git/config": "", "other/e.html": "",
  });
  const harness = new Harness(root, { appDir: "app" });
  const files = (globs) => harness.run((source) => source.files(globs));
  assert.deepEqual(files([]), ["a.html", "b/c.html", "d.txt"]);
  assert.deepEqual(files(["*.html"]), ["a.html"]);
  assert.deepEqual(files(["**/*.html"]), ["a.html", "b/c.html"]);
  const shallow = harness.run((source) => source.list({ maxDepth: 1, limit: 2 }));
  assert.deepEqual(shallow.entries.map(({ path }) => path), ["a.html", "b"]);
  assert.ok(shallow.truncated);
  assert.equal(reasonOf(() => files(["[a"])), "source.unreadable");
  assert.deepEqual(new Harness(root, { appDir: "absent" }).run((source) => source.files()), []);
});

test("a file is asked for once, and a broken one is named with its place", () => {
  const root = folder({ "app.json": "{\n oops", "b.json": '\uFEFF{"a":1}' });
  new Harness(root).run((source) => {
    source.prefetch(["app.json", "b.json"]);
    rmSync(join(root, "b.json"));
    assert.deepEqual(source.json("b.json"), { a: 1 });
    assert.throws(() => source.json("app.json"), { code: "source.invalid-json", message: /app\.json/ });
    assert.equal(source.json("absent.json"), null);
    assert.ok(source.exists("app.json") && !source.isFile("absent.json"));
  });
});

test("globs cross folders only with two stars", () => {
  const fits = (glob, path) => globToRegExp(glob).test(path);
  assert.ok(fits("**/*.js", "a.js") && fits("**/*.js", "a/b/c.js") && !fits("*.js", "a/b.js"));
  assert.ok(fits("src/**", "src/a/b") && fits("{a,b}/?.[jt]s", "b/x.ts") && !fits("[!a].js", "a.js"));
  assert.ok(fits("a\\*", "a*") && !fits("a\\*", "ab") && fits("a.b", "a.b") && !fits("a.b", "axb"));
});

const custom = {
  run(stage, ctx, source, facts, inputs) {
    if (stage === "command") {
      const wanted = sdk.exec.inOutput("app", ["sh", "-c", "x"], { env: { A: "1" }, stdin: "in" });
      const exit = sdk.exec.run(wanted);
      const lines = [];
      sdk.exec.spawn(wanted).eachLine(({ text }) => lines.push(text));
      return sdk.done(`${exit.code}: ${lines.join("|")}`);
    }
    if (stage === "request") {
      try {
        const answer = sdk.http.fetch({ url: "https://api.example.com/x", method: "POST", json: { a: 1 } });
        return sdk.done(`${answer.status} ${answer.text} ${answer.header("x-a")}`);
      } catch (error) {
        throw sdk.http.failure(error);
      }
    }
    const before = sdk.cache.get("files");
    sdk.cache.put("files", "2");
    sdk.annotations.note("files", 2, { tone: "good" });
    sdk.artifacts.attach({ name: "a.txt", kind: "report", mediaType: "text/plain" }, "x".repeat(3 << 20));
    return sdk.done(`#${facts.number}: ${before && sdk.decodeUtf8(before)} ${sdk.outputsOf(inputs[0]).n}`, { n: 2 });
  },
};
const inputs = [{ name: "files", plugin: "p", stage: "s", outputsJson: '{"n":7}' }];

test("what a custom stage does comes back with its answer", () => {
  const ran = new Harness(".", { cached: { files: "1" } }).custom({ custom }, "report", { number: 4 }, inputs);
  assert.equal(ran.outcome.summary, "#4: 1 7");
  assert.equal(ran.outcome.outputsJson, '{"n":2}');
  assert.equal(ran.artifacts[0].content.length, 3 << 20);
  assert.equal(ran.artifacts[0].title, "a.txt");
  assert.deepEqual(ran.annotations, [{ name: "files", value: "2", tone: "good", url: undefined }]);
  assert.equal(sdk.decodeUtf8(ran.cache.get("files")), "2");
});

test("commands and requests are answered as the test says, and others are denied", () => {
  const told = {
    commands: [[["sh", "-c"], ended(3, "one\ntwo\n")]],
    requests: [["POST", "https://api.example.com/", answered(200, "fine", { "x-a": "b" })]],
  };
  const ran = new Harness(".", told).custom({ custom }, "command");
  assert.equal(ran.outcome.summary, "3: one|two");
  assert.deepEqual(ran.commands[0].env, [["A", "1"]]);
  const sent = new Harness(".", told).custom({ custom }, "request");
  assert.equal(sent.outcome.summary, "200 fine b");
  assert.deepEqual(sent.requests[0].headers, [["content-type", "application/json"]]);
  const other = { code: "http.failed", message: /no answer was given/, retryable: false };
  assert.throws(() => new Harness(".").custom({ custom }, "request"), other);
});

test("what is not granted is denied and says which capability", () => {
  const harness = new Harness(".", { denied: ["artifacts", "annotations"] });
  assert.throws(() => harness.custom({ custom }, "report", {}, inputs), {
    reason: "denied", message: /artifacts is not granted/,
  });
  assert.match(harness.log[0].message, /files was not noted/);
});
