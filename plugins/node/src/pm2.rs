//! `pm2 start ecosystem.config.js` where pm2 is no dependency: what the file names is run itself, each of its
//! applications as a process of its own, because the host restarts what ends and counts the instances.
//!
//! **Invariant: nothing is guessed.** A file that does not say in plain values what is run is refused with its name.

mod literal;

use windlass_plugin_common::scripts::{self, program};
use windlass_plugin_common::{command, procfile};
use windlass_sdk::PluginError;

use crate::facts::{Facts, join};
use crate::framework::{Decision, Shape};
use crate::start::apart;
use literal::Value;

const NAMES: [&str; 3] = ["pm2", "pm2-runtime", "pm2-docker"];
/// Its commands that start what a file names.
const STARTS: [&str; 5] = ["start", "restart", "reload", "startOrRestart", "startOrReload"];
/// Those that only look at what it has started.
const LOOKS: [&str; 8] = ["logs", "log", "save", "monit", "list", "ls", "status", "startup"];
/// The file that it reads where none is named.
const USUAL: &str = "ecosystem.config.js";
/// Names of applications that answer requests, the likeliest first.
const WEB: [&str; 8] = ["web", "server", "api", "app", "www", "main", "backend", "frontend"];
/// Parts of the names of those that do not.
const WORKERS: [&str; 9] =
    ["worker", "queue", "cron", "job", "scheduler", "bot", "consumer", "mailer", "sync"];
/// The host says where the application listens.
const LISTENING: [&str; 3] = ["PORT", "HOST", "HOSTNAME"];

/// An application of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct App {
    name: String,
    line: String,
}

/// The line with what pm2 would start in its place: the one that answers requests. The same line where pm2 is a
/// dependency, or is not called, or the file does not read.
pub(crate) fn without(facts: &Facts, line: &str) -> String {
    let Some(call) = Call::of(facts, line) else {
        return watched(facts, line).unwrap_or_else(|| line.to_owned());
    };
    match call.apps(facts) {
        Ok(mut apps) => {
            let web = apps.remove(web(&apps)).line;
            call.before.iter().cloned().chain([web]).collect::<Vec<_>>().join(" && ")
        }
        Err(_) => line.to_owned(),
    }
}

/// The line without the commands at its end that only look at what pm2 has started: `pm2 logs`, `pm2 save`.
fn watched(facts: &Facts, line: &str) -> Option<String> {
    if !line.contains("pm2") || !scripts::is_chain(line) || is_there(facts) {
        return None;
    }
    let all: Vec<&str> = line.split("&&").map(str::trim).collect();
    let looks = |command: &&&str| {
        let mut words = command.split_whitespace().map(program);
        words.next() == Some("pm2") && words.next().is_some_and(|verb| LOOKS.contains(&verb))
    };
    let kept = all.len() - all.iter().rev().take_while(looks).count();
    (kept > 0 && kept < all.len()).then(|| all[..kept].join(" && "))
}

/// The other applications that a line lets pm2 start: name and command line.
pub(crate) fn others(facts: &Facts, line: &str) -> Vec<(String, String)> {
    let Some(Ok(mut apps)) = Call::of(facts, line).map(|call| call.apps(facts)) else {
        return Vec::new();
    };
    apps.remove(web(&apps));
    apps.into_iter().map(|app| (app.name, app.line)).collect()
}

/// Why the process that was decided on cannot be started: it needs pm2, which is not there.
pub(crate) fn refusal(facts: &Facts, decision: &Decision) -> Option<PluginError> {
    let line = match (&facts.declared.web, &decision.shape) {
        (_, Shape::Tree(_) | Shape::Standalone) => return None,
        (Some((line, ..)), _) => line.as_str(),
        (None, Shape::Server(start)) => start.as_ref()?.line.as_str(),
    };
    let workers = facts.declared.workers.iter().map(|(_, line)| line.as_str());
    let line = [line].into_iter().chain(workers).find(|line| {
        let last = line.rsplit("&&").next().and_then(scripts::first_program);
        last.is_some_and(|last| NAMES.contains(&last))
    });
    let line = line.filter(|_| !is_there(facts))?;
    let why = match Call::of(facts, line).map(|call| call.apps(facts)) {
        Some(Err(why)) => format!(", and {why}"),
        _ => String::new(),
    };
    let message = format!("{line:?} calls pm2, which is not among the dependencies{why}");
    Some(PluginError::new("node.no-start", message).hint(
        "name what pm2 starts in windlass.toml, such as run.command = \"node server.js\", and further processes as \
         run.processes.NAME.command; or add pm2 to the dependencies",
    ))
}

