//! `windlass init`: a `windlass.toml` from what is detected.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use windlass_model::plan::{BuildPlan, Migration, MigrationVerdict, Probe, Toolchain};
use windlass_model::settings::{self, Settings};
use windlass_model::{EnvironmentName, Failure, ProjectName};

use super::detect::Source;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{harmless, plan};
use crate::roles::{DetectOutput, LocalOptions, PlanOutput, Roles};
use crate::session::{Session, project_of_folder};

/// Write windlass.toml from what is detected; never over an existing one unless --force.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass init
  windlass init ../shop --project shop --force")]
pub struct Init {
    #[command(flatten)]
    source: Source,
    /// Write over an existing windlass.toml.
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Written<'a> {
    file: String,
    name: &'a ProjectName,
    framework: &'a str,
    content: &'a str,
}

impl Init {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let force = self.force;
        let mut options = self.source.options(session)?;
        options.without_settings = force;
        let file = options.path.join(settings::FILE);
        if file.exists() && !force {
            return Err(CliError::new(
                Exit::Refused,
                "cli.settings-exist",
                format!("{} exists already", file.display()),
                "it may hold settings that are not to be lost",
                "edit it, or write over it with --force",
            ));
        }
        let name = match &session.common.project {
            Some(project) => project.clone(),
            None => project_of_folder(&options.path).or_else(|error| {
                let folder = options.path.canonicalize().unwrap_or_else(|_| options.path.clone());
                let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
                let name = name.as_deref().and_then(ProjectName::from_loose);
                name.filter(|_| force).ok_or(error)
            })?,
        };
        let found = session.roles.detect(&options).map_err(CliError::of_role)?;
        if let Some(failure) = found.failure.clone() {
            return Err(CliError::of_role(failure));
        }
        let plan = session.roles.plan(&options).ok();
        let member = plan.as_ref().and_then(|plan| member(session.roles, &options, plan));
        let app_dir = options.app_dir.as_deref().or(member.as_deref());
        let content = content(&name, app_dir, &found, plan.as_ref());
        // What is written must be read the same way by a deployment.
        Settings::parse(&content, &EnvironmentName::production()).map_err(CliError::of_role)?;
        write(&file, &content, force)?;
        let framework = found.chosen.as_ref().map(|d| d.id.as_str()).unwrap_or_default();
        if session.json() {
            let file = file.display().to_string();
            session.print_json(&Written { file, name: &name, framework, content: &content });
        } else {
            session.console.line(&format!("wrote {}", file.display()));
            session.console.line("next: windlass plan, then windlass deploy");
        }
        Ok(Exit::Ok)
    }
}

fn write(file: &Path, content: &str, force: bool) -> CliResult<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(!force).create(force).truncate(force);
    options.open(file).and_then(|mut file| file.write_all(content.as_bytes())).map_err(|e| {
        let failure = Failure::host(
            "cli.write",
            format!("cannot write {}", file.display()),
            e.to_string(),
            "make the folder writable",
        );
        CliError::of_role(failure)
    })
}

fn content(
    name: &ProjectName,
    app_dir: Option<&str>,
    found: &DetectOutput,
    plan: Option<&PlanOutput>,
) -> String {
    let mut text =
        "# Settings of this project; `windlass plan` shows what they lead to.\n".to_owned();
    text += &format!("name = {}\n", quoted(name.as_str()));
    if let Some(chosen) = &found.chosen {
        text += "\n[build]\n";
        if let Some(app_dir) = app_dir {
            text += &format!("app_dir = {}\n", quoted(app_dir));
        }
        for sign in &chosen.evidence {
            let sign = format!("{} {}", sign.path, sign.detail);
            text += &format!("# seen: {}\n", harmless(sign.trim_end()));
        }
        text += &format!("framework = {}\n", quoted(&chosen.id));
        let needed: Vec<String> = chosen
            .toolchains
            .iter()
            .filter(|one| !one.requirement.is_empty() && is_setting(one))
            .map(|one| format!("{} = {}", key(&one.name), quoted(&one.requirement)))
            .collect();
        if !needed.is_empty() {
            text += &format!("toolchain = {{ {} }}\n", needed.join(", "));
        }
    }
    if let Some(plan) = plan {
        text += &run(plan);
        text += &migration(plan);
        text += &health(plan);
        text += &elsewhere(plan);
    }
    text
}

