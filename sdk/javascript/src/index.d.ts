// Types of `windlass-sdk`. What values mean is in the contract's types, see contract.d.ts.

import type {
  annotations as annotationTypes, artifacts as artifactTypes, builder as plans, custom, detector as detectors,
  exec as execTypes, health as healthTypes, http as httpTypes, images as imageTypes, migrator, rollout,
  source as sources, types,
} from "./contract.js";

export type * as contract from "./contract.js";

/** What the host gives: nothing is left out, and an option that is none is `null`. */
export type Complete<T> = T extends Uint8Array ? T
  : T extends Array<infer One> ? Array<Complete<One>>
  : T extends object ? { [K in keyof T]-?: Complete<T[K]> }
  : T;

export type Context = Complete<types.Context>;
export type Detection = Complete<types.Detection>;
export type Facts = Complete<custom.Facts>;
export type Input = Complete<custom.Input>;
export type Process = Complete<healthTypes.Process>;
export type Policy = Complete<healthTypes.Policy>;
export type Observation = Complete<healthTypes.Observation>;
export type State = Complete<rollout.State>;

/** What is this application? */
export interface Detector {
  /**
   * Looks at the source and says what it is, how sure that is, and what it nearly is: a detection,
   * several, a report, or `null`. A thrown `PluginError` fails the deployment: throw one only for a
   * source that is broken in a way that must be repaired first, and give a detection a `refusal` for
   * what is known and not supported.
   */
  detect(ctx: Context, source: Source): detectors.Report | types.Detection | types.Detection[] | null;
}

/** How is it built? */
export interface Builder {
  /** The plan for what this plugin detected. Throws a `PluginError` that says what is missing, with a hint. */
  plan(ctx: Context, source: Source, chosen: Detection): plans.BuildPlan;
}

/** How is its database migrated? */
export interface Migrator {
  /** The migrations that were found, each with the verdict to run it or leave it; `outputs` are the plan's. */
  plan(ctx: Context, source: Source, chosen: Detection, outputs: string[]): migrator.Migration[];
}

/** When is it healthy? What is left out is done as `health` does it. */
export interface Health {
  /** What to probe and how often. */
  policyFor?(ctx: Context, source: Source, chosen: Detection, processes: Process[]): healthTypes.Policy;
  /** The verdict over all that was seen so far, oldest first. There is no source to look at. */
  judge?(ctx: Context, policy: Policy, seen: Observation[]): healthTypes.Verdict;
}

/** How is traffic moved? */
export interface Rollout {
  /** What to do next, from what the two versions show. A thrown `PluginError` aborts the rollout. */
  next(ctx: Context, state: State): rollout.Decision;
}

/** Anything else, at a hook of the pipeline. Not pure: it may hold grants. */
export interface Custom {
  /** Runs one of the stages that the manifest declares. It may be run again for the same deployment. */
  run(stage: string, ctx: Context, source: Source, facts: Facts, inputs: Input[]): custom.Outcome;
}

/** A plugin's module: it exports the stages that it fills. */
export interface Plugin {
  detector?: Detector;
  builder?: Builder;
  migrator?: Migrator;
  health?: Health;
  rollout?: Rollout;
  custom?: Custom;
}

/** A failure on purpose: thrown by a stage, or given as the refusal of a detection. */
export class PluginError extends Error {
  /** `code` is stable and dot-separated, the first word naming the plugin: `node.lockfile-missing`. */
  constructor(code: string, message: string, more?: { hint?: string | null; retryable?: boolean });
  code: string;
  hint: string | null;
  retryable: boolean;
}

/** A refusal of the host. `reason` is the contract's: `not-found`, `denied`, ... */
export class HostError extends Error {
  constructor(call: string, reason: string, message: string);
  call: string;
  reason: string;
}

/** A report that says: nothing matched; this nearly did, and this is why not. */
export function nearMiss(id: string, reason: string): detectors.Report;
/** Notes for the builder of the same plugin, for `notesJson` of a detection. */
export function notes(value: unknown): string;
/** The notes in a detection. Throws a `PluginError` with the code `notes.invalid`. */
export function notesOf<T = any>(detection: types.Detection): T;
/** What the other stage has answered. Throws a `PluginError` with the code `inputs.invalid`. */
export function outputsOf<T = any>(input: custom.Input): T;
/**
 * A custom stage's answer: one line says what came of it; `outputs` go to stages that need it. `more` are
 * `schedules` and `withheld` of a stage at `after-build`.
 */
