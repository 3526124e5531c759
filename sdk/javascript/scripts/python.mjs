// The contract for Python: a module of dataclasses for each package.

import { defaultOf } from "./wit.mjs";
import { pascal } from "./javascript.mjs";

const KEYWORDS = new Set(["class", "def", "from", "global", "import", "in", "is", "not", "pass", "return"]);

/** A name as Python writes it; what is a keyword there ends in `_`. */
export const snake = (name) => {
  const plain = name.replaceAll("-", "_");
  return KEYWORDS.has(plain) ? `${plain}_` : plain;
};

/** The files and their texts, relative to `contract`. */
export function pythonFiles(packages) {
  const modules = Object.values(packages).map((one) => [`${snake(one.name)}.py`, module(one, packages)]);
  return [["__init__.py", overview(packages)], ...modules];
}

const HEADER = "# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.\n";

function overview(packages) {
  const versions = Object.values(packages).map((one) => `    "${one.name}": "${one.version}",\n`).join("");
  const functions = Object.values(packages).flatMap((one) =>
    Object.entries(one.functions).map(([name, { result }]) => {
      const [ok] = result?.result ?? [result];
      return `    "${one.name}.${name}": ${JSON.stringify(hint(ok, null))},\n`;
    }),
  );
  return `${HEADER}"""The contract's types, a module for each package."""

#: Versions of the packages: the only place of this SDK that names them.
VERSIONS = {
${versions}}

#: By package and function: the type of the result, where it does not fail.
RESULTS = {
${functions.join("")}}
`;
}

function module(one, packages) {
  const space = snake(one.name);
  const types = Object.entries(one.types);
  const used = new Set();
  const collect = (type) => {
    if (type === null || typeof type === "string") return;
    if (type.ref) used.add(type.ref.split(".")[0]);
    for (const inner of [type.list, type.option, ...(type.tuple ?? []), ...(type.result ?? [])]) {
      if (inner !== undefined) collect(inner);
    }
  };
  for (const [, def] of types) {
    for (const part of [...(def.fields ?? []), ...(def.cases ?? []), def]) collect(part.type ?? null);
  }
  used.delete(one.name);
  const bodies = types.map(([name, def]) => declaration(space, name, def, packages));
  const text = bodies.join("\n\n");
  const needs = (word) => new RegExp(`\\b${word}\\b`).test(text);
  const imports = ["from __future__ import annotations\n"];
  const dataclasses = ["dataclass", "field"].filter(needs).join(", ");
  if (dataclasses) imports.push(`from dataclasses import ${dataclasses}`);
  if (needs("Enum")) imports.push("from enum import Enum");
  if (needs("Any")) imports.push("from typing import Any");
  const local = [...used].sort().map((name) => `from . import ${snake(name)}`);
  const head = [imports.join("\n"), local.join("\n")].filter(Boolean).join("\n\n");
  const about = one.docs.length > 0 ? one.docs.join("\n") : `The package \`windlass:${one.name}\`.`;
  return `${HEADER}${quoted(about, "")}${head}\n\n\n${text}`.trimEnd() + "\n";
}

function quoted(text, indent) {
  const lines = text.split("\n");
  const several = lines.length > 1 || text.endsWith('"');
  const body = several ? `${lines.join(`\n${indent}`)}\n${indent}` : text;
  return `${indent}"""${body.replaceAll("\\", "\\\\")}"""\n\n`;
}

function declaration(space, name, def, packages) {
  const type = pascal(name);
  if (def.kind === "alias") return `${comment(def.docs)}${type} = ${hint(def.type, space)}\n`;
  const about = quoted(def.docs.join("\n") || `\`${name}\` of the contract.`, "    ");
  if (def.kind === "resource") return `class ${type}:\n${about}`;
  if (def.kind === "enum") {
    const cases = def.cases.map((one) => `    ${snake(one).toUpperCase().replace(/_$/, "")} = "${one}"\n`);
    return `class ${type}(Enum):\n${about}${cases.join("")}`;
  }
  if (def.kind === "variant") return variant(space, type, def, about);
  const owner = `${space.replaceAll("_", "-")}.${name}`;
  // A failure is raised, so that its record is an exception.
  const raised = owner === "types.plugin-error";
  let optional = false;
  const fields = def.fields.map((field) => {
    const usual = defaultOf(owner, field);
    const late = usual === undefined && optional;
    optional ||= usual !== undefined;
    const value = late ? " = field(kw_only=True)" : initial(usual, field.type, space, packages);
    return `${comment(field.docs, "    ")}    ${snake(field.name)}: ${hint(field.type, space)}${value}\n`;
  });
  const head = raised ? `@dataclass(unsafe_hash=True)\nclass ${type}(Exception):` : `@dataclass\nclass ${type}:`;
  return `${head}\n${about}${fields.join("")}`;
}

function variant(space, type, def, about) {
  const cases = def.cases.map((one) => {
    const method = snake(one.name);
    const param = one.type === null ? "cls" : `cls, value: ${hint(one.type, space)}`;
    const args = one.type === null ? `"${one.name}"` : `"${one.name}", value`;
    const said = one.docs.length > 0 ? one.docs.join(" ") : `The case \`${one.name}\`.`;
    return `\n    @classmethod\n    def ${method}(${param}) -> ${type}:\n        """${said}"""\n        return cls(${args})\n`;
  });
  const table = def.cases.map((one) => `"${one.name}": ${one.type === null ? "None" : JSON.stringify(hint(one.type, space))}`);
  return `@dataclass(frozen=True)\nclass ${type}:\n${about}    tag: str\n    value: Any = None\n${cases.join("")}\n\n${type}.CASES = {${table.join(", ")}}  # type: ignore[attr-defined]\n`;
}

function comment(lines, indent = "") {
  return lines.map((line) => `${indent}#: ${line}\n`).join("");
}

function initial(usual, type, space, packages) {
  if (usual === undefined) return "";
  if (usual === null) return " = None";
  if (typeof usual === "boolean") return usual ? " = True" : " = False";
  if (Array.isArray(usual) && type.list === "u8") return ' = b""';
  if (Array.isArray(usual)) return " = field(default_factory=list)";
  if (typeof usual === "object") return ` = field(default_factory=lambda: ${hint(type, space)}(${JSON.stringify(usual.tag)}))`;
  const [from, name] = type.ref?.split(".") ?? [];
  if (name && packages[from].types[name].kind === "enum") {
    return ` = ${hint(type, space)}.${snake(usual).toUpperCase()}`;
  }
  return ` = ${JSON.stringify(usual)}`;
}

/** A type as Python writes it, seen from the module `space`; from outside for `null`. */
function hint(type, space) {
  if (type === null) return "None";
  if (type === "string" || type === "char") return "str";
  if (type === "bool") return "bool";
  if (type === "f32" || type === "f64") return "float";
  if (typeof type === "string") return "int";
  if (type.list === "u8") return "bytes";
  if (type.list !== undefined) return `list[${hint(type.list, space)}]`;
  if (type.option !== undefined) return `${hint(type.option, space)} | None`;
  if (type.tuple !== undefined) return `tuple[${type.tuple.map((one) => hint(one, space)).join(", ")}]`;
  if (type.result !== undefined) return `Ok[${hint(type.result[0], space)}] | Err[${hint(type.result[1], space)}]`;
  const [from, name] = type.ref.split(".");
  return snake(from) === space ? pascal(name) : `${snake(from)}.${pascal(name)}`;
}