/// Whether pm2 is installed with the application.
fn is_there(facts: &Facts) -> bool {
    let build = &facts.settings.build;
    let lines = build.install.iter().chain(&build.command);
    let installs = lines.into_iter().any(|line| line.contains("pm2"));
    let root = facts.root_package().is_some_and(|package| package.uses("pm2"));
    facts.uses("pm2") || root || installs
}

/// The first of these that answers requests, by its name.
fn web(apps: &[App]) -> usize {
    let at = |is: &dyn Fn(&App) -> bool| apps.iter().position(is);
    let other = |app: &App| {
        let known = [&app.name, &app.line];
        WORKERS.iter().any(|part| known.iter().any(|text| text.to_lowercase().contains(part)))
    };
    let named = WEB.iter().find_map(|name| at(&|app| app.name == *name));
    named.or_else(|| at(&|app| !other(app))).unwrap_or_default()
}

/// A line that lets pm2 start what a file names.
struct Call {
    /// The commands before it.
    before: Vec<String>,
    file: String,
    /// The folder that the line has moved into.
    folder: String,
    /// The names that `--only` has.
    only: Vec<String>,
    /// The table of variables that `--env` names.
    table: String,
}

impl Call {
    fn of(facts: &Facts, line: &str) -> Option<Self> {
        if !line.contains("pm2") || !scripts::is_chain(line) || is_there(facts) {
            return None;
        }
        let (mut commands, last) = apart(line)?;
        commands.push(last);
        let calls = |command: &str| NAMES.contains(&program(first(command)));
        let at = commands.iter().position(|command| calls(command))?;
        let (before, rest) = commands.split_at(at);
        // What follows only looks at it: `pm2 logs`, `pm2 save`.
        if !rest.iter().all(|command| calls(command)) {
            return None;
        }
        let folders = before.iter().filter_map(|command| command.strip_prefix("cd "));
        let folder = folders.fold(String::new(), |above, folder| join(&above, folder.trim()));
        let mut words = rest.first()?.split_whitespace().skip(1).peekable();
        let runs = NAMES[1..].contains(&program(first(rest.first()?)));
        if words.next_if(|word| STARTS.contains(word)).is_none() && !runs {
            return None;
        }
        let mut call = Self {
            before: before.iter().map(|command| (*command).to_owned()).collect(),
            file: USUAL.to_owned(),
            folder,
            only: Vec::new(),
            table: "production".to_owned(),
        };
        while let Some(word) = words.next() {
            let (flag, value) = word.split_once('=').unwrap_or((word, ""));
            let mut value = || match value {
                "" => words.next().unwrap_or_default(),
                value => value,
            };
            match flag {
                "--only" => call.only = value().split(',').map(str::to_owned).collect(),
                "--env" => value().clone_into(&mut call.table),
                flag if flag.starts_with('-') => {}
                file if is_configuration(file) => file.clone_into(&mut call.file),
                _ => {}
            }
        }
        Some(call)
    }

    /// The applications of the file, at least one.
    ///
    /// # Errors
    /// Why they cannot be run, as a part of a sentence.
    fn apps(&self, facts: &Facts) -> Result<Vec<App>, String> {
        let file = &self.file;
        let path = crate::config::normal(&join(&self.folder, file));
        let text = facts.text(&path).ok_or_else(|| format!("there is no {path}"))?;
        let value = literal::exported(file, &text)
            .ok_or_else(|| format!("{path} does not say in plain values what it starts"))?;
        let all = match value.get("apps").unwrap_or(&value) {
            Value::List(all) => all.iter().collect(),
            one => vec![one],
        };
        let name = |app: &Value| app.text("name").unwrap_or_default().to_owned();
        let wanted = |app: &&Value| self.only.is_empty() || self.only.contains(&name(app));
        let mut taken: Vec<String> = Vec::new();
        let apps: Result<Vec<App>, String> = all
            .into_iter()
            .filter(wanted)
            .enumerate()
            .map(|(n, app)| {
                let known = procfile::process_name(&name(app));
                let name = match known.as_str() {
                    "" => format!("app-{}", n + 1),
                    known if taken.contains(&known.to_owned()) => format!("{known}-{}", n + 1),
                    _ => known,
                };
                taken.push(name.clone());
                let line = self.line(facts, app);
                let line = line.ok_or_else(|| {
                    format!("{path} does not say in plain values what {name} runs")
                })?;
                Ok(App { name, line })
            })
            .collect();
        let apps = apps?;
        if apps.is_empty() { Err(format!("{path} names no application")) } else { Ok(apps) }
    }