export function done(
  summary: string, outputs?: object, more?: Pick<custom.Outcome, "schedules" | "withheld">,
): custom.Outcome;
/** A command that the host runs at its times while this version is live; `more` has what is not as usual. */
export function schedule(
  name: string, cron: string, argv: string[], more?: Omit<custom.Schedule, "name" | "cron" | "argv">,
): custom.Schedule;
/** A custom stage's answer: there was nothing to do, for this reason. */
export function skipped(why: string): custom.Outcome;

/** A read-only view of the source below one folder; paths are relative to it, with forward slashes. */
export class Source {
  constructor(folder?: string);
  static of(ctx: Context): Source;
  /** The view from the folder that a detection names as the application's, else from the context's. */
  static ofChosen(ctx: Context, chosen: Detection): Source;
  /** The view from the source's root: for what a monorepo keeps there. */
  static root(): Source;
  /** Whether it is a readable file or a folder. */
  exists(path: string): boolean;
  /** Whether it is a regular file. */
  isFile(path: string): boolean;
  /** The bytes of a file. Throws a `HostError` with the reason. */
  read(path: string): Uint8Array;
  /** The text of a file, or `null`. Throws a `PluginError` with the code `source.unreadable`. */
  text(path: string): string | null;
  /** A JSON file, or `null`. Throws a `PluginError`: `source.unreadable`, `source.invalid-json`. */
  json<T = any>(path: string): T | null;
  /** Reads files in one host call; later reads of them ask no more. */
  prefetch(paths: string[]): void;
  /** All files that match one of the globs, sorted. `**` crosses folders, `*` does not. */
  files(globs?: string[]): string[];
  /** Entries, sorted. A direct child has depth 1; 0 means no limit, or the host's. */
  list(options?: { globs?: string[]; maxDepth?: number; limit?: number }): Complete<sources.Listing>;
}

/** The tables of `windlass.toml` that concern plugins; what is not set is `null` or empty. */
export interface Settings {
  build: {
    framework: string | null; install: string | null; command: string | null; output: string | null;
    toolchain: Record<string, string>; dockerfile: string | null; target: string | null;
    args: Record<string, string>;
  };
  run: {
    command: string | null; port: number | null; processes: Record<string, { command: string }>;
    volumes: string[];
  };
  migrate: { off: boolean; command: string | null };
  health: { path: string | null; status: string | null; timeout: string | null };
}

/** The settings in a context. Throws a `PluginError` with the code `settings.invalid`. */
export function settings(ctx: Context): Settings;
/** What was set for this plugin, or for this custom stage. Throws a `PluginError`: `options.invalid`. */
export function options<T = Record<string, any>>(ctx: Context): T;

/** Lines for the deployment's log. */
export namespace log {
  type Fields = Record<string, unknown>;
  function write(level: "debug" | "info" | "warn" | "error", message: string, fields?: Fields): void;
  function debug(message: string, fields?: Fields): void;
  function info(message: string, fields?: Fields): void;
  function warn(message: string, fields?: Fields): void;
  function error(message: string, fields?: Fields): void;
}

/** Names and values: a list of pairs, or an object. */
export type Table = Array<[string, string]> | Record<string, string>;

type More<T> = Partial<Omit<T, "env">> & { env?: Table };

/** Short ways to write a plan. */
export namespace plan {
  const base: {
    scratch(): plans.Base;
    step(id: string): plans.Base;
    image(reference: string): plans.Base;
    toolchains(versions: Record<string, string>): plans.Base;
  };
  const origin: {
    source(): plans.Origin;
    step(id: string): plans.Origin;
    image(reference: string): plans.Origin;
  };
  const mount: {
    cache(id: string, target: string, options?: Partial<plans.CacheMount>): plans.Mount;
    bind(target: string, options?: Partial<plans.BindMount>): plans.Mount;
    secret(name: string, options?: Partial<plans.SecretMount>): plans.Mount;
    tmpfs(target: string, options?: Partial<plans.TmpfsMount>): plans.Mount;
  };
  function toolchains(versions: Record<string, string>): types.Toolchain[];
  function keyValues(table: Table): types.KeyValues;
  function run(argv: string[], options?: More<plans.Run>): plans.Op;
  function shell(line: string, options?: More<plans.Run>): plans.Op;
  function copy(sources: string[], dest: string, options?: Partial<plans.CopyFiles>): plans.Op;
  function copyFrom(step: string, sources: string[], dest: string, options?: Partial<plans.CopyFiles>): plans.Op;
  function writeFile(path: string, content: Uint8Array, options?: Partial<plans.WriteFile>): plans.Op;
  function fetch(url: string, dest: string, options?: Partial<plans.Fetch>): plans.Op;
  function extract(archive: string, dest: string, options?: Partial<plans.Extract>): plans.Op;
  function place(paths: string[], dest: string, options?: Partial<plans.Place>): plans.Op;
  function makeDir(path: string, options?: Partial<plans.MakeDir>): plans.Op;

