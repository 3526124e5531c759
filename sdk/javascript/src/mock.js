// The host's side, natively, for tests of a plugin's logic.
//
// It keeps the rules of the real host: nothing outside the root is read, `.git` is not listed, only
// regular files are opened. What a custom stage may be granted is answered as the test says, and kept
// to be looked at; what the test gives no answer for is denied.

import { lstatSync, readFileSync, readdirSync, realpathSync, statSync } from "node:fs";
import { join, sep } from "node:path";

import { complete } from "./conform.js";
import { globToRegExp } from "./glob.js";
import { decodeUtf8 } from "./text.js";

/** The host's defaults for entries of one listing, and for bytes of one batch of reads. */
const LIST_ENTRIES_MAX = 50_000;
const READ_BYTES_MAX = 16 << 20;

/** Thrown where the contract's function answers with an error. */
function refuse(reason) {
  throw { payload: reason };
}

function reasonOf(error) {
  if (error?.payload !== undefined) return error.payload;
  if (["ENOENT", "ENOTDIR", "EISDIR"].includes(error?.code)) return "not-found";
  return error?.code === "EACCES" ? "denied" : "io";
}

function resolve(root, path) {
  if (path.startsWith("/") || path.includes("\0")) refuse("denied");
  const real = realpathSync(root);
  const found = realpathSync(join(real, path));
  if (found !== real && !found.startsWith(real.endsWith(sep) ? real : real + sep)) refuse("denied");
  return found;
}

function source(root) {
  return {
    readMany(paths, each) {
      let left = READ_BYTES_MAX;
      return paths.map((path) => {
        try {
          const file = resolve(root, path);
          const stat = statSync(file);
          if (!stat.isFile()) refuse("not-a-file");
          if (stat.size > Math.min(left, each || left)) refuse("too-large");
          left -= stat.size;
          return { tag: "ok", val: new Uint8Array(readFileSync(file)) };
        } catch (error) {
          return { tag: "err", val: reasonOf(error) };
        }
      });
    },
    listEntries({ under, maxDepth, globs, limit }) {
      try {
        const patterns = globs.map(globToRegExp);
        const base = under.replace(/^\/+|\/+$/g, "");
        const entries = walk(resolve(root, under), "", 1, maxDepth)
          .filter(({ path }) => patterns.length === 0 || patterns.some((pattern) => pattern.test(path)))
          .map((entry) => ({ ...entry, path: base === "" ? entry.path : `${base}/${entry.path}` }))
          .sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
        const most = Math.min(limit || LIST_ENTRIES_MAX, LIST_ENTRIES_MAX);
        return { entries: entries.slice(0, most), truncated: entries.length > most };
      } catch (error) {
        return refuse(reasonOf(error));
      }
    },
  };
}

function walk(at, below, depth, max) {
  return readdirSync(at).filter((name) => name !== ".git").flatMap((name) => {
    const full = join(at, name);
    const stat = lstatSync(full);
    const path = below === "" ? name : `${below}/${name}`;
    const entry = { path, kind: kindOf(stat), size: stat.isFile() ? stat.size : 0 };
    const deeper = stat.isDirectory() && (max === 0 || depth < max);
    return deeper ? [entry, ...walk(full, path, depth + 1, max)] : [entry];
  });
}

function kindOf(stat) {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "directory";
  return stat.isSymbolicLink() ? "symlink" : "other";
}

/**
 * A host for one call.
 * @param {string} root the source's folder
 * @param {object} answers what the test says: `images`, `commands`, `requests`, `cached`, `denied`
 * @returns its packages, and what the call does: `log`, `artifacts`, `annotations`, `commands`, `requests`, `cache`
 */
export function mockHost(root, answers) {
  const did = {
    log: [], artifacts: [], annotations: [], commands: [], requests: [], cache: new Map(answers.cached),
  };
  const check = (capability) => {
    if (answers.denied.has(capability)) {
      refuse({ reason: "denied", message: `${capability} is not granted` });
    }
  };
  const packages = {
    source: source(root),
    log: { write: (level, message, fields) => did.log.push({ level, message, fields: Object.fromEntries(fields) }) },
    images: { config: (reference) => answers.images[reference] ?? refuse("not-found") },
    exec: commands(answers, did, check),
    http: requests(answers, did, check),
    artifacts: artifacts(did, check),
    cache: cache(did, check),
    annotations: {
      set(annotation) {
        check("annotations");
        did.annotations = [...did.annotations.filter((one) => one.name !== annotation.name), annotation];
      },
    },
  };
  return { packages, did };
}

function commands(answers, did, check) {
  const run = (command) => {
    check("exec");
    did.commands.push(command);
    const fits = ([begin]) => begin.every((word, index) => command.argv[index] === word);
    const found = answers.commands.find(fits);
    if (found === undefined) {
      const message = `no answer was given for ${JSON.stringify(command.argv)}`;
      refuse({ reason: "denied", message });
    }
    return answered(found[1], "exec.exit");
  };
  return { run, spawn: (command) => new Finished(run(command)) };
}

/** What a test gave: a record, or a refusal with a `reason`. */
function answered(answer, type) {
  if (typeof answer.reason === "string") refuse({ message: "", ...answer });
  return complete(type, answer);
}

/** A command that has ended, whose lines are taken one after another. */
class Finished {
  constructor(exit) {
    this.exit = exit;
    this.left = [["stdout", exit.stdoutTail], ["stderr", exit.stderrTail]].flatMap(([pipe, bytes]) =>
      decodeUtf8(bytes).split("\n").filter((text, index, all) => text !== "" || index < all.length - 1)
        .map((text) => ({ pipe, text })),
    );
  }

  nextLines(linesMax) {
    const lines = this.left.splice(0, linesMax || this.left.length);
    return { lines, ended: this.left.length === 0, dropped: 0 };
  }

  wait() {
    return this.exit;
  }

  kill() {
    this.left = [];
  }
}

function requests(answers, did, check) {
  return {
    fetch(request) {
      check("http");
      did.requests.push(request);
      const fits = ([method, url]) => method === request.method && request.url.startsWith(url);
      const found = answers.requests.find(fits);
      if (found === undefined) {
        refuse({ reason: "denied", message: `no answer was given for ${request.method} ${request.url}` });
      }
      return answered(found[2].reason ? found[2] : { url: request.url, ...found[2] }, "http.response");
    },
  };
}

function artifacts(did, check) {
  return {
    attach(artifact, content) {
      check("artifacts");
      did.artifacts = did.artifacts.filter((one) => one.name !== artifact.name);
      did.artifacts.push({ ...artifact, content: Uint8Array.from(content) });
    },
    append(name, content) {
      const found = did.artifacts.find((one) => one.name === name);
      if (found === undefined) refuse({ reason: "not-found", message: `${name} was not attached by this call` });
      found.content = Uint8Array.from([...found.content, ...content]);
    },
  };
}

function cache(did, check) {
  return {
    get: (key) => did.cache.get(key),
    put(key, value) {
      check("cache");
      did.cache.set(key, value);
    },
    delete(key) {
      check("cache");
      did.cache.delete(key);
    },
  };
}
