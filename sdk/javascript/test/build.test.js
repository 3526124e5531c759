// What a component is made of: its manifest, its section. The component itself is built and run by the
// tests of the repository.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { readPackage } from "../build/manifest.js";
import { withSection } from "../build/section.js";
import { folder } from "./folder.js";

const GOOD = { name: "@me/windlass-plugin-books", version: "1.2.3", description: "Books", license: "MIT" };

function packaged(json, files = {}) {
  const text = typeof json === "string" ? json : JSON.stringify(json);
  return folder({ "package.json": text, "src/plugin.js": "", ...files });
}

test("the manifest is the package's, with what package.json says of Windlass", () => {
  const capabilities = [{ name: "http", hosts: ["api.osv.dev"], reason: "looks up advisories" }];
  const custom = [{ name: "scan", hooks: ["after-build"], summary: "Scans" }];
  const windlass = { capabilities, custom, options_schema: { type: "object" }, failures: "failures.json" };
  const failures = [{ code: "books.none", title: "t", cause: "c", fix: "f" }];
  const root = packaged({ ...GOOD, windlass }, { "failures.json": JSON.stringify(failures) });
  const { manifest, engine, entry } = readPackage(root);
  assert.deepEqual(manifest, {
    name: "books", version: "1.2.3", summary: "Books", licence: "MIT", capabilities,
    options_schema: '{"type":"object"}', failures, custom,
  });
  assert.equal(engine, "quickjs");
  assert.equal(entry, join(root, "src/plugin.js"));
});

test("TypeScript comes first, and what is wrong is said with the fix", () => {
  assert.match(readPackage(packaged(GOOD, { "src/plugin.ts": "" })).entry, /plugin\.ts$/);
  const refused = (json, message) => assert.throws(() => readPackage(packaged(json)), { message });
  refused("{", /does not read/);
  refused({ ...GOOD, name: "Books!" }, /1 to 40 lower-case letters/);
  refused({ ...GOOD, license: undefined }, /set "license": an SPDX expression/);
  refused({ ...GOOD, windlass: { capabilites: [] } }, /no key capabilites; it has entry, .*capabilities/);
  refused({ ...GOOD, windlass: { entry: "main.js" } }, /there is no main\.js/);
});

test("a section is appended to a component and to nothing else", () => {
  const component = Uint8Array.from([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]);
  const short = withSection(component, "ab", "xyz");
  assert.deepEqual([...short.subarray(8)], [0, 6, 2, 0x61, 0x62, 0x78, 0x79, 0x7a]);
  const long = withSection(component, "ab", "x".repeat(300));
  assert.deepEqual([...long.subarray(8, 12)], [0, 0xaf, 0x02, 2]);
  assert.throws(() => withSection(Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]), "a", "b"), /no WebAssembly/);
});
