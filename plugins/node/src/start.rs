//! How a Node.js application is started: its `start` script, looked through to the command behind it,
//! or its entry file.

use windlass_plugin_common::command;
use windlass_plugin_common::package_json::PackageJson;
use windlass_sdk::Evidence;

use crate::facts::{Facts, join};

/// A way to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    /// The command line, without the package manager in front of it.
    pub(crate) line: String,
    /// The argument vector.
    pub(crate) argv: Vec<String>,
    /// Where it was found.
    pub(crate) evidence: Evidence,
    /// How sure it makes that this is an application and no library.
    pub(crate) confidence: u8,
}

impl Start {
    /// A framework's usual line.
    pub(crate) fn usual(line: &str, why: &str) -> Self {
        let evidence = Evidence::new("package.json", format!("{why}: {line} is run"));
        Self { line: line.to_owned(), argv: command::argv(line), evidence, confidence: 80 }
    }
}

const SCRIPTS: [&str; 5] = ["start", "start:prod", "start:production", "serve:prod", "prod"];
const ENTRIES: [&str; 16] = [
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "server.mjs",
    "index.mjs",
    "app.mjs",
    "main.mjs",
    "server.cjs",
    "index.cjs",
    "src/server.js",
    "src/index.js",
    "src/app.js",
    "src/main.js",
    "src/index.mjs",
    "src/server.mjs",
];
const TYPED: [&str; 8] = [
    "server.ts",
    "index.ts",
    "app.ts",
    "main.ts",
    "src/server.ts",
    "src/index.ts",
    "src/app.ts",
    "src/main.ts",
];
/// Commands that rebuild on every change, or test: for the author's machine.
const DEVELOPMENT: [&str; 45] = [
    "vite",
    "react-scripts",
    "craco",
    "live-server",
    "ng",
    "astro",
    "gatsby",
    "docusaurus",
    "docusaurus-start",
    "eleventy",
    "webpack-dev-server",
    "webpack",
    "parcel",
    "vue-cli-service",
    "browser-sync",
    "lite-server",
    "ember",
    "snowpack",
    "expo",
    "sanity",
    "stencil",
    "nest",
    "vuepress",
    "vitepress",
    "hexo",
    "preact",
    "ionic",
    "react-native",
    "electron",
    "electron-forge",
    "rollup",
    "tsc",
    "tsup",
    "tsdx",
    "microbundle",
    "storybook",
    "start-storybook",
    "jest",
    "vitest",
    "mocha",
    "gulp",
    "grunt",
    "wrangler",
    "ts-node-dev",
    "tsnd",
];
/// The same, told by more than their program.
const DEVELOPING: [&str; 15] = [
    "next dev",
    "nuxt dev",
    "nuxi dev",
    "nuxt preview",
    "nuxi preview",
    "nx serve",
    "nx run",
    "turbo dev",
    "turbo run dev",
    "remix dev",
    "remix vite:dev",
    "react-router dev",
    "vinxi dev",
    "strapi develop",
    "hydrogen dev",
];
/// Commands that serve a folder of files.
const FILE_SERVERS: [&str; 3] = ["serve", "http-server", "sirv"];
/// Programs of other languages: what they start is another plugin's.
const FOREIGN: [&str; 22] = [
    "ruby",
    "bundle",
    "rails",
    "jekyll",
    "python",
    "python3",
    "gunicorn",
    "uvicorn",
    "flask",
    "streamlit",
    "php",
    "go",
    "hugo",
    "cargo",
    "java",
    "mvn",
    "dotnet",
    "mix",
    "deno",
    "docker",
    "docker-compose",
    "make",
];
/// Programs that run scripts or packages.
const MANAGERS: [&str; 9] = ["npm", "pnpm", "yarn", "bun", "npx", "bunx", "turbo", "nx", "lerna"];
/// Behind these stands a member of the workspace.
const SELECTORS: [&str; 9] =
    ["-w", "--workspace", "--filter", "-F", "--scope", "--prefix", "--dir", "-C", "--cwd"];

