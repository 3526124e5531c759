// Reads the part of WIT that the contract uses: interfaces with records, variants, enums, aliases,
// resources and functions.
//
// A type is a primitive's name, or one of { list }, { option }, { tuple }, { result: [ok, err] },
// { ref: "package.name" }.

/**
 * Every package that brings an interface: its version, types and functions in the file's order.
 * @param {[string, string][]} files paths and texts
 */
export function parseWit(files) {
  const packages = {};
  for (const [path, text] of files) {
    const parsed = new Parser(path, text).file();
    packages[parsed.name] = parsed;
  }
  return packages;
}

const TOKEN = /\s+|\/\/\/ ?(?<docs>[^\n]*)|\/\/[^\n]*|(?<id>%?[a-zA-Z][a-zA-Z0-9-]*)|(?<version>@[0-9][0-9a-zA-Z.+-]*[0-9a-zA-Z])|(?<arrow>->)|(?<sign>[^\s])/gy;
const PRIMITIVES = new Set([
  "bool", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f32", "f64", "char", "string",
]);

class Parser {
  constructor(path, text) {
    this.path = path;
    this.at = 0;
    this.tokens = [];
    let docs = [];
    for (const match of text.matchAll(TOKEN)) {
      const { docs: line, id, version, arrow, sign } = match.groups;
      if (line !== undefined) docs.push(line);
      const value = id?.replace(/^%/, "") ?? version ?? arrow ?? sign;
      if (value === undefined) continue;
      this.tokens.push({ value, docs, line: text.slice(0, match.index).split("\n").length });
      docs = [];
    }
  }

  fail(what) {
    const line = this.tokens[Math.min(this.at, this.tokens.length - 1)]?.line;
    throw new Error(`${this.path}:${line}: ${what}`);
  }

  peek() {
    return this.tokens[this.at]?.value;
  }

  docs() {
    return this.tokens[this.at]?.docs ?? [];
  }

  next() {
    const token = this.tokens[this.at] ?? this.fail("the file ends too early");
    this.at += 1;
    return token.value;
  }

  expect(...values) {
    for (const value of values) {
      if (this.next() !== value) {
        this.at -= 1;
        this.fail(`expected ${value}, found ${this.peek()}`);
      }
    }
  }

  taken(value) {
    const is = this.peek() === value;
    if (is) this.at += 1;
    return is;
  }

  /** Items between brackets, with commas between them. */
  list(close, item) {
    const items = [];
    while (!this.taken(close)) {
      items.push(item());
      if (!this.taken(",")) {
        this.expect(close);
        break;
      }
    }
    return items;
  }

  file() {
    this.expect("package", "windlass", ":");
    this.name = this.next();
    const version = this.next().replace(/^@/, "");
    this.expect(";");
    const docs = this.docs();
    this.expect("interface", this.name, "{");
    this.known = this.declared();
    const types = {};
    const functions = {};
    while (!this.taken("}")) this.item(types, functions);
    if (this.at !== this.tokens.length) this.fail("one package holds one interface");
    return { name: this.name, version, docs, types, functions };
  }

  /** Types that the file declares: they may be used above their declaration. */
  declared() {
    const names = this.tokens.flatMap(({ value }, index) => {
      const [name, sign] = this.tokens.slice(index + 1, index + 3).map((token) => token.value);
      const opens = value === "type" ? "=" : "{";
      const declares = ["type", "record", "variant", "enum", "resource"].includes(value);
      return declares && sign === opens ? [name] : [];
    });
    return new Map(names.map((name) => [name, `${this.name}.${name}`]));
  }

  item(types, functions) {
    const docs = this.docs();
    const word = this.next();
    if (word === "use") return this.use();
    const name = this.next();
    if (name === ":") {
      functions[word] = { docs, ...this.func() };
      return undefined;
    }
    types[name] = { docs, ...this.definition(word) };
    return undefined;
  }

  definition(word) {
    if (word === "type") {
      this.expect("=");
      const type = this.type();
      this.expect(";");
      return { kind: "alias", type };
    }
    this.expect("{");
    if (word === "record") return { kind: "record", fields: this.list("}", () => this.field()) };
    if (word === "variant") return { kind: "variant", cases: this.list("}", () => this.case()) };
    if (word === "enum") return { kind: "enum", cases: this.list("}", () => this.next()) };
    if (word !== "resource") this.fail(`${word} is not supported`);
    const methods = {};
    while (!this.taken("}")) {
      const docs = this.docs();
      const method = this.next();
      this.expect(":");
      methods[method] = { docs, ...this.func() };
    }
    return { kind: "resource", methods };
  }