    /// The command line of an application; `None` where a value is computed that it depends on.
    fn line(&self, facts: &Facts, app: &Value) -> Option<String> {
        let script = app.text("script")?;
        let mut words = self.variables(app)?;
        let run = interpreter(facts, app, script)?;
        words.extend(run);
        match app.get("args") {
            None => {}
            Some(Value::List(all)) => {
                let all: Option<Vec<String>> = all.iter().map(Value::plain).collect();
                words.extend(all?.iter().map(|word| command::quoted(word)));
            }
            Some(one) => words.push(one.plain()?),
        }
        let line = words.join(" ");
        let line = match &facts.package {
            // npm and its like, as pm2 is told to run them.
            Some(package) => scripts::behind(package, &line, &|path| facts.text(path)),
            None => line,
        };
        if line.contains("pm2") {
            return None;
        }
        match app.get("cwd") {
            None => Some(line),
            Some(Value::Code(code)) if matches!(code.as_str(), "__dirname" | "process.cwd()") => {
                Some(line)
            }
            Some(folder) => match crate::config::normal(&folder.plain()?).as_str() {
                "" => Some(line),
                folder => Some(format!("cd {} && {line}", command::quoted(folder))),
            },
        }
    }

    /// What `env` and the table of the environment set: those of the table go before. A value that is computed is
    /// left to the environment.
    fn variables(&self, app: &Value) -> Option<Vec<String>> {
        let mut all: Vec<(&str, String)> = Vec::new();
        for table in ["env".to_owned(), format!("env_{}", self.table)] {
            let Some(Value::Map(pairs)) = app.get(&table) else {
                continue;
            };
            for (name, value) in pairs {
                let known = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                let kept = known && !LISTENING.contains(&name.as_str());
                if let Some(value) = value.plain().filter(|_| kept) {
                    all.retain(|(other, _)| other != name);
                    all.push((name, value));
                }
            }
        }
        let pair = |(name, value): &(&str, String)| format!("{name}={}", command::quoted(value));
        Some(all.iter().map(pair).collect())
    }
}

/// The program and its file: `interpreter` with its arguments, else what fits the file's ending.
fn interpreter(facts: &Facts, app: &Value, script: &str) -> Option<Vec<String>> {
    // A command of a dependency is found by its name.
    let script = script.trim_start_matches("./");
    let script = script.strip_prefix("node_modules/.bin/").unwrap_or(script);
    let ending = script.rsplit_once('.').map_or("", |(_, ending)| ending);
    let typed = ["tsx", "ts-node"].into_iter().find(|tool| facts.uses(tool));
    let usual = match ending {
        _ if script.contains(' ') => "",
        "js" | "mjs" | "cjs" => "node",
        "ts" | "mts" | "cts" => typed?,
        "py" => "python3",
        "sh" => "bash",
        // The file of a package, which has no ending: `node_modules/next/dist/bin/next`.
        _ if script.starts_with("node_modules/") => "node",
        _ => "",
    };
    let named = match app.get("interpreter").or_else(|| app.get("exec_interpreter")) {
        None => usual.to_owned(),
        Some(named) => {
            named.plain().map(|named| if named == "none" { String::new() } else { named })?
        }
    };
    let arguments = ["node_args", "nodeArgs", "interpreter_args"];
    let arguments = match arguments.into_iter().find_map(|key| app.get(key)) {
        None => String::new(),
        Some(Value::List(all)) => {
            all.iter().map(Value::plain).collect::<Option<Vec<_>>>()?.join(" ")
        }
        Some(one) => one.plain()?,
    };
    let words = [named, arguments, script.to_owned()];
    Some(words.into_iter().filter(|word| !word.is_empty()).collect())
}

/// The word that a command begins with, behind its variables.
fn first(command: &str) -> &str {
    command.split_whitespace().find(|word| !word.contains('=')).unwrap_or_default()
}

fn is_configuration(word: &str) -> bool {
    word.contains(".config.") || [".json", ".yml", ".yaml"].iter().any(|end| word.ends_with(end))
}
