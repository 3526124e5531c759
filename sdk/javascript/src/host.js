// The host, as far as a plugin may use it: the component's imports, or a mock in tests.
//
// **Invariant: nothing else in the SDK knows which of the two it is.**

import { lift, lower, signature } from "./conform.js";
import { HostError } from "./error.js";

let packages = {};
let big = false;

/**
 * Sets what calls go to: the functions of each package, by its name.
 * @param {Record<string, Record<string, Function>>} to
 * @param {{ big?: boolean }} options `big`: 64-bit numbers are BigInts there
 * @returns what they went to before
 */
export function setHost(to, options = {}) {
  const before = [packages, { big }];
  packages = to;
  big = options.big ?? false;
  return before;
}

/** Whether 64-bit numbers are to be BigInts. */
export function takesBigInts() {
  return big;
}

/**
 * Calls a function of the host: `call("source.readMany", [paths, 0])`.
 *
 * Throws a `HostError` with the contract's reason, or a `TypeError` for arguments of the wrong shape.
 */
export function call(name, args) {
  const [from, func] = name.split(".");
  const { params, ok, err } = signature(name);
  const lowered = params.map((type, index) => lower(type, args[index], `${name}(${index + 1})`, big));
  const target = packages[from]?.[func];
  if (target === undefined) {
    const why = `it is not imported: add the capability ${JSON.stringify(from)} to the plugin's manifest`;
    throw new HostError(name, "denied", why);
  }
  let answer;
  try {
    answer = target(...lowered);
  } catch (thrown) {
    if (err === null) throw thrown;
    throw hostError(name, err, thrown);
  }
  return lift(ok, answer);
}

/** Some engines throw the error itself, others an exception that carries it. */
function hostError(name, type, thrown) {
  const carried = thrown?.payload ?? thrown;
  if (carried instanceof Error) return carried;
  const error = lift(type, carried);
  return typeof error === "string"
    ? new HostError(name, error, "")
    : new HostError(name, error.reason, error.message);
}
