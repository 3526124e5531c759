// Types of `windlass-sdk/testing`.

import type {
  annotations, artifacts, builder, custom, detector, exec, health, http, images, migrator, rollout, types,
} from "./contract.js";
import type { Complete, Context, Detection, HostError, Plugin, Source } from "./index.js";

/** An answer, or a refusal with the contract's reason. */
type Answer<T> = T | { reason: string; message?: string };

/** What a plugin is told beside the folder, and what a host would answer it. */
export interface Told extends Omit<types.Context, "configJson" | "optionsJson" | "variableNames"> {
  settings?: object;
  options?: object;
  /** Names. */
  variables?: string[];
  images?: Record<string, images.ImageConfig>;
  /** Beginnings of command lines with their answers, see `ended`; others are denied. */
  commands?: Array<[string[], Answer<exec.Exit>]>;
  /** Methods and beginnings of URLs with their answers, see `answered`; others are denied. */
  requests?: Array<[string, string, Answer<Omit<http.Response, "url"> & { url?: string }>]>;
  /** What the plugin's cache holds. */
  cached?: Record<string, string | Uint8Array>;
  /** Capabilities that were not granted. */
  denied?: string[];
}

/** A line that a call wrote. */
export interface LogLine {
  level: "debug" | "info" | "warn" | "error";
  message: string;
  fields: Record<string, string>;
}

/** What a custom stage returned, and what it has done, in order. */
export interface Ran {
  outcome: Complete<custom.Outcome>;
  log: LogLine[];
  artifacts: Array<artifacts.Artifact & { content: Uint8Array }>;
  annotations: Array<Complete<annotations.Annotation>>;
  commands: Array<Complete<exec.Command>>;
  requests: Array<Complete<http.Request>>;
  cache: Map<string, Uint8Array>;
}

/** Runs a plugin's logic on a folder, without WebAssembly. `plugin` is the plugin's module. */
export class Harness {
  constructor(folder: string, told?: Partial<Told>);
  context: Context;
  log: LogLine[];
  detect(plugin: Plugin): Complete<detector.Report>;
  plan(plugin: Plugin, chosen: types.Detection): Complete<builder.BuildPlan>;
  /** The strongest detection and the plan for it. Throws a `PluginError`: `test.nothing-detected`. */
  detectAndPlan(plugin: Plugin): { chosen: Detection; plan: Complete<builder.BuildPlan> };
  migrations(plugin: Plugin, chosen: types.Detection, outputs: string[]): Array<Complete<migrator.Migration>>;
  policy(plugin: Plugin, chosen: types.Detection, processes: health.Process[]): Complete<health.Policy>;
  judge(plugin: Plugin, policy: health.Policy, seen: health.Observation[]): Complete<health.Verdict>;
  next(plugin: Plugin, state: rollout.State): Complete<rollout.Decision>;
  custom(plugin: Plugin, stage: string, facts?: Partial<custom.Facts>, inputs?: custom.Input[]): Ran;
  /** Runs anything that reads a source on the folder, or uses what a plugin may use. */
  run<T>(work: (source: Source) => T): T;
}

/** A detection that says nothing but its id, for stages that are given one. */
export function detection(id: string, fields?: Partial<types.Detection>): Detection;
/** The answer of a command that ended with this status and wrote this to standard output. */
export function ended(code: number, stdout?: string): exec.Exit;
/** The answer of a server with this status and body. */
export function answered(status: number, body?: string, headers?: Record<string, string>): Omit<http.Response, "url">;

export type { HostError };
