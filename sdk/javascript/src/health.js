// The default health policy and the default judge: the same rules as in the SDK for Rust.
//
// Where no path is set and an image says itself how its process is asked, that command is the probe.
// Else a 2xx after at most three redirects on the same host passes. Where no path is set, `/health`,
// `/healthz` and `/` are tried in this order: a 404 moves on to the next, and fails only when all of them
// are 404; there an application also passes that sends elsewhere or refuses the request, for it answers.
// An exit or an end for lack of memory fails at once; everything else waits for the budget. Without a web
// process workers must stay up for a while.

import { PluginError } from "./error.js";
import { settings } from "./settings.js";

/** Statuses that pass where the settings name a path, and where they do not. */
const PASSES = "200-299";
const ANSWERS = "200-299, 301-303, 307-308, 400, 401, 403, 405";
/** Requests look as they do behind the proxy: an application that wants TLS would redirect each. */
const HEADERS = [["x-forwarded-proto", "https"]];
/** Tried where the settings name no path. */
export const PATHS = ["/health", "/healthz", "/"];
const BUDGET_MS = 300_000;
const BUDGET_MS_MAX = 3_600_000;
const STAYS_UP_MS = 5_000;
/** How long nothing but a wrong address may be seen before that is taken for final. */
const WRONG_ADDRESS_MS = 10_000;

/**
 * The default policy, with the `[health]` settings of the context applied. Throws a `PluginError` with
 * one of the codes `health.path-invalid`, `health.status-invalid`, `health.timeout-invalid`,
 * `settings.invalid`.
 */
export function defaultPolicy(ctx, processes, paths = PATHS) {
  const health = settings(ctx).health;
  const web = processes.find((process) => process.web);
  const checks = processes.map(asked).filter((one) => one !== null);
  const most = (field) => Math.max(0, ...checks.map(({ check }) => check[field]));
  const usualBudget = Math.min(most("startPeriodMs") + BUDGET_MS, BUDGET_MS_MAX);
  return {
    probes: probesOf(processes, web, health.path, checks.length > 0, paths),
    passStatus: statuses(health.status ?? (health.path === null ? ANSWERS : PASSES)),
    firstAfterMs: 20,
    intervalMinMs: 10,
    intervalMaxMs: 1_000,
    timeoutMs: most("timeoutMs") || 5_000,
    budgetMs: health.timeout === null ? usualBudget : durationMs(health.timeout),
  };
}

function probesOf(processes, web, path, checks, paths) {
  if (web !== undefined && path !== null) return [http(web, checkedPath(path))];
  if (checks) return processes.flatMap((process) => ownOrUsual(process, web, paths));
  if (web !== undefined) return paths.map((one) => http(web, one));
  return processes.map(staysUp);
}

/** The check that a process's image brings, with its command; a check of `NONE` is none. */
function asked({ check }) {
  const [kind, ...rest] = check?.test ?? [];
  if (kind === "CMD" && rest.length > 0) return { check, argv: rest };
  if (kind === "CMD-SHELL" && rest.length === 1) return { check, argv: ["/bin/sh", "-c", rest[0]] };
  return null;
}

/** A process's own check, or what it would be asked without one. */
function ownOrUsual(process, web, paths) {
  const own = asked(process);
  if (own !== null) return [{ tag: "command", val: { process: process.name, argv: own.argv } }];
  if (process.web) return paths.map((path) => http(process, path));
  return web === undefined ? [staysUp(process)] : [];
}

function http(web, path) {
  return {
    tag: "http",
    val: { process: web.name, port: web.port, path, headers: HEADERS, redirectsMax: 3 },
  };
}

function staysUp(worker) {
  return { tag: "stays-up", val: { process: worker.name, staysUpMs: STAYS_UP_MS } };
}

function checkedPath(path) {
  if (path.startsWith("/") && !/[\s\u0000-\u001f\u007f]/.test(path)) return path;
  const hint = 'start it with a slash, for example path = "/up"';
  throw new PluginError("health.path-invalid", `health.path ${JSON.stringify(path)} is not a path`, { hint });
}

function statuses(text) {
  return text.split(",").map((part) => {
    const [, first, last = first] = /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(part) ?? [];
    const range = { first: Number(first), last: Number(last) };
    if (range.first >= 100 && range.first <= range.last && range.last <= 599) return range;
    const hint = 'write one or more statuses or ranges: status = "200-299" or "200,204"';
    throw new PluginError("health.status-invalid", `health.status ${JSON.stringify(text)} does not read`, { hint });
  });
}

const UNITS = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000 };

