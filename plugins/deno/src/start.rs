//! How a Deno application is started: its task, looked through to the command behind it, or its entry file.

use windlass_sdk::Evidence;

use crate::facts::Facts;

/// A way to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    /// The command line.
    pub(crate) line: String,
    /// Where it was found.
    pub(crate) evidence: Evidence,
    /// How sure it makes.
    pub(crate) confidence: u8,
}

const TASKS: [&str; 5] = ["start", "preview", "serve", "prod", "start:prod"];
const ENTRIES: [&str; 16] = [
    "main.ts",
    "server.ts",
    "index.ts",
    "app.ts",
    "main.tsx",
    "main.js",
    "server.js",
    "index.js",
    "src/main.ts",
    "src/server.ts",
    "src/index.ts",
    "src/app.ts",
    "src/main.tsx",
    "src/main.js",
    "src/server.js",
    "src/index.js",
];
/// What only Deno understands.
const SIGNS: [&str; 9] = [
    "Deno.",
    "\"jsr:",
    "'jsr:",
    "\"npm:",
    "'npm:",
    "from \"https://",
    "from 'https://",
    "import \"https://",
    "import 'https://",
];

/// The task that starts it in production, or the entry file.
pub(crate) fn find(facts: &Facts) -> Option<Start> {
    task(facts).or_else(|| entry(facts))
}

fn task(facts: &Facts) -> Option<Start> {
    let usable = |name: &&&str| facts.task(name).is_some_and(|line| !watches(line));
    let name = TASKS.iter().find(usable)?;
    let line = listening(&resolve(facts, name));
    let evidence = Evidence::new(facts.config?, format!("tasks.{name}: {line}"));
    Some(Start { line, evidence, confidence: 82 })
}

/// Whether a command is for the author's machine.
fn watches(line: &str) -> bool {
    line.contains("--watch") || line.split_whitespace().next() == Some("vite")
}

/// The command of a task. One that Deno itself does not run is left to `deno task`, which knows the
/// commands of packages.
fn resolve(facts: &Facts, name: &str) -> String {
    let mut name = name.to_owned();
    let mut line = String::new();
    for _ in 0..5 {
        facts.task(&name).unwrap_or_default().trim().clone_into(&mut line);
        match line.strip_prefix("deno task ").map(str::trim) {
            Some(next) if facts.task(next).is_some() => next.clone_into(&mut name),
            _ => break,
        }
    }
    let last = line.rsplit("&&").next().unwrap_or_default();
    let mut words = last.split_whitespace().filter(|word| !word.contains('='));
    if words.next() == Some("deno") { line } else { format!("deno task {name}") }
}

/// `deno serve` listens on a port of its own where it is not told another.
fn listening(line: &str) -> String {
    match line.contains("deno serve ") && !line.contains("--port") {
        true => line.replace("deno serve ", "deno serve --host 0.0.0.0 --port \"$PORT\" "),
        false => line.to_owned(),
    }
}

/// The entry file.
fn entry(facts: &Facts) -> Option<Start> {
    let exported = facts.json.get("exports").and_then(|exports| exports.as_str());
    let library = exported.is_some() || facts.json.get("exports").is_some();
    facts.source.prefetch(&ENTRIES.into_iter().filter(|file| facts.has(file)).collect::<Vec<_>>());
    let serves = |file: &str| {
        let text = facts.text(file);
        text.contains("Deno.serve(") || text.contains("serve(") || text.contains(".listen(")
    };
    let handles = |file: &str| {
        let text = facts.text(file);
        text.contains("export default {") && text.contains("fetch")
    };
    let present: Vec<&str> = ENTRIES.into_iter().filter(|file| facts.has(file)).collect();
    let configured = facts.config.is_some() || facts.has("deno.lock");
    let own = |file: &str| {
        let text = facts.text(file);
        SIGNS.iter().any(|sign| text.contains(sign))
    };
    let found = |file: &str, detail: &str, confidence| {
        let verb = if handles(file) { "serve" } else { "run" };
        let line = listening(&format!("deno {verb} --allow-all {file}"));
        Some(Start { line, evidence: Evidence::new(file, detail), confidence })
    };
    if let Some(file) = present.iter().find(|file| serves(file) || handles(file)) {
        return match (configured, own(file)) {
            (true, _) => found(file, "opens a port", 80),
            (false, true) => found(file, "opens a port, and is written for Deno", 39),
            (false, false) => None,
        };
    }
    let first = present.first()?;
    match configured {
        true if library => None,
        true => found(first, "the entry file", 55),
        false if own(first) => found(first, "is written for Deno", 36),
        // TypeScript without anything beside it runs nowhere else as it is.
        false => {
            let blank = facts.text(first).trim().is_empty() && first.ends_with(".ts");
            let file = first.rsplit('/').next().unwrap_or_default();
            let alone = !facts.has("tsconfig.json") && file != "server.ts";
            (blank && alone).then(|| found(first, "TypeScript without a package.json", 7)).flatten()
        }
    }
}
