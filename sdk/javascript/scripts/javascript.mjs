// The contract for JavaScript: data that values are checked against, and types for TypeScript.

import { defaultOf } from "./wit.mjs";

const HEADER = "// Written by scripts/contract.mjs from the WIT files. Do not edit.\n";

export const camel = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
export const pascal = (name) => camel(`-${name}`);

/** The files and their texts, relative to `src`. */
export function javascriptFiles(packages) {
  return [["contract.js", data(packages)], ["contract.d.ts", declarations(packages)]];
}

function data(packages) {
  const versions = {};
  const types = {};
  const functions = {};
  for (const [name, one] of Object.entries(packages)) {
    versions[name] = one.version;
    for (const [type, def] of Object.entries(one.types)) {
      types[`${name}.${type}`] = definition(`${name}.${type}`, def);
    }
    for (const [func, { params, result }] of Object.entries(one.functions)) {
      functions[`${name}.${func}`] = { params: params.map(({ type }) => type), result };
    }
  }
  const lines = (table) =>
    Object.entries(table).map(([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)},\n`).join("");
  return `${HEADER}
/** Versions of the packages: the only place of this SDK that names them. */
export const VERSIONS = {
${lines(versions)}};

/** Types by package and name; fields and functions are named as in JavaScript. */
export const TYPES = {
${lines(types)}};

/** Types of parameters and results, by package and function. */
export const FUNCTIONS = {
${lines(Object.fromEntries(Object.entries(functions).map(([key, value]) => [key.replace(/[^.]*$/, camel), value])))}};
`;
}

function definition(owner, def) {
  if (def.kind === "record") {
    const fields = def.fields.map((field) => {
      const usual = defaultOf(owner, field);
      const one = { name: camel(field.name), type: field.type };
      return usual === undefined ? one : { ...one, usual };
    });
    return { kind: "record", fields };
  }
  if (def.kind === "variant") {
    return { kind: "variant", cases: Object.fromEntries(def.cases.map(({ name, type }) => [name, type])) };
  }
  if (def.kind === "enum") return { kind: "enum", cases: def.cases };
  if (def.kind === "alias") return { kind: "alias", type: def.type };
  return { kind: "resource" };
}

function declarations(packages) {
  const spaces = Object.values(packages).map((one) => {
    const types = Object.entries(one.types).map(([name, def]) => declaration(one.name, name, def));
    return `${docs(one.docs, "")}export namespace ${camel(one.name)} {\n${types.join("\n")}}\n`;
  });
  return `${HEADER}
// What the host gives is complete; what an answer leaves out, where that is allowed, has its usual value.

${spaces.join("\n")}`;
}

function declaration(space, name, def) {
  const head = docs(def.docs, "  ");
  const type = pascal(name);
  if (def.kind === "alias") return `${head}  type ${type} = ${written(def.type, space)};\n`;
  if (def.kind === "enum") {
    return `${head}  type ${type} = ${def.cases.map((one) => JSON.stringify(one)).join(" | ")};\n`;
  }
  if (def.kind === "resource") return `${head}  type ${type} = object;\n`;
  if (def.kind === "variant") {
    const cases = def.cases.map((one) => {
      const value = one.type === null ? "val?: undefined" : `val: ${written(one.type, space)}`;
      return `\n    | { tag: ${JSON.stringify(one.name)}; ${value} }`;
    });
    return `${head}  type ${type} =${cases.join("")};\n`;
  }
  const fields = def.fields.map((field) => {
    const optional = defaultOf(`${space}.${name}`, field) === undefined ? "" : "?";
    return `${docs(field.docs, "    ")}    ${camel(field.name)}${optional}: ${written(field.type, space)};\n`;
  });
  return `${head}  interface ${type} {\n${fields.join("")}  }\n`;
}

function docs(lines, indent) {
  if (lines.length === 0) return "";
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}\n`).join("")}${indent} */\n`;
}

function written(type, space) {
  if (type === null) return "undefined";
  if (type === "string" || type === "char") return "string";
  if (type === "bool") return "boolean";
  if (typeof type === "string") return "number";
  if (type.list === "u8") return "Uint8Array";
  if (type.list !== undefined) return `Array<${written(type.list, space)}>`;
  if (type.option !== undefined) return `${written(type.option, space)} | null`;
  if (type.tuple !== undefined) return `[${type.tuple.map((one) => written(one, space)).join(", ")}]`;
  if (type.result !== undefined) {
    const [ok, err] = type.result.map((one) => written(one, space));
    return `{ tag: "ok"; val: ${ok} } | { tag: "err"; val: ${err} }`;
  }
  const [from, name] = type.ref.split(".");
  return from === space ? pascal(name) : `${camel(from)}.${pascal(name)}`;
}
