// Values against the contract: what an author wrote becomes what the component passes, and back.
//
// Engines say nothing helpful, or nothing at all, about a value of the wrong shape; this does. What
// has a usual value may be left out. An option that is none is `null`, on both sides.

import { FUNCTIONS, TYPES } from "./contract.js";

const RANGES = {
  u8: [0, 2 ** 8 - 1],
  u16: [0, 2 ** 16 - 1],
  u32: [0, 2 ** 32 - 1],
  u64: [0, Number.MAX_SAFE_INTEGER],
  s8: [-(2 ** 7), 2 ** 7 - 1],
  s16: [-(2 ** 15), 2 ** 15 - 1],
  s32: [-(2 ** 31), 2 ** 31 - 1],
  s64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

/** A value that is not of the contract's shape: the plugin's fault. */
export class ShapeError extends TypeError {
  constructor(path, expected, value) {
    super(`${path}: expected ${expected}, found ${shown(value)}`);
    this.name = "ShapeError";
  }
}

function shown(value) {
  if (value === null || value === undefined) return String(value);
  if (value instanceof Promise) return "a promise (stages are synchronous)";
  if (typeof value === "function") return "a function";
  if (typeof value !== "object") return `${typeof value} ${JSON.stringify(String(value))}`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return `an object with ${Object.keys(value).join(", ") || "no fields"}`;
}

/**
 * A value as the contract has it: checked, complete.
 * @param {any} type as in contract.js
 * @param {any} value
 * @param {string} path how messages call it
 * @param {boolean} big whether 64-bit numbers are to be BigInts: what some engines take
 */
export function lower(type, value, path, big = false) {
  if (type === null) return undefined;
  if (typeof type === "string") return primitive(type, value, path, big);
  if (type.list === "u8") return bytes(value, path);
  if (type.list !== undefined) {
    if (!Array.isArray(value)) throw new ShapeError(path, "a list", value);
    return value.map((one, index) => lower(type.list, one, `${path}[${index}]`, big));
  }
  if (type.option !== undefined) {
    return value === null || value === undefined ? undefined : lower(type.option, value, path, big);
  }
  if (type.tuple !== undefined) {
    if (!Array.isArray(value) || value.length !== type.tuple.length) {
      throw new ShapeError(path, `a list of ${type.tuple.length}`, value);
    }
    return type.tuple.map((one, index) => lower(one, value[index], `${path}[${index}]`, big));
  }
  if (type.result !== undefined) {
    const { tag, val } = value ?? {};
    if (tag !== "ok" && tag !== "err") throw new ShapeError(path, '{ tag: "ok" | "err", val }', value);
    return { tag, val: lower(type.result[tag === "ok" ? 0 : 1], val, `${path}.val`, big) };
  }
  return named(type.ref, value, path, big);
}

function primitive(type, value, path, big) {
  if (type === "string" || type === "char") {
    if (typeof value !== "string") throw new ShapeError(path, "a string", value);
    return value;
  }
  if (type === "bool") {
    if (typeof value !== "boolean") throw new ShapeError(path, "true or false", value);
    return value;
  }
  const number = typeof value === "bigint" ? Number(value) : value;
  if (type === "f32" || type === "f64") {
    if (typeof number !== "number") throw new ShapeError(path, "a number", value);
    return number;
  }
  const [least, most] = RANGES[type];
  if (!Number.isInteger(number) || number < least || number > most) {
    throw new ShapeError(path, `a whole number from ${least} to ${most}`, value);
  }
  return big && (type === "u64" || type === "s64") ? BigInt(number) : number;
}

function bytes(value, path) {
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return Uint8Array.from(value, (one) => primitive("u8", one, path, false));
  throw new ShapeError(path, "a Uint8Array", value);
}

function named(ref, value, path, big) {
  const type = TYPES[ref];
  const name = ref.split(".")[1];
  if (type.kind === "resource") return value;
  if (type.kind === "alias") return lower(type.type, value, path, big);
  if (type.kind === "enum") {
    if (type.cases.includes(value)) return value;
    throw new ShapeError(path, `one of ${type.cases.map((one) => JSON.stringify(one)).join(", ")}`, value);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value) || value instanceof Promise) {
    throw new ShapeError(path, `an object (${name})`, value);
  }
  return type.kind === "variant" ? variant(type, value, path, big) : record(type, name, value, path, big);
}

function variant(type, value, path, big) {
  if (!Object.hasOwn(type.cases, value.tag)) {
    const cases = Object.keys(type.cases).map((one) => JSON.stringify(one));
    throw new ShapeError(path, `{ tag, val } with a tag of ${cases.join(", ")}`, value);
  }
  const inner = type.cases[value.tag];
  if (inner === null) return { tag: value.tag };
  return { tag: value.tag, val: lower(inner, value.val, `${path}.${value.tag}`, big) };
}

function record(type, name, value, path, big) {
  const unknown = Object.keys(value).find((key) => !type.fields.some((field) => field.name === key));
  if (unknown !== undefined) {
    const known = type.fields.map((field) => field.name).join(", ");
    throw new TypeError(`${path}: ${name} has no field ${unknown}; it has ${known}`);
  }
  const lowered = {};
  for (const field of type.fields) {
    const given = value[field.name];
    const one = given === undefined ? field.usual : given;
    lowered[field.name] = lower(field.type, one, `${path}.${field.name}`, big);
  }
  return lowered;
}

/** A value of the host as authors see it: no BigInts, `null` for options that are none. */
export function lift(type, value) {
  if (type === null) return undefined;
  if (typeof type === "string") return typeof value === "bigint" ? Number(value) : value;
  if (type.list === "u8") return value instanceof Uint8Array ? value : Uint8Array.from(value);
  if (type.list !== undefined) return Array.from(value, (one) => lift(type.list, one));
  if (type.option !== undefined) return value === null || value === undefined ? null : lift(type.option, value);
  if (type.tuple !== undefined) return type.tuple.map((one, index) => lift(one, value[index]));
  if (type.result !== undefined) {
    return { tag: value.tag, val: lift(type.result[value.tag === "ok" ? 0 : 1], value.val) };
  }
  const known = TYPES[type.ref];
  if (known.kind === "alias") return lift(known.type, value);
  if (known.kind === "variant") {
    const inner = known.cases[value.tag];
    return inner === null ? { tag: value.tag } : { tag: value.tag, val: lift(inner, value.val) };
  }
  if (known.kind !== "record") return value;
  return Object.fromEntries(known.fields.map((field) => [field.name, lift(field.type, value[field.name])]));
}

/** A value of a type by its name, complete: `complete("types.context", {})`. */
export function complete(ref, value) {
  const type = { ref };
  return lift(type, lower(type, value, ref.split(".")[1]));
}

/** Parameters and result of a function, by package and name. */
export function signature(name) {
  const { params, result } = FUNCTIONS[name];
  const [ok, err] = result?.result ?? [result, null];
  return { params, ok, err };
}
