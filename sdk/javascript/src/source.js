// The source tree, seen from the application's folder.
//
// Reads are batched and remembered for the length of one call: asking twice costs one host call.

import { HostError, PluginError } from "./error.js";
import { call } from "./host.js";
import { decodeUtf8 } from "./text.js";

const WHY = {
  "not-found": "it does not exist",
  "not-a-file": "it is not a regular file",
  "too-large": "it is larger than a plugin may read",
  denied: "the path leaves the source, or was not granted",
  io: "reading it failed, or the request was malformed",
};

/**
 * A read-only view of the source below one folder. Paths use forward slashes and are relative to that
 * folder; what leaves the source's root, or was not granted to a custom stage, is `denied`.
 */
export class Source {
  #base;
  #read = new Map();

  /** The view from a folder, given relative to the source's root. */
  constructor(folder = "") {
    this.#base = folder.replace(/^\/+|\/+$/g, "");
  }

  /** The view from the application's folder. */
  static of(ctx) {
    return new Source(ctx.appDir);
  }

  /** The view from the folder that a detection names as the application's, else from the context's. */
  static ofChosen(ctx, chosen) {
    return new Source(chosen.appDir ?? ctx.appDir);
  }

  /** The view from the source's root: for what a monorepo keeps there, such as its lock file. */
  static root() {
    return new Source();
  }

  /** Whether it is a readable file or a folder. */
  exists(path) {
    return !["not-found", "denied", "io"].includes(this.#answer(path).reason);
  }

  /** Whether it is a regular file. */
  isFile(path) {
    const { reason } = this.#answer(path);
    return reason === undefined || reason === "too-large";
  }

  /** The bytes of a file. Throws a `HostError` with the reason. */
  read(path) {
    const { bytes, reason } = this.#answer(path);
    if (reason !== undefined) throw new HostError("source.readMany", reason, `${path}: ${WHY[reason]}`);
    return bytes;
  }

  /**
   * The text of a file, or `null` when it does not exist. Bytes that are not UTF-8 are replaced.
   * Throws a `PluginError` with the code `source.unreadable` when it exists and cannot be read.
   */
  text(path) {
    const { bytes, reason } = this.#answer(path);
    if (reason === "not-found") return null;
    if (reason !== undefined) throw unreadable(path, reason);
    return decodeUtf8(bytes);
  }

  /**
   * A JSON file, or `null` when it does not exist. Throws a `PluginError` with the code
   * `source.unreadable`, or `source.invalid-json` with the place.
   */
  json(path) {
    const text = this.text(path)?.replace(/^\uFEFF/, "");
    if (text === undefined) return null;
    try {
      return JSON.parse(text);
    } catch (error) {
      const message = `${path} is not valid JSON: ${error.message}`;
      throw new PluginError("source.invalid-json", message, { hint: `repair ${path} and deploy again` });
    }
  }

  /** Reads files in one host call; later reads of them ask no more. */
  prefetch(paths) {
    const missing = [...new Set(paths)].filter((path) => !this.#read.has(path));
    if (missing.length === 0) return;
    const answers = call("source.readMany", [missing.map((path) => this.#full(path)), 0]);
    missing.forEach((path, index) => {
      const { tag, val } = answers[index];
      this.#read.set(path, tag === "ok" ? { bytes: val } : { reason: val });
    });
  }

  /**
   * All files below the folder that match one of the globs, sorted; paths relative to the folder. `*`
   * stays within a folder, `**` + `/` crosses them. No glob means every file.
   */
  files(globs = []) {
    return this.list({ globs }).entries.filter((entry) => entry.kind === "file").map((entry) => entry.path);
  }

  /**
   * Entries below the folder, sorted; paths relative to the folder. A direct child has depth 1; 0 means
   * no limit. `limit` 0 means the host's. A folder that does not exist has no entries. Throws a
   * `PluginError` with the code `source.unreadable` for a broken glob or a folder that cannot be read.
   */
  list({ globs = [], maxDepth = 0, limit = 0 } = {}) {
    let listing;
    try {
      listing = call("source.listEntries", [{ under: this.#base, maxDepth, globs, limit }]);
    } catch (error) {
      if (error.reason === "not-found") return { entries: [], truncated: false };
      throw error instanceof HostError ? unreadable(this.#base || "the source", error.reason) : error;
    }
    const above = this.#base === "" ? 0 : this.#base.length + 1;
    const entries = listing.entries.map((entry) => ({ ...entry, path: entry.path.slice(above) }));
    return { entries, truncated: listing.truncated };
  }

  #answer(path) {
    this.prefetch([path]);
    return this.#read.get(path);
  }

  #full(path) {
    return this.#base === "" ? path : `${this.#base}/${path}`;
  }
}

function unreadable(shown, reason) {
  const why = WHY[reason] ?? reason;
  return new PluginError("source.unreadable", `${shown} cannot be read: ${why}`);
}
