//! The pieces that plans have in common, so that every ecosystem's image looks the same: the
//! application in `/app`, owned and run by user 1000, dependencies beneath it in an own step.

use windlass_sdk::config::Settings;
use windlass_sdk::plan::{
    Artifact, Base, BuildPlan, Copy, ImageOutput, Output, Process, ProcessKind, Run, RunConfig,
    StaticOutput, Step,
};
use windlass_sdk::{KeyValues, PluginError, Source, Toolchain};

use crate::{command, procfile};

/// Applications do not run as root. They may write below `/app`, which this user owns, and in `/tmp`.
pub const USER: &str = "1000:1000";
/// Where the application lies.
pub const APP: &str = "/app";
/// The usual search path.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Name of the output that runs.
pub const OUTPUT_APP: &str = "app";
/// Name of the output with what a migration needs beyond the application.
pub const OUTPUT_MIGRATE: &str = "migrate";
/// Name of a static tree's output.
pub const OUTPUT_SITE: &str = "site";

/// Never part of an image: version control, installed dependencies, local secrets. A committed `.env` is
/// part of the source: bundlers read their public settings from it.
pub const NEVER_COPIED: [&str; 13] = [
    ".git",
    ".git/**",
    "**/node_modules",
    "**/node_modules/**",
    "**/.venv",
    "**/.venv/**",
    "**/__pycache__",
    "**/__pycache__/**",
    "**/.env.local",
    "**/.env.*.local",
    ".github/**",
    "**/.DS_Store",
    "windlass.toml",
];

/// The toolchains, and [`user`].
pub fn runtime(toolchains: &[Toolchain]) -> Step {
    let base = Base::Toolchains(toolchains.to_vec());
    let mut step = Step::new("runtime", "prepare the runtime", base).op(user());
    "/".clone_into(&mut step.cwd);
    step
}

/// Gives `/app` to user 1000, and that user a name: some libraries ask for it.
pub fn user() -> Run {
    Run::shell(
        "install -d -o 1000 -g 1000 /app && \
         { grep -q ':x:1000:' /etc/passwd || \
         echo 'app:x:1000:1000::/app:/usr/sbin/nologin' >> /etc/passwd; } && \
         { grep -q ':x:1000:' /etc/group || echo 'app:x:1000:' >> /etc/group; }",
    )
}

/// A plan with one toolchain, begun with the [`runtime`] that its other steps stand on.
pub fn begin(toolchain: &Toolchain, runtime: &Step) -> BuildPlan {
    let mut plan = BuildPlan::new();
    plan.toolchains.push(toolchain.clone());
    plan.steps.push(runtime.clone());
    plan
}

