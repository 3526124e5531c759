// A folder of a test, which is gone when the tests of its file have ended, also when one failed.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const made = [];
process.on("exit", () => made.forEach((root) => rmSync(root, { recursive: true, force: true })));

/**
 * A new folder with these files, texts by their paths.
 * @param {Record<string, string>} files
 */
export function folder(files = {}) {
  const root = mkdtempSync(join(tmpdir(), "windlass-sdk-"));
  made.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}
