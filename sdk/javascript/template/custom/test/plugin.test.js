import assert from "node:assert/strict";
import { test } from "node:test";

import { Harness } from "windlass-sdk/testing";

import * as plugin from "../src/plugin.js";

const source = new URL("../fixtures/key/source", import.meta.url).pathname;

test("a private key is named with its file", () => {
  const run = () => new Harness(source).custom(plugin, "keys");
  assert.throws(run, { code: "my-plugin.private-key", message: /deploy\.pem/ });
});

test("what is allowed may be there", () => {
  const ran = new Harness(source, { options: { allow: ["deploy.pem"] } }).custom(plugin, "keys");
  assert.equal(ran.outcome.summary, "there is no private key");
  assert.equal(ran.annotations[0].value, "none; files looked into: 1");
});