/// The processes. Only the port is a setting: a command line that is written down as one would change what is
/// built for it, so the detected ones are comments.
fn run(plan: &PlanOutput) -> String {
    let processes = &plan.stored.plan.processes;
    let web = processes.iter().find(|process| process.name == "web");
    let mut text = String::new();
    if let Some(web) = web {
        text += "\n[run]\n";
        if !web.argv.is_empty() {
            text += &format!("# command = {}   # detected\n", command(&web.argv));
        }
        match web.ports.first() {
            Some(port) => {
                text += &format!("# The application is told its port in PORT.\nport = {port}\n");
            }
            None => {
                text += "# The application is told its port in PORT; it is free to choose: port = 8080\n";
            }
        }
    }
    for other in
        processes.iter().filter(|process| process.name != "web" && !process.argv.is_empty())
    {
        let name = key(&other.name);
        let command = command(&other.argv);
        text += &format!("\n# [run.processes.{name}]\n# command = {command}   # detected\n");
    }
    text
}

/// A command as the TOML string that would set it, on one line, fit for a comment; what a shell runs is the line
/// itself.
fn command(argv: &[String]) -> String {
    let line = match argv {
        [shell, flag, line] if shell.ends_with("sh") && flag == "-c" => {
            line.strip_prefix("exec ").unwrap_or(line).to_owned()
        }
        argv => plan::command(argv),
    };
    if line.chars().any(char::is_control) {
        // JSON's escapes are TOML's; what it leaves as it is, is replaced.
        return harmless(&serde_json::Value::from(line).to_string());
    }
    quoted(&line)
}

/// Whether `build.toolchain` takes it: a plugin may need what is no setting.
fn is_setting(toolchain: &Toolchain) -> bool {
    let line =
        format!("build.toolchain.{} = {}", key(&toolchain.name), quoted(&toolchain.requirement));
    Settings::parse(&line, &EnvironmentName::production()).is_ok()
}

/// What the plan says of other platforms' files, as comments.
fn elsewhere(plan: &PlanOutput) -> String {
    let signs = [": taken: ", ": taken unless ", ": ignored: "];
    let names = |line: &&String| signs.iter().any(|sign| line.contains(sign));
    let lines: Vec<String> =
        plan.log.iter().filter(names).map(|line| format!("# {}\n", harmless(line))).collect();
    if lines.is_empty() {
        return String::new();
    }
    let head = "\n# Other platforms' files are read as well; what stands here goes before them.\n";
    format!("{head}{}", lines.concat())
}

/// Where a migration is set, with what was found: it is run without being written down, so it is a comment.
fn migration(plan: &PlanOutput) -> String {
    let mut text = String::new();
    for found in &plan.migrations {
        let tool = harmless(&found.tool);
        text += &match &found.verdict {
            MigrationVerdict::Run => {
                let sign = found.evidence.first();
                let sign = sign.map(|one| format!(", {} {}", one.path, one.detail));
                let sign = harmless(sign.unwrap_or_default().trim_end());
                let argv = migrating(&plan.stored.plan, found);
                format!("# command = {}   # found: {tool}{sign}\n", command(&argv))
            }
            MigrationVerdict::Leave(reason) => {
                format!("# {tool} is not run: {}\n", harmless(reason))
            }
        };
    }
    let runs = plan.migrations.iter().filter(|one| one.verdict == MigrationVerdict::Run).count();
    if runs > 1 {
        text += "# Several were found, and none of them is run: set the one that is to be.\n";
    }
    if text.is_empty() { text } else { format!("\n# [migrate]\n{text}") }
}

/// The command of a migration. One that is set runs in the folder of its output, so it says where it runs elsewhere.
fn migrating(build: &BuildPlan, found: &Migration) -> Vec<String> {
    let Some(folder) = plan::own_folder(build, found) else { return found.argv.clone() };
    let typed = plan::command;
    let line = format!("cd {} && {}", typed(&[folder.to_owned()]), typed(&found.argv));
    vec!["/bin/sh".to_owned(), "-c".to_owned(), line]
}

