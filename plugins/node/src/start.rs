//! How a Node.js application is started: its `start` script, looked through to the command behind it,
//! or its entry file.

use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::package_json::PackageJson;
use windlass_plugin_common::scripts::{self, SELECTORS, program};
pub(crate) use windlass_plugin_common::scripts::{first_program, is_for_development};
use windlass_plugin_common::workspace::Workspace;
use windlass_plugin_common::{command, procfile};
use windlass_sdk::Evidence;
use windlass_sdk::config::Migrate;

use crate::config::{self, normal};
use crate::facts::{Facts, Place, join};
use crate::pm2;

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
    /// Whether it is a script of the application's own, which may come with what it runs; else the
    /// framework's line or an entry file.
    pub(crate) scripted: bool,
}

impl Start {
    /// A framework's usual line.
    pub(crate) fn usual(line: &str, why: &str) -> Self {
        let evidence = Evidence::new("package.json", format!("{why}: {line} is run"));
        Self {
            line: line.to_owned(),
            argv: command::argv(line),
            evidence,
            confidence: 80,
            scripted: false,
        }
    }

    /// A framework's usual line, with what the start script runs before it and gives its server.
    pub(crate) fn framed(facts: &Facts, usual: &str) -> Self {
        let Some(script) = script(facts) else {
            return Self::usual(usual, "no start command of its own");
        };
        let Some(frame) = frame(facts) else {
            return Self::usual(usual, scripts::LEFT_OUT);
        };
        let server = frame.around(usual);
        let line = frame.whole(usual);
        let argv = match frame.before.as_slice() {
            [] => command::argv(&server),
            before => {
                command::shell(&format!("{} && {}", before.join(" && "), command::exec(&server)))
            }
        };
        Self { evidence: run_as(facts, &line), line, argv, scripted: false, ..script }
    }
}

/// What a start script has around a server that is started in another way than it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The commands before it, its `prestart` among them; none that only builds.
    pub(crate) before: Vec<String>,
    /// Variables that are set for it.
    variables: Vec<String>,
    /// The words of its command.
    command: Vec<String>,
}

/// Variables and flags by which a server is told where to listen: the usual line says it.
const LISTENING: [&str; 9] =
    ["PORT", "HOST", "HOSTNAME", "-p", "--port", "-H", "--hostname", "--host", "-l"];

impl Frame {
    /// The commands before, and [the usual line](Self::around).
    pub(crate) fn whole(&self, usual: &str) -> String {
        let before = self.before.iter().cloned();
        before.chain([self.around(usual)]).collect::<Vec<_>>().join(" && ")
    }

    /// A server's command, and its variables, with these commands before it.
    fn new(before: Vec<String>, server: &str) -> Self {
        let mut frame = Self { before, ..Self::default() };
        let wrapper = |word: &&str| matches!(*word, "npx" | "cross-env" | "env" | "exec");
        for word in server.split_whitespace().filter(|word| !wrapper(word)) {
            let variable = word.split_once('=').map(|(name, _)| name);
            match variable.filter(|_| frame.command.is_empty()) {
                Some(name) if LISTENING.contains(&name) => {}
                Some(_) => frame.variables.push(word.to_owned()),
                None => frame.command.push(word.to_owned()),
            }
        }
        frame
    }

    /// The usual line with the variables, and with the arguments if it is the same command.
    pub(crate) fn around(&self, usual: &str) -> String {
        let words: Vec<&str> = usual.split_whitespace().collect();
        let head = words.len().min(2);
        let same = head == 2 && self.command.iter().take(2).eq(words[..2].iter());
        let mut arguments: Vec<&str> = Vec::new();
        let mut given = self.command.iter().skip(2).map(String::as_str).filter(|_| same).peekable();
        while let Some(word) = given.next() {
            let flag = word.split('=').next().unwrap_or(word);
            if !LISTENING.contains(&flag) {
                arguments.push(word);
            } else if flag == word {
                given.next_if(|value| !value.starts_with('-'));
            }
        }
        let variables = self.variables.iter().map(String::as_str);
        variables.chain(words).chain(arguments).collect::<Vec<_>>().join(" ")
    }
}