  use() {
    this.expect("windlass", ":");
    const from = this.next();
    this.expect("/");
    this.next();
    if (this.peek().startsWith("@")) this.next();
    this.expect(".", "{");
    for (const name of this.list("}", () => this.next())) this.known.set(name, `${from}.${name}`);
    this.expect(";");
  }

  field() {
    const docs = this.docs();
    const name = this.next();
    this.expect(":");
    return { name, docs, type: this.type() };
  }

  case() {
    const docs = this.docs();
    const name = this.next();
    if (!this.taken("(")) return { name, docs, type: null };
    const type = this.type();
    this.expect(")");
    return { name, docs, type };
  }

  func() {
    this.expect("func", "(");
    const params = this.list(")", () => this.field()).map(({ name, type }) => ({ name, type }));
    const result = this.taken("->") ? this.type() : null;
    this.expect(";");
    return { params, result };
  }

  type() {
    const name = this.next();
    if (PRIMITIVES.has(name)) return name;
    if (name === "_") return null;
    if (["list", "option", "borrow", "own"].includes(name)) {
      this.expect("<");
      const inner = this.type();
      this.expect(">");
      return name === "list" || name === "option" ? { [name]: inner } : inner;
    }
    if (name === "tuple") {
      this.expect("<");
      return { tuple: this.list(">", () => this.type()) };
    }
    if (name === "result") {
      const [ok = null, err = null] = this.taken("<") ? this.list(">", () => this.type()) : [];
      return { result: [ok, err] };
    }
    return { ref: this.known.get(name) ?? this.fail(`there is no type ${name}`) };
  }
}

/**
 * What a field has where the author leaves it out; `undefined` where it must be given. Options are
 * none, lists empty, switches off; the rest is listed here, by package, record and field.
 */
export function defaultOf(owner, field) {
  const usual = USUAL[`${owner}.${field.name}`];
  if (usual !== undefined) return usual;
  if (field.type === "bool") return false;
  if (field.type?.option !== undefined) return null;
  if (field.type?.list !== undefined || field.type?.ref === "types.key-values") return [];
  return undefined;
}

const USUAL = {
  "types.context.platform": "linux/amd64",
  "types.context.app-dir": "",
  "types.context.config-json": "{}",
  "types.context.options-json": "{}",
  "types.toolchain.requirement": "",
  "types.health-check.interval-ms": 0,
  "types.health-check.timeout-ms": 0,
  "types.health-check.start-period-ms": 0,
  "types.health-check.start-interval-ms": 0,
  "types.health-check.retries": 0,
  "types.evidence.detail": "",
  "types.detection.confidence": 0,
  "types.detection.notes-json": "",
  "images.image-config.digest": "",
  "images.image-config.user": "",
  "images.image-config.cwd": "",
  "builder.cache-mount.sharing": "locked",
  "builder.bind-mount.from-step": "",
  "builder.bind-mount.path": "",
  "builder.secret-mount.mode": 0o400,
  "builder.copy-files.origin": { tag: "source" },
  "builder.write-file.mode": 0o644,
  "builder.extract.origin": { tag: "source" },
  "builder.inline-file.mode": 0o644,
  "builder.place.origin": { tag: "source" },
  "builder.step.cwd": "/app",
  "builder.step.user": "",
  "builder.run-config.user": "",
  "builder.run-config.cwd": "/app",
  "builder.process.kind": "web",
  "health.http-probe.redirects-max": 3,
  "exec.command.timeout-ms": 0,
  "exec.command.tail-bytes-max": 0,
  "http.request.method": "GET",
  "http.request.response-bytes-max": 0,
  "http.request.timeout-ms": 0,
  "http.request.redirects-max": 3,
  "annotations.annotation.tone": "neutral",
  "custom.input.outputs-json": "",
  "custom.outcome.outputs-json": "",
  "custom.schedule.overlap": "skip",
  "custom.schedule.timeout-ms": 0,
  // Of a deployment of which nothing is known: for tests.
  "custom.facts.hook": "after-fetch",
  "custom.facts.attempt": 1,
  "custom.facts.project": "app",
  "custom.facts.environment": "production",
  "custom.facts.deployment": "01j00000000000000000000000",
  "custom.facts.number": 1,
  "custom.facts.actor": "test",
  "custom.facts.state": "running",
};