/// Where the health check is set, with what is asked while it is not.
fn health(plan: &PlanOutput) -> String {
    let Some(health) = &plan.health else { return String::new() };
    let asked = health.policy.probes.iter().filter_map(|probe| match probe {
        Probe::Http { path, .. } => Some(path.as_str()),
        _ => None,
    });
    let asked: Vec<&str> = asked.collect();
    let Some(path) = asked.first() else { return String::new() };
    let first = format!("asked first at {path}: ");
    let sign = plan.log.iter().find_map(|line| line.strip_prefix(&first));
    let why = match (sign, asked.len()) {
        (Some(sign), _) => format!("found: {}", harmless(sign.trim_end())),
        (None, 1) => "the only path that is asked".to_owned(),
        (None, _) => format!("not set: asked in turn are {}", harmless(&asked.join(", "))),
    };
    format!("\n# [health]\n# path = {}   # {why}\n", quoted(path))
}

/// The member of a workspace that was chosen by itself, where naming it leads to the same.
fn member(roles: &dyn Roles, options: &LocalOptions, plan: &PlanOutput) -> Option<String> {
    let folder = plan.detection.app_dir.clone().filter(|_| options.app_dir.is_none())?;
    let inside = LocalOptions { app_dir: Some(folder.clone()), ..options.clone() };
    let other = roles.plan(&inside).ok()?;
    leads_to_the_same(plan, &other).then_some(folder)
}

fn leads_to_the_same(one: &PlanOutput, other: &PlanOutput) -> bool {
    let results = |of: &PlanOutput| {
        let (plan, found) = (&of.stored.plan, of.migrations.iter());
        let migrations: Vec<_> =
            found.map(|one| (one.tool.clone(), one.argv.clone(), one.verdict.clone())).collect();
        (of.detection.id.clone(), plan.outputs.clone(), plan.processes.clone(), migrations)
    };
    results(one) == results(other)
}