/// The start script, or the entry file; `None` when the application shows no way to start.
pub(crate) fn find(facts: &Facts) -> Option<Start> {
    script(facts).or_else(|| entry(facts))
}

/// The start script.
pub(crate) fn script(facts: &Facts) -> Option<Start> {
    let package = facts.package.as_ref()?;
    let resolved = |name: &str| package.script(name).map(|line| resolve_all(facts, package, line));
    let usable = |name: &&&str| resolved(name).is_some_and(|line| !is_for_development(&line));
    let known = |name: &&&str| package.script(name).is_some();
    let name = SCRIPTS.iter().find(usable).or_else(|| SCRIPTS.iter().find(known))?;
    let line = resolved(name)?;
    let before = package.script(&format!("pre{name}"));
    let before = before.filter(|line| !is_build(package, line)).map(|line| resolve(package, line));
    let argv = match before {
        None => command::argv(&line),
        Some(before) => command::shell(&format!("{before} && {}", command::exec(&line))),
    };
    let evidence = Evidence::new("package.json", format!("scripts.{name}: {line}"));
    Some(Start { line, argv, evidence, confidence: 80 })
}

/// The member of the workspace that the start script hands over to.
pub(crate) fn delegate(facts: &Facts) -> Option<String> {
    let workspace = facts.workspace.as_ref()?;
    let line = facts.package.as_ref()?.script("start")?;
    let mut segments: Vec<&str> = line.split("&&").map(str::trim).collect();
    let last = segments.pop()?;
    let words: Vec<&str> = last.split([' ', '=']).filter(|word| !word.is_empty()).collect();
    let manager = words.first().is_some_and(|first| MANAGERS.contains(first));
    if !manager {
        return None;
    }
    let moved = segments.last().and_then(|before| before.strip_prefix("cd "));
    let behind = |word: &&'static str| {
        let at = words.iter().position(|other| other == word)?;
        words.get(at + 1).copied()
    };
    let flagged = SELECTORS.iter().find_map(behind);
    let named = behind(&"workspace").filter(|_| words.contains(&"yarn"));
    let nx =
        words.iter().position(|word| *word == "nx").and_then(|at| match words.get(at + 1..)? {
            ["run", target, ..] => target.split(':').next(),
            ["serve" | "start" | "preview", name, ..] => Some(*name),
            _ => None,
        });
    let selected = moved.map(str::trim).or(named).or(flagged).or(nx)?;
    workspace.find(selected).map(str::to_owned)
}

/// Whether a command only builds what the build step has built.
fn is_build(package: &PackageJson, line: &str) -> bool {
    let build = package.script("build");
    build.is_some() && (build == Some(line) || build == Some(resolve(package, line).as_str()))
}

/// A line whose commands are looked through one by one; those that only build again are left out.
fn resolve_all(facts: &Facts, package: &PackageJson, line: &str) -> String {
    if line.contains(['"', '\'', '(', '|', ';']) {
        return resolve(package, line);
    }
    let mut below: Option<PackageJson> = None;
    let mut commands: Vec<String> = Vec::new();
    let all: Vec<&str> = line.split("&&").map(str::trim).collect();
    for (n, command) in all.iter().enumerate() {
        if let Some(folder) = command.strip_prefix("cd ") {
            let file = join(&crate::config::normal(folder), "package.json");
            below = facts.text(&file).and_then(|text| PackageJson::parse(&text).ok());
        }
        let here = below.as_ref().unwrap_or(package);
        let again = n + 1 < all.len() && is_build(here, command);
        let resolved = resolve(here, command);
        commands.extend((!again).then_some(resolved));
    }
    commands.join(" && ")
}

