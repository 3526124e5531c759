//! Whether the program that is started uses a framework, or only depends on it.

use std::collections::BTreeSet;

use crate::config::normal;
use crate::facts::Facts;

/// How far imports are followed, and how many files are read.
const DEPTH: u32 = 3;
const FILES_MAX: usize = 24;
const ENDINGS: [&str; 9] =
    ["", ".js", ".ts", ".mjs", ".cjs", ".mts", ".tsx", "/index.js", "/index.ts"];
/// Sources of programs that a build makes.
const SOURCES: [&str; 12] = [
    "src/index.ts",
    "src/main.ts",
    "src/server.ts",
    "src/app.ts",
    "index.ts",
    "server.ts",
    "app.ts",
    "main.ts",
    "src/index.js",
    "src/main.js",
    "src/server.js",
    "src/app.js",
];

/// The file that imports a package, among the started one and those that it imports itself: `None` if
/// none could be read, `Some(None)` if none of them does.
pub(crate) fn imports(facts: &Facts, line: &str, package: &str) -> Option<Option<String>> {
    any(facts, line, |text| names(text, package))
}

/// The file whose text is as asked, in the same way.
pub(crate) fn any(facts: &Facts, line: &str, is: impl Fn(&str) -> bool) -> Option<Option<String>> {
    let words = line.split_whitespace().map(|word| normal(word.trim_matches(['"', '\''])));
    let mut next: Vec<String> = words.filter(|word| facts.has(word) && is_code(word)).collect();
    if next.is_empty() {
        next =
            SOURCES.iter().filter(|file| facts.has(file)).map(|file| (*file).to_owned()).collect();
    }
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut read = false;
    for _ in 0..DEPTH {
        facts.source.prefetch(&next.iter().map(String::as_str).collect::<Vec<_>>());
        let mut further = Vec::new();
        for file in std::mem::take(&mut next) {
            let text = facts.text(&file).unwrap_or_default();
            if text.trim().is_empty() || seen.len() >= FILES_MAX || !seen.insert(file.clone()) {
                continue;
            }
            read = true;
            if is(&text) {
                return Some(Some(file));
            }
            further.extend(relative(&file, &text));
        }
        next = further;
    }
    read.then_some(None)
}

fn is_code(word: &str) -> bool {
    let ending = word.rsplit('.').next().unwrap_or_default();
    matches!(ending, "js" | "ts" | "mjs" | "cjs" | "mts" | "cts" | "jsx" | "tsx")
        || word.ends_with("bin/www")
}

/// Whether a text names a package in quotes, or a part of it.
fn names(text: &str, package: &str) -> bool {
    ['"', '\'', '`'].into_iter().any(|quote| {
        let begun = format!("{quote}{package}");
        let after = |(at, _): (usize, &str)| text[at + begun.len()..].chars().next();
        text.match_indices(&begun).filter_map(after).any(|c| c == quote || c == '/')
    })
}

/// Modules of Node.js itself.
const BUILT_IN: [&str; 43] = [
    "assert",
    "async_hooks",
    "buffer",
    "bun",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "sqlite",
    "stream",
    "string_decoder",
    "sys",
    "test",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "zlib",
];

/// The first package that a text imports and that does not come with Node.js.
pub(crate) fn package(text: &str) -> Option<String> {
    let comment = |line: &&str| ["//", "*", "/*"].iter().any(|sign| line.starts_with(sign));
    let lines = text.lines().map(str::trim_start).filter(|line| !comment(line));
    lines.flat_map(imported).find_map(|name| {
        let mut parts = name.split('/');
        let first = parts.next()?;
        let name = match first.strip_prefix('@') {
            Some(_) => format!("{first}/{}", parts.next()?),
            None => first.to_owned(),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '/' | '-' | '_' | '.');
        let named = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '@');
        let own = BUILT_IN.contains(&first) || first == "worker_threads" || first == "wasi";
        (named && name.chars().all(plain) && !own).then_some(name)
    })
}

/// What a line requires or imports: `require('x')`, `import a from 'x'`, `import 'x'`.
fn imported(line: &str) -> Vec<&str> {
    let quoted = |rest: &'_ str| -> Option<(usize, usize)> {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        Some((1, 1 + rest[1..].find(quote)?))
    };
    let mut found = Vec::new();
    for sign in ["require(", "from ", "import "] {
        let statement =
            line.starts_with("import ") || line.starts_with("export ") || line.starts_with('}');
        if sign != "require(" && !statement {
            continue;
        }
        for (at, _) in line.match_indices(sign) {
            let rest = &line[at + sign.len()..];
            found.extend(quoted(rest).map(|(from, to)| &rest[from..to]));
        }
    }
    found
}

/// Files that the relative imports of a text may mean.
fn relative(file: &str, text: &str) -> Vec<String> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = Vec::new();
    for piece in text.split(['"', '\'', '`']).skip(1).step_by(1) {
        let short = piece.len() < 200 && !piece.contains([' ', '\n']);
        if !short || !(piece.starts_with("./") || piece.starts_with("../")) {
            continue;
        }
        let base = normal(&format!("{folder}/{piece}"));
        let typed = base.strip_suffix(".js").map(|stem| format!("{stem}.ts"));
        found.extend(ENDINGS.iter().map(|ending| format!("{base}{ending}")));
        found.extend(typed);
    }
    found.truncate(FILES_MAX * ENDINGS.len());
    found
}

#[cfg(test)]
mod tests {
    use super::{names, package};

    #[test]
    fn a_package_that_has_to_be_installed_is_found() {
        for (text, needed) in [
            ("const http = require('http')\nconst express = require('express')", Some("express")),
            ("import { serve } from \"@hono/node-server/x\"", Some("@hono/node-server")),
            ("import {\n  a,\n} from 'koa'", Some("koa")),
            ("import 'dotenv/config'", Some("dotenv")),
            ("import http from 'node:http'\nimport fs from 'fs/promises'\nimport './a.js'", None),
            ("// const express = require('express')\nrequire('../x')", None),
            ("import x from 'https://esm.sh/x'", None),
            ("console.log('read from \"there\"')", None),
        ] {
            assert_eq!(package(text).as_deref(), needed, "{text}");
        }
    }

    #[test]
    fn a_package_is_named_in_quotes_and_whole() {
        assert!(names("const x = require('express')", "express"));
        assert!(names("import { serve } from \"hono/bun\"", "hono"));
        assert!(!names("require('express-session')", "express"));
        assert!(!names("// express", "express"));
    }
}
