// What a custom stage may use where it was granted: commands, requests, artifacts, a cache, annotations.
//
// Each needs the capability of its name in the manifest. What is not granted throws a `HostError` with
// the reason `denied`, and the cache is empty.

import { lift } from "./conform.js";
import { HostError, PluginError } from "./error.js";
import { call } from "./host.js";
import * as log from "./log.js";
import { keyValues } from "./plan.js";
import { asBytes, decodeUtf8 } from "./text.js";

/** Bytes that are passed at once: below what a host takes in one call. */
const PIECE_BYTES = 1 << 20;

function command(place, argv, { env = [], stdin = "", ...rest }) {
  return { place, argv, env: keyValues(env), stdin: asBytes(stdin), ...rest };
}

function ended(exit) {
  return {
    ...exit,
    success: exit.code === 0 && !exit.timedOut && !exit.outOfMemory,
    stdout: decodeUtf8(exit.stdoutTail),
    stderr: decodeUtf8(exit.stderrTail),
  };
}

/** Commands in a container: of an output of the build, or of an image. */
export const exec = {
  /** A command in an output of the build, by its name; no shell is implied. */
  inOutput: (output, argv, options = {}) => command({ tag: "output", val: output }, argv, options),
  /** A command in an image that the host pulls; no shell is implied. */
  inImage: (image, argv, options = {}) => command({ tag: "image", val: image }, argv, options),
  /** Runs a command to its end. An exit that is not zero is an answer. */
  run: (wanted) => ended(call("exec.run", [wanted])),
  /** Begins a command; its lines are read while it runs. `Symbol.dispose`, or the end of the call, ends it. */
  spawn: (wanted) => new Running(call("exec.spawn", [wanted])),
};

/** A command that runs. */
class Running {
  #process;

  constructor(process) {
    this.#process = process;
  }

  /** Waits up to `waitMs` for its next lines, at most `linesMax`; 0 for the host's number. */
  nextLines(linesMax = 0, waitMs = 10_000) {
    return lift({ ref: "exec.batch" }, this.#process.nextLines(linesMax, waitMs));
  }

  /** Gives each line to `each` until the command has ended; how it ended. */
  eachLine(each) {
    for (;;) {
      const batch = this.nextLines();
      batch.lines.forEach(each);
      if (batch.ended) return this.wait();
    }
  }

  /** Waits for its end. */
  wait() {
    return ended(lift({ ref: "exec.exit" }, this.#process.wait()));
  }

  /** Ends it. */
  kill() {
    this.#process.kill();
  }
}

/** Requests over HTTP and HTTPS. */
export const http = {
  /**
   * Sends a request: `{ method, url, headers, body, secretNames, ... }`. `headers` may be an object,
   * `body` a string, `json` anything in its place. Every status is an answer, with `ok` (200 to 299),
   * `text` and `header(name)`, the first value of a header by its name in lower case.
   *
   * Throws a `HostError`; `http.failure(error)` makes a failure of the plugin of it.
   */
  fetch({ headers = [], body = "", json = undefined, ...rest }) {
    const sent = keyValues(headers);
    if (json !== undefined) sent.push(["content-type", "application/json"]);
    const bytes = asBytes(json === undefined ? body : JSON.stringify(json));
    const answer = call("http.fetch", [{ headers: sent, body: bytes, ...rest }]);
    const { status } = answer;
    const found = (name) => answer.headers.find(([known]) => known === name)?.[1] ?? null;
    return { ...answer, ok: status >= 200 && status < 300, text: decodeUtf8(answer.body), header: found };
  },
  /** As a failure of the plugin with the code `http.failed`; worth another try unless it was denied. */
  failure(error) {
    const retryable = !["denied", "invalid", "too-large", "over-limit"].includes(error.reason);
    return new PluginError("http.failed", error.message, { retryable });
  },
};

/** Files that are kept with the deployment. */
export const artifacts = {
  /** Attaches a file of any length, in place of an earlier one of its name. */
  attach({ title = undefined, ...artifact }, content) {
    const bytes = asBytes(content);
    const whole = { ...artifact, title: title ?? artifact.name };
    call("artifacts.attach", [whole, bytes.subarray(0, PIECE_BYTES)]);
    for (let at = PIECE_BYTES; at < bytes.length; at += PIECE_BYTES) {
      call("artifacts.append", [artifact.name, bytes.subarray(at, at + PIECE_BYTES)]);
    }
  },
};

/** A small store that outlives deployments, of this plugin in this project. */
export const cache = {
  /** The bytes under a key, or `null`. */
  get: (key) => {
    try {
      return call("cache.get", [key]);
    } catch (error) {
      if (error instanceof HostError) return null;
      throw error;
    }
  },
  /** Puts bytes or text under a key. */
  put: (key, value) => call("cache.put", [key, asBytes(value)]),
  /** Forgets a key. */
  delete: (key) => call("cache.delete", [key]),
};

/** Short facts that are shown with the deployment. */
export const annotations = {
  /** Sets a fact, in place of an earlier one of its name; `options` are `tone` and `url`. */
  set: (name, value, options = {}) => call("annotations.set", [{ name, value: String(value), ...options }]),
  /** The same; where it cannot be set, the log says why, and nothing else happens. */
  note(name, value, options = {}) {
    try {
      this.set(name, value, options);
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      log.debug(`${name} was not noted: ${error.message}`);
    }
  },
};

/** What base images bring. */
export const images = {
  /** The configuration of an image, which the host looks up and pins. Throws a `HostError`. */
  config: (reference, platform) => call("images.config", [reference, platform]),
};