/// `npm run serve` → the command of the script `serve`: npm as the first process would keep the
/// signals to itself.
fn resolve(package: &PackageJson, line: &str) -> String {
    let mut line = line.trim().to_owned();
    for _ in 0..5 {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, rest) = match &words[..] {
            ["npm" | "pnpm" | "bun", "run" | "run-script", name, rest @ ..]
            | ["yarn", "run", name, rest @ ..] => (*name, rest),
            ["npm" | "pnpm" | "yarn", "exec", rest @ ..] | ["npx" | "bunx", rest @ ..] => {
                let rest = if rest.first() == Some(&"--") { &rest[1..] } else { rest };
                if rest.is_empty() || rest[0].starts_with('-') {
                    break;
                }
                line = rest.join(" ");
                continue;
            }
            ["npm" | "pnpm" | "yarn" | "bun", name, rest @ ..] => (*name, rest),
            _ => break,
        };
        match package.script(name).filter(|_| !name.contains('.')) {
            Some(next) => {
                let rest = if rest.first() == Some(&"--") { &rest[1..] } else { rest };
                line = [&[next], rest].concat().join(" ");
            }
            None => break,
        }
    }
    line
}

/// The entry file: `main`, or one of the usual names.
fn entry(facts: &Facts) -> Option<Start> {
    let package = facts.package.as_ref()?;
    let main = package.main().filter(|main| main.contains('.') && !main.ends_with(".json"));
    let main = main.filter(|main| facts.has(main) || package.script("build").is_some());
    let file =
        main.or_else(|| facts.first(&ENTRIES)).or_else(|| typed(facts).map(|(_, file)| file))?;
    let text = facts.text(file).unwrap_or_default();
    let confidence = match (opens_a_port(&text), package.is_library() || exports(&text)) {
        (true, _) => 70,
        (false, false) => 50,
        (false, true) => return None,
    };
    let key = if main.is_some() { format!("main: {file}") } else { format!("entry file {file}") };
    let ts = file.ends_with(".ts").then(|| typed(facts)).flatten();
    let program =
        if runs_on_bun(facts) { "bun" } else { ts.map_or("node", |(program, _)| program) };
    let line = format!("{program} {file}");
    let evidence = Evidence::new("package.json", key);
    Some(Start { argv: command::argv(&line), line, evidence, confidence })
}

/// The tool that runs TypeScript, and the entry file.
fn typed(facts: &Facts) -> Option<(&'static str, &'static str)> {
    let tool = match runs_on_bun(facts) {
        true => Some("bun"),
        false => ["tsx", "ts-node"].into_iter().find(|tool| facts.uses(tool)),
    };
    Some((tool?, facts.first(&TYPED)?))
}

/// Whether the manifest asks for Bun and says nothing of Node.js.
fn runs_on_bun(facts: &Facts) -> bool {
    let Some(package) = &facts.package else {
        return false;
    };
    let lock = ["bun.lock", "bun.lockb"].into_iter().any(|file| facts.root_has(file));
    let engine = package.engine("bun").is_some() || package.dev_engine("bun").is_some();
    let types = ["@types/bun", "bun-types"].into_iter().any(|name| package.uses(name));
    package.engine("node").is_none() && (engine || lock && types)
}

/// Whether a command line is run by Bun.
pub(crate) fn is_buns(line: &str) -> bool {
    let last = line.rsplit("&&").next().unwrap_or(line);
    first_program(last).is_some_and(|program| matches!(program, "bun" | "bunx"))
}

/// An entry file that opens a port, in a folder without a package.json.
pub(crate) fn bare_entry(facts: &Facts) -> Option<Start> {
    let text = |file: &str| facts.text(file).unwrap_or_default();
    let opens = |file: &&&str| opens_a_port(&text(file));
    let found = ENTRIES.iter().filter(|file| facts.has(file)).find(opens);
    // A file of this name without a word in it is hardly anything else.
    let named = ["server.js", "server.mjs", "server.ts"];
    let blank = || named.iter().find(|file| facts.has(file) && text(file).trim().is_empty());
    let (file, detail, confidence) = match found {
        Some(file) => (*file, "opens a port", 35),
        None => (*blank()?, "by its name alone", 8),
    };
    let line = format!("node {file}");
    let evidence = Evidence::new(file, detail);
    Some(Start { argv: command::argv(&line), line, evidence, confidence })
}

