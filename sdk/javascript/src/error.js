// Failures on purpose.

/**
 * A failure on purpose: thrown by a stage, or given as the refusal of a detection. `code` is stable
 * and dot-separated, the first word naming the plugin: `node.lockfile-missing`. `hint` says what the
 * person can do about it. What is `retryable` is not cached.
 */
export class PluginError extends Error {
  constructor(code, message, { hint = null, retryable = false } = {}) {
    super(message);
    this.code = code;
    this.hint = hint;
    this.retryable = retryable;
  }

  get name() {
    return "PluginError";
  }
}

/** A refusal of the host: what was asked for did not work. `reason` is the contract's. */
export class HostError extends Error {
  constructor(call, reason, message) {
    super(message ? `${call}: ${message}` : `${call}: ${reason}`);
    this.name = "HostError";
    this.call = call;
    this.reason = reason;
  }
}

/** What a stage throws, as the contract has it. */
export function errorRecord({ code, message, hint = null, retryable = false }) {
  return { code, message, hint, retryable };
}