function durationMs(text) {
  const [, number, unit] = /^\s*(\d+)\s*([a-zA-Z]+)\s*$/.exec(text) ?? [];
  const ms = Number(number) * (UNITS[unit] ?? Number.NaN);
  if (ms > 0 && ms <= 2 ** 32 - 1) return ms;
  const hint = 'write a number and a unit: timeout = "300s" or "5m"';
  throw new PluginError("health.timeout-invalid", `health.timeout ${JSON.stringify(text)} does not read`, { hint });
}

/**
 * The default judge, over all that was seen so far, oldest first. Every process that the policy names
 * must have passed one of its probes; the HTTP probes of one process are alternatives in their order.
 */
export function defaultJudge(policy, seen) {
  const last = seen.at(-1);
  if (last === undefined) return { tag: "wait" };
  const probe = policy.probes[last.probe];
  if (probe === undefined) return fail(`probe ${last.probe} is not in the policy`);
  const { process } = probe.val;
  const { tag, val } = last.outcome;
  if (tag === "exited") return fail(`${process} exited with status ${val} before it was healthy`);
  if (tag === "out-of-memory") return fail(`${process} was killed because it ran out of memory`);
  if (passes(policy, last.outcome)) return afterPass(policy, seen);
  if (tag === "status" && val === 404) {
    const verdict = afterNotFound(policy, seen, last, process);
    if (verdict !== null) return verdict;
  }
  if (tag === "wrong-address" && onlyWrongAddress(seen)) return fail(said(probe, last.outcome));
  if (last.atMs + last.tookMs >= policy.budgetMs) {
    const seconds = Math.floor(policy.budgetMs / 1_000);
    return fail(`not healthy after ${seconds} s: ${said(probe, last.outcome)}`);
  }
  return { tag: "wait" };
}

function fail(why) {
  return { tag: "fail", val: why };
}

function passes(policy, { tag, val }) {
  if (tag === "ok") return true;
  return tag === "status" && policy.passStatus.some(({ first, last }) => first <= val && val <= last);
}

/** All processes passed, or on to the next one. */
function afterPass(policy, seen) {
  const passed = new Set(
    seen.filter((one) => passes(policy, one.outcome)).map((one) => policy.probes[one.probe]?.val.process),
  );
  return { tag: policy.probes.every((probe) => passed.has(probe.val.process)) ? "pass" : "next" };
}

/**
 * A 404 moves on to the next alternative. With a single one there is no other place to look: the
 * application may still be starting, so only the budget ends it.
 */
function afterNotFound(policy, seen, last, process) {
  const alternatives = policy.probes
    .map((probe, index) => ({ probe, index }))
    .filter(({ probe }) => probe.tag === "http" && probe.val.process === process);
  if (alternatives.length < 2) return null;
  const notFound = ({ index }) => {
    const newest = seen.findLast((one) => one.probe === index)?.outcome;
    return newest?.tag === "status" && newest.val === 404;
  };
  if (alternatives.every(notFound)) {
    const paths = alternatives.map(({ probe }) => probe.val.path).join(", ");
    return fail(`${process} answers 404 on ${paths}: set health.path to one that exists`);
  }
  return alternatives.some(({ index }) => index > last.probe) ? { tag: "next" } : null;
}

function onlyWrongAddress(seen) {
  const before = seen.findLastIndex((one) => one.outcome.tag !== "wrong-address");
  const wrong = seen.slice(before + 1);
  return wrong.length > 0 && wrong.at(-1).atMs - wrong[0].atMs >= WRONG_ADDRESS_MS;
}

function said(probe, outcome) {
  const { process } = probe.val;
  const asked = {
    http: () => `GET ${probe.val.path}`,
    tcp: () => "a connection",
    command: () => probe.val.argv.join(" "),
    "stays-up": () => `staying up for ${probe.val.staysUpMs} ms`,
  }[probe.tag]();
  return `${process}: ${asked} ${SAW[outcome.tag](outcome.val)}`;
}

const REDIRECTS = [301, 302, 303, 307, 308];
const SAW = {
  status: (status) =>
    REDIRECTS.includes(status)
      ? `was answered with status ${status}, which leads to another host, or to https although the ` +
        "request says x-forwarded-proto: https"
      : `was answered with status ${status}`,
  ok: () => "worked",
  refused: () => "was refused: nothing listens on the port it is told in PORT",
  reset: () => "was cut off",
  timeout: () => "had no answer in time",
  exited: (code) => `ended with status ${code}`,
  "command-failed": (code) => `ended with status ${code}`,
  "out-of-memory": () => "ran out of memory",
  "wrong-address": () =>
    "did not reach it: it listens only on the loopback address or on another port; listen on 0.0.0.0 " +
    "and the port given in PORT",
};