/// Names and values that a plan can hold.
pub fn pairs(list: &[(&str, &str)]) -> KeyValues {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A step on an earlier one.
pub fn on(base: &Step, id: &str, name: &str) -> Step {
    Step::new(id, name, Base::Step(base.id.clone()))
}

/// The application's source, in `/app`.
pub fn source() -> Copy {
    let mut copy = Copy::source(["**"], "/app/").parents().exclude(NEVER_COPIED);
    copy.chown = Some(USER.to_owned());
    copy
}

/// Only these files of the source, in `/app` under their paths.
pub fn files<S: Into<String>>(globs: impl IntoIterator<Item = S>) -> Copy {
    Copy::source(globs, "/app/").parents().exclude(NEVER_COPIED)
}

/// An output that runs in `/app`.
pub fn image(name: &str, step: &Step, env: &[(&str, &str)], cwd: &str) -> Output {
    let mut config = RunConfig::new();
    config.env = pairs(env);
    config.user = USER.to_owned();
    config.cwd = cwd.to_owned();
    let artifact = Artifact::Image(ImageOutput { step: step.id.clone(), config });
    Output { name: name.to_owned(), artifact }
}

/// An output that the proxy serves.
pub fn site(step: &Step, root: String, spa: Option<&str>, not_found: Option<&str>) -> Output {
    let artifact = Artifact::StaticTree(StaticOutput {
        step: step.id.clone(),
        root,
        spa_fallback: spa.map(str::to_owned),
        not_found: not_found.map(str::to_owned),
    });
    Output { name: OUTPUT_SITE.to_owned(), artifact }
}

/// What people declared to be run: settings before the Procfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The web process's command line, and where it was declared.
    pub web: Option<(String, &'static str, String)>,
    /// The other processes: name and command line.
    pub workers: Vec<(String, String)>,
    /// Whether a Procfile names workers and no web process. It lists every process, so nothing else is one;
    /// `run.processes` in the settings adds to what is detected.
    pub only_workers: bool,
    /// The port of the web process.
    pub port: Option<u16>,
}

impl Declared {
    /// Reads settings and Procfile.
    ///
    /// # Errors
    /// Code `source.unreadable`.
    pub fn read(settings: &Settings, source: &Source) -> Result<Self, PluginError> {
        let mut declared = Self::of(settings, &procfile::read(source)?);
        declared.name_origin(source);
        Ok(declared)
    }

    /// Names the file of another platform as the origin of a command line that [`crate::settings`] took from it.
    fn name_origin(&mut self, source: &Source) {
        let others = crate::others::read(source);
        if let Some((line, file, sign)) = &mut self.web
            && *file == "windlass.toml"
            && sign.starts_with("run.command")
            && let Some((taken, name)) = others.get(&crate::others::Field::Start)
            && taken.value == *line
        {
            *file = name;
            *sign = format!("{}: {line}", taken.key);
        }
    }

    /// The same of what was read already.
    pub fn of(settings: &Settings, procfile: &[procfile::Entry]) -> Self {
        let mut declared = Self { port: settings.run.port, ..Self::default() };
        for entry in procfile {
            let name = procfile::process_name(&entry.name);
            match name.as_str() {
                "web" => {
                    let sign = format!("line {}: web: {}", entry.line, entry.command);
                    declared.web = Some((entry.command.clone(), procfile::FILE, sign));
                }
                "release" | "" => {}
                _ => declared.set_worker(name, &entry.command),
            }
        }
        let listed_workers = !declared.workers.is_empty();
        for (name, process) in &settings.run.processes {
            match name.as_str() {
                "web" => declared.set_web("run.processes.web", &process.command),
                _ => declared.set_worker(procfile::process_name(name), &process.command),
            }
        }
        if let Some(line) = &settings.run.command {
            declared.set_web("run.command", line);
        }
        declared.only_workers = declared.web.is_none() && listed_workers;
        declared
    }

    fn set_web(&mut self, key: &str, line: &str) {
        self.web = Some((line.to_owned(), "windlass.toml", format!("{key}: {line}")));
    }

    fn set_worker(&mut self, name: String, line: &str) {
        self.workers.retain(|(other, _)| *other != name);
        self.workers.push((name, line.to_owned()));
    }

    /// The same for an application that opens no port, with the command line that was found for it: it becomes
    /// the process `worker` beside the declared ones, unless a declared process has that name or runs that line.
    /// Where a web process was declared, or a Procfile lists workers alone, nothing is added.
    #[must_use]
    pub fn with_worker(mut self, line: Option<&str>) -> Self {
        if self.web.is_some() || self.only_workers {
            return self;
        }
        let covers = |line: &str| {
            let same = |declared: &String| declared.split_whitespace().eq(line.split_whitespace());
            self.workers.iter().any(|(name, declared)| name == "worker" || same(declared))
        };
        if let Some(line) = line.filter(|line| !covers(line)) {
            self.workers.insert(0, ("worker".to_owned(), line.to_owned()));
        }
        self.only_workers = true;
        self
    }

    /// The warning about a web process that was declared and whose program, named by its file, opens no port: it is
    /// asked over HTTP and does not answer. None where no web process was declared.
    pub fn no_port(&self, program: &str) -> Option<String> {
        let (_, file, sign) = self.web.as_ref()?;
        let (key, instead) = match *file {
            procfile::FILE => ("web", "name the line `worker` there"),
            _ => (
                sign.split(':').next().unwrap_or_default(),
                "set run.processes.worker.command in windlass.toml instead",
            ),
        };
        Some(format!(
            "{program} seems to open no port, and {key} in {file} makes it the web process, which has to answer \
             requests: {instead}"
        ))
    }

    /// The processes of a plan: `web` is what is run where nothing was declared.
    pub fn processes(&self, web: Option<Vec<String>>, port: Option<u16>) -> Vec<Process> {
        let declared = self.web.as_ref().map(|(line, ..)| command::argv(line));
        let web = if self.only_workers { None } else { declared.or(web) };
        let port = self.port.or(port);
        let web = web.map(|argv| process("web", ProcessKind::Web, argv, port));
        let worker = |(name, line): &(String, String)| {
            process(name, ProcessKind::Worker, command::argv(line), None)
        };
        web.into_iter().chain(self.workers.iter().map(worker)).collect()
    }
}

fn process(name: &str, kind: ProcessKind, argv: Vec<String>, port: Option<u16>) -> Process {
    let ports = port.into_iter().collect();
    Process { name: name.to_owned(), output: OUTPUT_APP.to_owned(), kind, argv, ports }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(settings: &str, procfile: &str) -> Declared {
        let settings: Settings = serde_json::from_str(settings).unwrap();
        Declared::of(&settings, &procfile::parse(procfile))
    }

    #[test]
    fn settings_come_before_the_procfile_and_that_before_the_framework() {
        let fallback = || Some(vec!["fallback".to_owned()]);
        let web = |d: &Declared| d.processes(fallback(), None)[0].argv.join(" ");
        let procfile = "web: b 1\nrelease: m\nworker: w";
        assert_eq!(web(&declared(r#"{"run":{"command":"a 1"}}"#, procfile)), "a 1");
        assert_eq!(web(&declared("{}", procfile)), "b 1");
        assert_eq!(web(&declared("{}", "release: m")), "fallback");
    }

    #[test]
    fn workers_alone_mean_that_there_is_no_web_process() {
        let processes = declared("{}", "worker: w 1\n").processes(Some(vec!["x".into()]), None);
        assert_eq!(processes.len(), 1);
        assert_eq!(processes[0].kind, ProcessKind::Worker);
    }

    #[test]
    fn a_worker_of_the_settings_leaves_the_detected_web_process() {
        let settings = r#"{"run":{"processes":{"worker":{"command":"w 1"}}}}"#;
        let processes = declared(settings, "").processes(Some(vec!["x".into()]), None);
        let kinds: Vec<_> = processes.iter().map(|process| process.kind).collect();
        assert_eq!(kinds, [ProcessKind::Web, ProcessKind::Worker]);
        assert_eq!(declared(settings, "").processes(None, None).len(), 1);
    }

    #[test]
    fn a_program_that_opens_no_port_runs_once_as_a_worker() {
        let run = |settings: &str, procfile: &str| {
            let declared = declared(settings, procfile).with_worker(Some("bot 1"));
            let shown = |one: Process| format!("{}: {}", one.name, one.argv.join(" "));
            let web = Some(vec!["bot".to_owned(), "1".to_owned()]);
            declared.processes(web, None).into_iter().map(shown).collect::<Vec<_>>()
        };
        let named = |name: &str, line: &str| {
            format!(r#"{{"run":{{"processes":{{"{name}":{{"command":"{line}"}}}}}}}}"#)
        };
        assert_eq!(run("{}", ""), ["worker: bot 1"]);
        assert_eq!(run(&named("worker", "bot 2"), ""), ["worker: bot 2"]);
        assert_eq!(run(&named("bot", "bot  1"), ""), ["bot: bot 1"]);
        assert_eq!(run(&named("jobs", "j 1"), ""), ["worker: bot 1", "jobs: j 1"]);
        assert_eq!(run(&named("web", "w 1"), ""), ["web: w 1"]);
        assert_eq!(run("{}", "jobs: j 1\n"), ["jobs: j 1"]);
        assert_eq!(run("{}", "web: w 1\n"), ["web: w 1"]);
    }

    #[test]
    fn a_web_process_without_a_port_is_said_with_where_it_was_declared() {
        let said = |settings: &str, procfile: &str| declared(settings, procfile).no_port("bot.py");
        let set = said(r#"{"run":{"command":"python bot.py"}}"#, "").unwrap();
        assert!(set.contains("run.command in windlass.toml makes it the web process"), "{set}");
        assert!(set.contains("set run.processes.worker.command"), "{set}");
        let listed = said("{}", "web: python bot.py\n").unwrap();
        assert!(listed.contains("web in Procfile") && listed.contains("`worker`"), "{listed}");
        assert_eq!(said("{}", "worker: python bot.py\n"), None);
    }

    #[test]
    fn a_process_of_the_settings_replaces_one_of_the_procfile() {
        let settings = r#"{"run":{"port":8080,"processes":{"worker":{"command":"new"}}}}"#;
        let declared = declared(settings, "web: a\nworker: old\n");
        let processes = declared.processes(None, Some(1));
        assert_eq!(processes[0].ports, [8080]);
        assert_eq!(processes[1].argv, ["new"]);
    }
}