/// What the start script has around its last command; `None` without one, or if it cannot be taken apart.
pub(crate) fn frame(facts: &Facts) -> Option<Frame> {
    let package = facts.package.as_ref()?;
    let name = starting(facts)?;
    let line = behind(facts, package.script(name)?);
    let (before, last) = apart(&line)?;
    let hook = package.script(&format!("pre{name}")).map(|line| behind(facts, line));
    let hook = hook.filter(|line| !scripts::prepares(package, line));
    let hook: Vec<&str> = hook
        .iter()
        .flat_map(|line| match apart(line) {
            Some((before, last)) => [before, vec![last]].concat(),
            None => vec![line.as_str()],
        })
        .collect();
    let commands = hook.into_iter().chain(before);
    let kept = commands.filter(|command| !scripts::prepares(package, command));
    // The commands of AdonisJS are compiled into the folder that its script is meant for.
    let kept = kept.filter(|command| *command != "cd build" && !enters_cut_down(command));
    let kept = kept.map(|command| command.replace("node ace ", "node build/ace "));
    Some(Frame::new(kept.collect(), last))
}

/// The folder of the server that Next.js cuts down to what it needs.
pub(crate) const CUT_DOWN: &str = ".next/standalone";

fn enters_cut_down(command: &str) -> bool {
    command.strip_prefix("cd ").is_some_and(|folder| normal(folder).starts_with(CUT_DOWN))
}

/// What a line has around the server that Next.js cuts down; `None` for a line that starts anything else, and for an
/// application that has no such server.
pub(crate) fn around_cut_down(facts: &Facts, line: &str) -> Option<Frame> {
    if !facts.uses("next") || config::next_output(facts).as_deref() != Some("standalone") {
        return None;
    }
    let (before, last) = apart(line)?;
    let before = before.into_iter().filter(|command| !enters_cut_down(command));
    let frame = Frame::new(before.map(str::to_owned).collect(), last);
    let (program, words) = frame.command.split_first()?;
    let file = normal(words.iter().find(|word| !word.starts_with('-'))?);
    let file = file.strip_prefix("app/").unwrap_or(&file);
    // A file of this name in the source is a server of the application's own.
    let own = || ["server.js", "server.ts", "server.mjs"].iter().any(|file| facts.has(file));
    let inside = file.starts_with(CUT_DOWN) && file.ends_with("server.js");
    let cut = inside || matches!(file, "server.js" | "server") && !own();
    (program == "node" && cut).then_some(frame)
}

/// The commands of a line before its last, and that; `None` where one of them is only a part of another.
pub(crate) fn apart(line: &str) -> Option<(Vec<&str>, &str)> {
    let whole = |command: &&str| {
        let even = |quote| command.matches(quote).count() % 2 == 0;
        even('"') && even('\'') && command.matches('(').count() == command.matches(')').count()
    };
    let mut all: Vec<&str> = line.split("&&").map(str::trim).collect();
    let last = all.pop()?;
    (all.iter().all(whole) && whole(&last)).then_some((all, last))
}

/// A line without the variables that are set before its program.
pub(crate) fn without_variables(line: &str) -> String {
    let set = |word: &&str| word.contains('=');
    line.split_whitespace().skip_while(set).collect::<Vec<_>>().join(" ")
}

/// The name of the script that starts.
fn starting(facts: &Facts) -> Option<&'static str> {
    scripts::starting(facts.package.as_ref()?, &|path| facts.text(path))
}

/// A line with what is behind the scripts that it calls, and behind pm2.
fn behind(facts: &Facts, line: &str) -> String {
    pm2::without(facts, &behind_scripts(facts, line))
}

fn behind_scripts(facts: &Facts, line: &str) -> String {
    match &facts.package {
        Some(package) => scripts::behind(package, line, &|path| facts.text(path)),
        None => line.to_owned(),
    }
}

/// The processes that the declared line, or else the start script, lets pm2 start beside the web process.
pub(crate) fn beside(facts: &Facts, declared: Option<&str>) -> Vec<(String, String)> {
    let script = || facts.script(starting(facts)?);
    let line = declared.or_else(script).map(|line| behind_scripts(facts, line));
    line.map(|line| pm2::others(facts, &line)).unwrap_or_default()
}

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
/// The start script, or the entry file; `None` when the application shows no way to start.
pub(crate) fn find(facts: &Facts) -> Option<Start> {
    script(facts).or_else(|| entry(facts))
}

/// The start script.
pub(crate) fn script(facts: &Facts) -> Option<Start> {
    let package = facts.package.as_ref()?;
    let name = starting(facts)?;
    let line = behind(facts, package.script(name)?);
    let before = package.script(&format!("pre{name}"));
    let before = before.filter(|line| !scripts::is_build(package, line));
    let (line, argv) = match before.map(|line| behind(facts, line)) {
        None => {
            let argv = command::argv(&line);
            (line, argv)
        }
        Some(before) => {
            let argv = command::shell(&format!("{before} && {}", command::exec(&line)));
            (format!("{before} && {line}"), argv)
        }
    };
    let evidence = run_as(facts, &line);
    Some(Start { line, argv, evidence, confidence: 80, scripted: true })
}

