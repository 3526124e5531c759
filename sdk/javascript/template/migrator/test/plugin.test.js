import assert from "node:assert/strict";
import { test } from "node:test";

import { Harness, detection } from "windlass-sdk/testing";

import * as plugin from "../src/plugin.js";

const source = new URL("../fixtures/migrations/source", import.meta.url).pathname;

test("it runs where there are migrations and a database", () => {
  const migrations = (variables) =>
    new Harness(source, { variables }).migrations(plugin, detection("app"), ["app"]);
  assert.equal(migrations([])[0].verdict.tag, "leave");
  const [found] = migrations(["DATABASE_URL"]);
  assert.deepEqual([found.argv[0], found.output], ["/app/bin/migrate", "app"]);
  assert.equal(found.verdict.tag, "run");
});