/// A TOML key: bare where that is allowed.
fn key(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(bare) { text.to_owned() } else { quoted(text) }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use windlass_model::ahead::PlannedHealth;
    use windlass_model::deployment::StoredPlan;
    use windlass_model::plan::{
        Detection, Evidence, HealthPolicy, Output, OutputKind, ProcessKind, ProcessPlan, RunConfig,
    };
    use windlass_model::plugin::Manifest;
    use windlass_model::recovery::{BackupView, RecoverReport, RestoreReport};

    use super::*;
    use crate::roles;

    #[test]
    fn what_is_written_can_be_read_again() {
        let detection = Detection {
            toolchains: vec![
                Toolchain { name: "node".into(), requirement: ">=20 <23".into() },
                Toolchain { name: "python".into(), requirement: String::new() },
                Toolchain { name: "golang".into(), requirement: "2".into() },
                Toolchain { name: "ruby".into(), requirement: "whatever".into() },
            ],
            evidence: vec![Evidence { path: "app.json".into(), detail: "a \"key\"\nb".into() }],
            ..special()
        };
        let found = DetectOutput {
            plugin: Some("acme".into()),
            chosen: Some(detection),
            failure: None,
            answers: vec![],
            problems: vec![],
            settings: Settings::default(),
            took_ms: 1,
        };
        let plan = planned();
        let app_dir = Some("apps/\"web");
        let text = content(&"shop".parse().unwrap(), app_dir, &found, Some(&plan));
        for line in [
            "# command = 'node server.js --x \"a b\"'   # detected",
            "port = 4000",
            "# [run.processes.worker]",
            "# command = \"node worker.js\"   # detected",
            "# command = \"node 'a b.js'\"   # detected",
            "# command = \"a\\nframework = 'b'\"   # detected",
            "# railway.json: taken: deploy.startCommand \"x\"",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
        assert!(!text.contains("something else"));
        let read = Settings::parse(&text, &EnvironmentName::production()).unwrap();
        assert_eq!(read.name.unwrap().as_str(), "shop");
        assert_eq!(read.build.framework.as_deref(), Some("special"));
        assert_eq!(read.build.app_dir, "apps/\"web");
        let toolchain: Vec<_> = read.build.toolchain.into_iter().collect();
        assert_eq!(toolchain, [("node".to_owned(), ">=20 <23".to_owned())]);
        assert_eq!(read.run.port, Some(4000));
        assert!(read.run.command.is_none() && read.run.processes.is_empty(), "the same plan again");
    }

    fn special() -> Detection {
        Detection::new("special", "Special", "x", 90)
    }

    fn planned() -> PlanOutput {
        let process = |name: &str, argv: &[&str], ports: &[u16]| ProcessPlan {
            name: name.into(),
            output: "app".into(),
            kind: ProcessKind::Web,
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            ports: ports.to_vec(),
        };
        let web = ["/bin/sh", "-c", "exec node server.js --x \"a b\""];
        let processes = vec![
            process("web", &web, &[4000]),
            process("worker", &["node", "worker.js"], &[]),
            process("quoted", &["node", "a b.js"], &[]),
            process("lines", &["/bin/sh", "-c", "a\nframework = 'b'"], &[]),
            process("image", &[], &[]),
        ];
        let plan = BuildPlan { processes, ..BuildPlan::default() };
        let log = ["railway.json: taken: deploy.startCommand \"x\"", "something else"];
        PlanOutput {
            detection: special(),
            stored: StoredPlan { plugin: "acme".into(), plan },
            migrations: vec![],
            health: None,
            log: log.map(str::to_owned).to_vec(),
            near_misses: vec![],
        }
    }

    fn found(tool: &str, argv: &[&str], verdict: MigrationVerdict) -> Migration {
        Migration {
            tool: tool.into(),
            output: "app".into(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            cwd: String::new(),
            evidence: vec![Evidence { path: "db/schema.txt".into(), detail: "a\nb".into() }],
            verdict,
        }
    }

    fn asked_at(paths: &[&str]) -> PlannedHealth {
        let probe = |path: &&str| Probe::Http {
            process: "web".into(),
            port: None,
            path: (*path).to_owned(),
            headers: vec![],
            redirects_max: 3,
        };
        let policy = HealthPolicy {
            probes: paths.iter().map(probe).collect(),
            pass_status: vec![],
            first_after_ms: 0,
            interval_min_ms: 0,
            interval_max_ms: 0,
            timeout_ms: 0,
            budget_ms: 0,
        };
        PlannedHealth { plugin: "health".into(), policy }
    }

    #[test]
    fn what_is_migrated_and_probed_is_written_as_comments() {
        let mut plan = planned();
        assert_eq!((migration(&plan), health(&plan)), (String::new(), String::new()));
        let argv = ["/bin/sh", "-c", "exec npx steps migrate deploy"];
        plan.migrations = vec![found("steps", &argv, MigrationVerdict::Run)];
        let left = MigrationVerdict::Leave("the application does it at its start".into());
        plan.migrations.push(found("rungs", &["rungs"], left));
        plan.health = Some(asked_at(&["/up", "/"]));
        plan.log = vec!["asked first at /up: config/routes.rb line 3".into()];
        let text = migration(&plan) + &health(&plan);
        for line in [
            "# [migrate]",
            "# command = \"npx steps migrate deploy\"   # found: steps, db/schema.txt a b",
            "# rungs is not run: the application does it at its start",
            "# [health]",
            "# path = \"/up\"   # found: config/routes.rb line 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
        assert!(!text.contains("Several"));
        assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");
        plan.migrations.push(found("ladder", &["ladder-kit"], MigrationVerdict::Run));
        assert!(migration(&plan).contains("none of them is run"));
        plan.log.clear();
        let usual = health(&plan);
        assert!(usual.ends_with("\"/up\"   # not set: asked in turn are /up, /\n"), "{usual}");
        plan.health = Some(asked_at(&["/ready"]));
        assert!(health(&plan).ends_with("# path = \"/ready\"   # the only path that is asked\n"));
        let mut site = planned();
        site.stored.plan.processes.clear();
        assert_eq!(run(&site), "");
    }

    #[test]
    fn a_migration_that_runs_elsewhere_is_written_with_its_folder() {
        let mut plan = planned();
        let config = RunConfig { cwd: "/app/apps/api".into(), ..RunConfig::default() };
        let artifact = OutputKind::Image { step: "app".into(), config };
        plan.stored.plan.outputs = vec![Output { name: "app".into(), artifact }];
        let written = |cwd: &str| {
            let one = found("steps", &["steps", "up"], MigrationVerdict::Run);
            let mut plan = plan.clone();
            plan.migrations = vec![Migration { cwd: cwd.into(), ..one }];
            migration(&plan)
        };
        for (cwd, line) in [
            (
                "/app/packages/db",
                "# command = \"cd /app/packages/db && steps up\"   # found: steps",
            ),
            ("/app/my db", "# command = \"cd '/app/my db' && steps up\"   # found: steps"),
            ("/app/apps/api", "# command = \"steps up\"   # found: steps"),
            ("", "# command = \"steps up\"   # found: steps"),
        ] {
            let text = written(cwd);
            assert!(text.lines().any(|found| found.starts_with(line)), "{line}:\n{text}");
        }
    }

    /// A machine on which a folder is planned as given, and everything else refused.
    struct Folders(Vec<(&'static str, PlanOutput)>);

    impl Roles for Folders {
        fn plan(&self, options: &LocalOptions) -> Result<PlanOutput, Failure> {
            let asked = options.app_dir.as_deref();
            let found = self.0.iter().find(|(folder, _)| Some(*folder) == asked);
            found.map(|(_, plan)| plan.clone()).ok_or_else(refused)
        }
        fn serve(&self, _: roles::ServeOptions) -> Result<(), Failure> {
            Err(refused())
        }
        fn proxy(&self, _: roles::ProxyOptions) -> Result<(), Failure> {
            Err(refused())
        }
        fn detect(&self, _: &LocalOptions) -> Result<DetectOutput, Failure> {
            Err(refused())
        }
        fn doctor(&self, _: &roles::DoctorOptions) -> Result<Vec<roles::Check>, Failure> {
            Err(refused())
        }
        fn manifests(&self, _: &roles::PluginFolders) -> Result<Vec<Manifest>, Failure> {
            Err(refused())
        }
        fn teardown(&self, _: roles::TeardownOptions) -> Result<(), Failure> {
            Err(refused())
        }
        fn recover(&self, _: roles::RecoverOptions) -> Result<RecoverReport, Failure> {
            Err(refused())
        }
        fn restore(&self, _: roles::RestoreOptions) -> Result<RestoreReport, Failure> {
            Err(refused())
        }
        fn verify_backup(&self, _: &Path) -> Result<BackupView, Failure> {
            Err(refused())
        }
        fn authoring(&self) -> &dyn roles::Authoring {
            unreachable!("init writes no plugins")
        }
    }

    fn refused() -> Failure {
        Failure::app("detect.no-match", "no plugin recognises this source", "a test", "none")
    }

    #[test]
    fn a_member_is_named_where_naming_it_leads_to_the_same() {
        let mut options = LocalOptions {
            path: ".".into(),
            environment: EnvironmentName::production(),
            without_settings: false,
            app_dir: None,
            framework: None,
            plugins_dir: None,
            data_dir: ".".into(),
        };
        let chosen = |folder: &str| {
            let mut plan = planned();
            plan.detection.app_dir = Some(folder.to_owned());
            plan
        };
        let mut other = planned();
        other.stored.plan.processes.truncate(1);
        let roles = Folders(vec![("apps/docs", other), ("apps/web", planned())]);
        assert_eq!(member(&roles, &options, &chosen("apps/web")).as_deref(), Some("apps/web"));
        assert_eq!(member(&roles, &options, &chosen("apps/docs")), None);
        assert_eq!(member(&roles, &options, &chosen("apps/gone")), None);
        assert_eq!(member(&roles, &options, &planned()), None);
        options.app_dir = Some("apps".into());
        assert_eq!(member(&roles, &options, &chosen("apps/web")), None);
    }
}