/// The start script as evidence, and what is run for it where that is another line.
fn run_as(facts: &Facts, line: &str) -> Evidence {
    let name = starting(facts).unwrap_or_default();
    let script = facts.script(name).unwrap_or_default();
    let run = if script == line { String::new() } else { format!(", run as {line}") };
    Evidence::new("package.json", format!("scripts.{name}: {script}{run}"))
}

/// A declared command line without the package manager in front of it: as the first process that would keep
/// the signals to itself.
pub(crate) fn declared(facts: &Facts, line: &str) -> String {
    let line = behind(facts, line);
    let member = facts.workspace.as_ref().and_then(|workspace| of_member(workspace, &line));
    match member {
        None => line,
        Some((dir, behind)) if facts.place.inner() == dir => behind,
        Some((dir, behind)) => format!("cd {dir} && {behind}"),
    }
}

/// The member of the workspace that the declared web process is a script of, and its line behind the scripts of the
/// root: that member is the application then. `None` where more is declared of the root: what else is run, installed,
/// built or migrated there.
pub(crate) fn declared_member(facts: &Facts) -> Option<(String, String)> {
    let workspace = facts.workspace.as_ref().filter(|_| facts.place == Place::default())?;
    let (build, entries) = (&facts.settings.build, procfile::read(&facts.source).ok()?);
    let more = [&build.install, &build.command, &build.output].iter().any(|it| it.is_some())
        || facts.settings.migrate != Migrate::Unset
        || entries.iter().any(|entry| entry.name == "release");
    let declared = Declared::read(&facts.settings, &facts.source).ok()?;
    let (line, ..) = declared.web.filter(|_| !more && declared.workers.is_empty())?;
    let line = behind_scripts(facts, &line);
    let (dir, _) = of_member(workspace, &line)?;
    Some((dir.to_owned(), line))
}

/// `pnpm --filter @x/api start`: the folder of that member, and what is run there.
fn of_member<'w>(workspace: &'w Workspace, line: &str) -> Option<(&'w str, String)> {
    let (selected, name, called) = scripts::of_member(line)?;
    let dir = workspace.find(selected)?;
    let package = workspace.members.get(dir)?.package.as_ref()?;
    package.script(name)?;
    let text = |path: &str| workspace.source.text(&join(dir, path)).ok().flatten();
    let behind = scripts::behind(package, &called, &text);
    let plain = !behind.starts_with("npm ") && scripts::is_chain(&behind);
    plain.then_some((dir, behind))
}

/// The member of the workspace that the start script hands over to.
pub(crate) fn delegate(facts: &Facts) -> Option<String> {
    let workspace = facts.workspace.as_ref()?;
    let line = facts.package.as_ref()?.script("start")?;
    let behind = || handed_to(workspace, &behind_scripts(facts, line));
    handed_to(workspace, line).or_else(behind)
}

/// The member that a line hands over to.
fn handed_to(workspace: &Workspace, line: &str) -> Option<String> {
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

/// The entry file: `main`, or one of the usual names.
fn entry(facts: &Facts) -> Option<Start> {
    let package = facts.package.as_ref()?;
    let main = package.main().filter(|main| main.contains('.') && !main.ends_with(".json"));
    let main = main.filter(|main| facts.has(main) || scripts::building(package).is_some());
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
    Some(Start { argv: command::argv(&line), line, evidence, confidence, scripted: false })
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
    last_program(line).is_some_and(|program| matches!(program, "bun" | "bunx"))
}

/// The program that a line ends up in.
pub(crate) fn last_program(line: &str) -> Option<&str> {
    first_program(line.rsplit("&&").next().unwrap_or(line))
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
    Some(Start { argv: command::argv(&line), line, evidence, confidence, scripted: false })
}

pub(crate) fn opens_a_port(text: &str) -> bool {
    let serves = |(at, _): (usize, &str)| !text[..at].ends_with(|c: char| c.is_alphanumeric());
    [".listen(", "createServer("].iter().any(|sign| text.contains(sign))
        || text.match_indices("serve(").any(serves)
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
    is_for_development(line) || last_program(line).is_some_and(|it| FILE_SERVERS.contains(&it))
}

/// The program of another language that a command starts.
pub(crate) fn foreign(line: &str) -> Option<&str> {
    last_program(line).filter(|program| FOREIGN.contains(program))
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
        "pm2" => "pm2-runtime".to_owned(),
        "ts-node-dev" => "ts-node".to_owned(),
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
