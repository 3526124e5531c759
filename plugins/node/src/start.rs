//! How a Node.js application is started: its `start` script, looked through to the command behind it,
//! or its entry file.

use windlass_plugin_common::command;
use windlass_plugin_common::package_json::PackageJson;
use windlass_sdk::Evidence;

use crate::facts::Facts;

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

const SCRIPTS: [&str; 3] = ["start", "start:prod", "serve:prod"];
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
/// Commands that rebuild on every change: for the author's machine.
const DEVELOPMENT: [&str; 21] = [
    "vite",
    "react-scripts",
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
];
/// Commands that serve a folder of files.
const FILE_SERVERS: [&str; 3] = ["serve", "http-server", "sirv"];
/// Programs of other languages: what they start is another plugin's.
const FOREIGN: [&str; 12] = [
    "ruby", "bundle", "rails", "python", "python3", "gunicorn", "uvicorn", "php", "go", "cargo",
    "java", "dotnet",
];

/// The start script, or the entry file; `None` when the application shows no way to start.
pub(crate) fn find(facts: &Facts) -> Option<Start> {
    script(facts).or_else(|| entry(facts))
}

/// The start script.
pub(crate) fn script(facts: &Facts) -> Option<Start> {
    let package = facts.package.as_ref()?;
    let usable = |name: &&&str| {
        let line = package.script(name).map(|line| resolve(package, line));
        line.is_some_and(|line| !is_for_development(&line))
    };
    let known = |name: &&&str| package.script(name).is_some();
    let name = SCRIPTS.iter().find(usable).or_else(|| SCRIPTS.iter().find(known))?;
    let line = resolve(package, package.script(name)?);
    let before = package.script(&format!("pre{name}")).map(|line| resolve(package, line));
    let before = before.filter(|before| Some(before.as_str()) != package.script("build"));
    let argv = match before {
        None => command::argv(&line),
        Some(before) => command::shell(&format!("{before} && {}", command::exec(&line))),
    };
    let evidence = Evidence::new("package.json", format!("scripts.{name}: {line}"));
    Some(Start { line, argv, evidence, confidence: 80 })
}

/// `npm run serve` → the command of the script `serve`: npm as the first process would keep the
/// signals to itself.
fn resolve(package: &PackageJson, line: &str) -> String {
    let mut line = line.trim().to_owned();
    for _ in 0..5 {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = match words[..] {
            ["npm" | "pnpm", "run" | "run-script", name] | ["yarn", "run", name] => name,
            ["npm" | "pnpm" | "yarn", name] => name,
            _ => break,
        };
        match package.script(name) {
            Some(next) => line = next.to_owned(),
            None => break,
        }
    }
    line.strip_prefix("npx ").filter(|rest| !rest.starts_with('-')).unwrap_or(&line).to_owned()
}

/// The entry file: `main`, or one of the usual names.
fn entry(facts: &Facts) -> Option<Start> {
    let package = facts.package.as_ref()?;
    let main = package.main().filter(|main| facts.has(main) || package.script("build").is_some());
    let file = main.or_else(|| facts.first(&ENTRIES))?;
    let listens = facts.text(file).is_some_and(|text| opens_a_port(&text));
    let confidence = match (listens, package.is_library()) {
        (true, _) => 70,
        (false, false) => 50,
        (false, true) => return None,
    };
    let key = if main.is_some() { format!("main: {file}") } else { format!("entry file {file}") };
    let line = format!("node {file}");
    let evidence = Evidence::new("package.json", key);
    Some(Start { argv: command::argv(&line), line, evidence, confidence })
}

/// An entry file that opens a port, in a folder without a package.json.
pub(crate) fn bare_entry(facts: &Facts) -> Option<Start> {
    let opens = |file: &&&str| facts.text(file).is_some_and(|text| opens_a_port(&text));
    let file = ENTRIES.iter().filter(|file| facts.has(file)).find(opens)?;
    let line = format!("node {file}");
    let evidence = Evidence::new(*file, "opens a port");
    Some(Start { argv: command::argv(&line), line, evidence, confidence: 35 })
}

fn opens_a_port(text: &str) -> bool {
    [".listen(", "createServer(", "serve("].iter().any(|sign| text.contains(sign))
}

/// Whether a command only serves files, or is a development server.
pub(crate) fn serves_files(line: &str) -> bool {
    is_for_development(line) || first_program(line).is_some_and(|it| FILE_SERVERS.contains(&it))
}

/// Whether a command is a development server.
pub(crate) fn is_for_development(line: &str) -> bool {
    let first = first_program(line).is_some_and(|first| DEVELOPMENT.contains(&first));
    first || ["next dev", "nuxt dev", "nx serve"].iter().any(|command| line.contains(command))
}

/// The program of another language that a command starts.
pub(crate) fn foreign(line: &str) -> Option<&str> {
    first_program(line).filter(|first| FOREIGN.contains(first))
}

fn first_program(line: &str) -> Option<&str> {
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
        other => program(other).to_owned(),
    };
    let needed = |name: &&str| {
        let command = provides(name);
        words.iter().any(|word| *word == command || word.starts_with(&format!("{command}/")))
    };
    package.dev_dependencies().filter(|name| !package.depends_on(name)).find(needed)
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