  /** A plan, put together piece by piece. A stage may return it as it is. */
  class Plan implements plans.BuildPlan {
    steps: plans.Step[];
    outputs: plans.Output[];
    processes: plans.Process[];
    toolchains: types.Toolchain[];
    step(id: string, name: string, from: plans.Base, ops: plans.Op[], options?: More<plans.Step>): this;
    image(name: string, step: string, config?: More<plans.RunConfig>): this;
    staticTree(name: string, step: string, root: string, options?: Partial<plans.StaticOutput>): this;
    web(name: string, output: string, argv: string[], ports?: number[]): this;
    worker(name: string, output: string, argv: string[]): this;
    uses(versions: Record<string, string>): this;
  }
}

/** The default health policy and the default judge. */
export namespace health {
  const PATHS: string[];
  function defaultPolicy(ctx: Context, processes: Process[], paths?: string[]): healthTypes.Policy;
  function defaultJudge(policy: Policy, seen: Observation[]): healthTypes.Verdict;
}

/** How a command ended. */
export type Ended = Complete<execTypes.Exit> & { success: boolean; stdout: string; stderr: string };

/** A command that runs; the end of the call ends it too. */
export interface Running {
  nextLines(linesMax?: number, waitMs?: number): Complete<execTypes.Batch>;
  eachLine(each: (line: execTypes.Line) => void): Ended;
  wait(): Ended;
  kill(): void;
}

type CommandOptions = Partial<Omit<execTypes.Command, "env" | "stdin" | "place" | "argv">>
  & { env?: Table; stdin?: string | Uint8Array };

/** Commands in a container. Needs the capability `exec`; throws a `HostError`. */
export const exec: {
  inOutput(output: string, argv: string[], options?: CommandOptions): execTypes.Command;
  inImage(image: string, argv: string[], options?: CommandOptions): execTypes.Command;
  run(command: execTypes.Command): Ended;
  spawn(command: execTypes.Command): Running;
};

/** Requests over HTTP and HTTPS. Needs the capability `http`; throws a `HostError`. */
export const http: {
  fetch(
    request: Partial<Omit<httpTypes.Request, "headers" | "body">>
      & { url: string; headers?: Table; body?: string | Uint8Array; json?: unknown },
  ): Complete<httpTypes.Response> & { ok: boolean; text: string; header(name: string): string | null };
  /** A failure with the code `http.failed`; worth another try unless it was denied. */
  failure(error: HostError): PluginError;
};

/** Files that are kept with the deployment. Needs the capability `artifacts`; throws a `HostError`. */
export const artifacts: {
  attach(artifact: Omit<artifactTypes.Artifact, "title"> & { title?: string }, content: string | Uint8Array): void;
};

/** A small store that outlives deployments. Needs the capability `cache`; without it it is empty. */
export const cache: {
  get(key: string): Uint8Array | null;
  put(key: string, value: string | Uint8Array): void;
  delete(key: string): void;
};

/** Short facts that are shown with the deployment. Needs the capability `annotations`. */
export const annotations: {
  set(name: string, value: unknown, options?: Partial<annotationTypes.Annotation>): void;
  /** The same; where it cannot be set, the log says why, and nothing else happens. */
  note(name: string, value: unknown, options?: Partial<annotationTypes.Annotation>): void;
};

/** What base images bring. */
export const images: {
  config(reference: string, platform: string): Complete<imageTypes.ImageConfig>;
};

/** Bytes as text; what is not UTF-8 is replaced. */
export function decodeUtf8(bytes: Uint8Array): string;
/** Text as bytes. */
export function encodeUtf8(text: string): Uint8Array;
