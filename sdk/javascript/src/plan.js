// Short ways to write a plan: bases, operations, mounts, and a builder that puts them together.
//
// All of them return plain data of the contract's shape; `options` are further fields of the record.

/** Where a step begins. */
export const base = {
  /** With nothing. */
  scratch: () => ({ tag: "scratch" }),
  /** With the result of another step, by its id. */
  step: (id) => ({ tag: "step", val: id }),
  /** With an image. */
  image: (reference) => ({ tag: "image", val: reference }),
  /** With toolchains, `{ node: "22" }`; which image brings them is the host's choice. */
  toolchains: (versions) => ({ tag: "toolchains", val: toolchains(versions) }),
};

/** Toolchains as a list: `{ node: ">=20" }`; `""` is the default version. */
export function toolchains(versions) {
  return Object.entries(versions).map(([name, requirement]) => ({ name, requirement }));
}

/** Names and values as the contract has them. */
export function keyValues(table) {
  return Array.isArray(table) ? table : Object.entries(table);
}

function withEnv(options) {
  return options.env === undefined ? options : { ...options, env: keyValues(options.env) };
}

/** Where a copy comes from. */
export const origin = {
  source: () => ({ tag: "source" }),
  step: (id) => ({ tag: "step", val: id }),
  image: (reference) => ({ tag: "image", val: reference }),
};

/** What a command sees beside its step. */
export const mount = {
  /** A cache of the project at this absolute path; used by one build at a time. */
  cache: (id, target, options = {}) => ({ tag: "cache", val: { id, target, ...options } }),
  /** The source, or with `fromStep` another step's result, read only. */
  bind: (target, options = {}) => ({ tag: "bind", val: { target, ...options } }),
  /** A secret variable, as a file (`target`) or in the environment (`env`). */
  secret: (name, options = {}) => ({ tag: "secret", val: { name, ...options } }),
  /** Memory that is gone with the command. */
  tmpfs: (target, options = {}) => ({ tag: "tmpfs", val: { target, ...options } }),
};

/** A command; no shell is implied, no network, no mounts. */
export function run(argv, options = {}) {
  return { tag: "run", val: { argv, ...withEnv(options) } };
}

/** A line for `/bin/sh -c`, for commands that people wrote. */
export function shell(line, options = {}) {
  return run(["/bin/sh", "-c", line], options);
}

/** A copy from the source: globs relative to the application's folder. */
export function copy(sources, dest, options = {}) {
  return { tag: "copy", val: { origin: origin.source(), sources, dest, ...options } };
}

/** A copy from the result of another step. */
export function copyFrom(step, sources, dest, options = {}) {
  return copy(sources, dest, { origin: origin.step(step), ...options });
}

/** A file with this content: bytes. */
export function writeFile(path, content, options = {}) {
  return { tag: "write-file", val: { path, content, ...options } };
}

/** A download to `dest`. */
export function fetch(url, dest, options = {}) {
  return { tag: "fetch", val: { url, dest, ...options } };
}

/** Unpacks an archive of the source, or of `options.origin`. */
export function extract(archive, dest, options = {}) {
  return { tag: "extract", val: { archive, dest, ...options } };
}

/** A copy by the rules of container build files. */
export function place(paths, dest, options = {}) {
  return { tag: "place", val: { paths, dest, ...options } };
}

/** A directory with its parents. */
export function makeDir(path, options = {}) {
  return { tag: "make-dir", val: { path, ...options } };
}

/** A plan, put together piece by piece. A stage may return it as it is. */
export class Plan {
  steps = [];
  outputs = [];
  processes = [];
  toolchains = [];

  /** One step more: its operations are done in order, in `/app`, as root, unless `options` say otherwise. */
  step(id, name, from, ops, options = {}) {
    this.steps.push({ id, name, base: from, ops, ...withEnv(options) });
    return this;
  }

  /** An output that is an image: the result of a step, with its configuration. */
  image(name, step, config = {}) {
    this.outputs.push({ name, artifact: { tag: "image", val: { step, config: withEnv(config) } } });
    return this;
  }

  /** An output that is files: the folder `root` in the result of a step. */
  staticTree(name, step, root, options = {}) {
    this.outputs.push({ name, artifact: { tag: "static-tree", val: { step, root, ...options } } });
    return this;
  }

  /** A process that answers requests, on these ports; none is the one that the host tells it in PORT. */
  web(name, output, argv, ports = []) {
    this.processes.push({ name, output, kind: "web", argv, ports });
    return this;
  }

  /** A process that does not. */
  worker(name, output, argv) {
    this.processes.push({ name, output, kind: "worker", argv });
    return this;
  }

  /** The versions that were chosen, so that the next deployment keeps to them. */
  uses(versions) {
    this.toolchains.push(...toolchains(versions));
    return this;
  }
}