fn opens_a_port(text: &str) -> bool {
    [".listen(", "createServer(", "serve("].iter().any(|sign| text.contains(sign))
}

/// Whether a file is there for others to import.
fn exports(text: &str) -> bool {
    let signs = ["module.exports", "exports.", "export default", "export {", "export *"];
    let declared = ["export const ", "export function ", "export class ", "export async "];
    text.lines()
        .any(|line| signs.iter().chain(&declared).any(|sign| line.trim_start().starts_with(sign)))
}

/// Whether a command only serves files, or is a development server.
pub(crate) fn serves_files(line: &str) -> bool {
    is_for_development(line) || first_program(line).is_some_and(|it| FILE_SERVERS.contains(&it))
}

/// Whether a command is a development server.
pub(crate) fn is_for_development(line: &str) -> bool {
    let last = line.rsplit("&&").next().unwrap_or(line);
    let first = first_program(last).is_some_and(|first| DEVELOPMENT.contains(&first));
    first || DEVELOPING.iter().any(|command| line.contains(command))
}

/// The program of another language that a command starts.
pub(crate) fn foreign(line: &str) -> Option<&str> {
    first_program(line).filter(|first| FOREIGN.contains(first))
}

/// The program that a command starts.
pub(crate) fn first_program(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().filter(|word| !word.contains('=')).map(program);
    words.find(|word| !matches!(*word, "npx" | "cross-env" | "env" | "exec"))
}

fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// The development dependency that a start command needs, so that it must not be removed.
pub(crate) fn needs_development<'p>(package: &'p PackageJson, line: &str) -> Option<&'p str> {
    let words: Vec<&str> =
        line.split(|c: char| c.is_whitespace() || c == '=').map(program).collect();
    let provides = |dependency: &str| match dependency {
        "typescript" => "tsc".to_owned(),
        "@nestjs/cli" => "nest".to_owned(),
        "@babel/node" => "babel-node".to_owned(),
        "@shopify/cli" => "shopify".to_owned(),
        "sirv-cli" => "sirv".to_owned(),
        other => program(other).to_owned(),
    };
    let needed = |name: &&str| {
        let command = provides(name);
        words.iter().any(|word| *word == command || word.starts_with(&format!("{command}/")))
    };
    // Types of a program are not the program.
    let mut own = package
        .dev_dependencies()
        .filter(|name| !package.depends_on(name) && !name.starts_with("@types/"));
    own.find(needed)
}

/// The port that the application insists on: in its start command, or written into its entry file.
pub(crate) fn fixed_port(facts: &Facts, line: &str) -> Option<(u16, Evidence)> {
    let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || c == '=').collect();
    let flag = |pair: &[&str]| {
        matches!(pair[0], "--port" | "-p" | "-l" | "PORT").then(|| pair[1].parse().ok()).flatten()
    };
    if let Some(port) = words.windows(2).find_map(flag) {
        return Some((
            port,
            Evidence::new("package.json", format!("{line:?} names the port {port}")),
        ));
    }
    let file = words.iter().find(|word| facts.has(word) && word.contains(".js"))?;
    let text = facts.text(file)?;
    if text.contains("PORT") {
        return None;
    }
    let after = text.split(".listen(").nth(1)?;
    let digits: String = after.trim_start().chars().take_while(char::is_ascii_digit).collect();
    let port = digits.parse().ok()?;
    Some((port, Evidence::new(*file, format!("listens on {port}, and does not read PORT"))))
}
