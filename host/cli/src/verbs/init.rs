//! `windlass init`: a `windlass.toml` from what is detected.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use windlass_model::settings::{self, Settings};
use windlass_model::{EnvironmentName, Failure, ProjectName};

use super::detect::Source;
use crate::exit::{CliError, CliResult, Exit};
use crate::roles::{DetectOutput, LocalOptions, PlanOutput};
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
        let content = content(&name, &options, &found, plan.as_ref());
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
    options: &LocalOptions,
    found: &DetectOutput,
    plan: Option<&PlanOutput>,
) -> String {
    let mut text =
        "# Settings of this project; `windlass plan` shows what they lead to.\n".to_owned();
    text += &format!("name = {}\n", quoted(name.as_str()));
    if let Some(chosen) = &found.chosen {
        text += "\n[build]\n";
        if let Some(app_dir) = &options.app_dir {
            text += &format!("app_dir = {}\n", quoted(app_dir));
        }
        for sign in &chosen.evidence {
            let sign = format!("{} {}", sign.path, sign.detail);
            text += &format!("# seen: {}\n", crate::render::harmless(sign.trim_end()));
        }
        text += &format!("framework = {}\n", quoted(&chosen.id));
        let needed: Vec<String> = chosen
            .toolchains
            .iter()
            .filter(|toolchain| !toolchain.requirement.is_empty())
            .map(|one| format!("{} = {}", key(&one.name), quoted(&one.requirement)))
            .collect();
        if !needed.is_empty() {
            text += &format!("toolchain = {{ {} }}\n", needed.join(", "));
        }
    }
    if let Some(plan) = plan {
        text += &run(plan);
        text += &elsewhere(plan);
    }
    text += &migration(&options.path.join(options.app_dir.as_deref().unwrap_or_default()), plan);
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
            text += &format!("# command = {}   # detected\n", quoted(&line_of(&web.argv)));
        }
        match web.ports.first() {
            Some(port) => {
                text += &format!("# The application is told its port in PORT.\nport = {port}\n");
            }
            None => {
                text += "# The application is told its port in PORT; it is free to choose: port = 8080\n"
            }
        }
    }
    for other in
        processes.iter().filter(|process| process.name != "web" && !process.argv.is_empty())
    {
        let name = key(&other.name);
        let command = quoted(&line_of(&other.argv));
        text += &format!("\n# [run.processes.{name}]\n# command = {command}   # detected\n");
    }
    text
}

/// A command as one line, fit for a comment; what a shell runs is the line itself.
fn line_of(argv: &[String]) -> String {
    let line = match argv {
        [shell, flag, line] if shell.ends_with("sh") && flag == "-c" => {
            line.strip_prefix("exec ").unwrap_or(line).to_owned()
        }
        argv => argv.join(" "),
    };
    crate::render::harmless(&line)
}

/// What the plan says of other platforms' files, as comments.
fn elsewhere(plan: &PlanOutput) -> String {
    let names = |line: &&String| line.contains(": taken: ") || line.contains(": ignored: ");
    let lines: Vec<String> = plan
        .log
        .iter()
        .filter(names)
        .map(|line| format!("# {}\n", crate::render::harmless(line)))
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    let head = "\n# Other platforms' files are read as well; what stands here goes before them.\n";
    format!("{head}{}", lines.concat())
}

/// Where a migration and the health check are set, with the command that a Procfile names.
fn migration(folder: &Path, plan: Option<&PlanOutput>) -> String {
    if plan.is_none_or(|plan| plan.stored.plan.processes.is_empty()) {
        return String::new();
    }
    let procfile = std::fs::read_to_string(folder.join("Procfile")).unwrap_or_default();
    let release = procfile.lines().find_map(|line| line.strip_prefix("release:"));
    let mut text = String::new();
    if let Some(release) = release.map(str::trim).filter(|line| !line.is_empty()) {
        let release = quoted(&crate::render::harmless(release));
        text += &format!("\n# [migrate]\n# command = {release}   # from the Procfile\n");
    }
    text += "\n# [health]\n# path = \"/up\"   # probed until it answers; without it the usual paths are tried\n";
    text
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
    use windlass_model::deployment::StoredPlan;
    use windlass_model::plan::{
        BuildPlan, Detection, Evidence, ProcessKind, ProcessPlan, Toolchain,
    };

    use super::*;

    #[test]
    fn what_is_written_can_be_read_again() {
        let detection = Detection {
            id: "special".into(),
            name: "Special".into(),
            ecosystem: "x".into(),
            toolchains: vec![
                Toolchain { name: "tool".into(), requirement: ">=2 <3".into() },
                Toolchain { name: "other".into(), requirement: String::new() },
            ],
            confidence: 90,
            evidence: vec![Evidence { path: "app.json".into(), detail: "a \"key\"\nb".into() }],
            supersedes: vec![],
            notes_json: String::new(),
            refusal: None,
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
        let options = LocalOptions {
            path: ".".into(),
            environment: EnvironmentName::production(),
            without_settings: false,
            app_dir: Some("apps/\"web".into()),
            framework: None,
            plugins_dir: None,
            data_dir: ".".into(),
        };
        let plan = planned();
        let text = content(&"shop".parse().unwrap(), &options, &found, Some(&plan));
        for line in [
            "# command = 'node server.js --x \"a b\"'   # detected",
            "port = 4000",
            "# [run.processes.worker]",
            "# command = \"node worker.js\"   # detected",
            "# railway.json: taken: deploy.startCommand \"x\"",
            "# [health]",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
        assert!(!text.contains("something else"));
        let read = Settings::parse(&text, &EnvironmentName::production()).unwrap();
        assert_eq!(read.name.unwrap().as_str(), "shop");
        assert_eq!(read.build.framework.as_deref(), Some("special"));
        assert_eq!(read.build.app_dir, "apps/\"web");
        assert_eq!(read.build.toolchain["tool"], ">=2 <3");
        assert!(!read.build.toolchain.contains_key("other"));
        assert_eq!(read.run.port, Some(4000));
        assert!(read.run.command.is_none() && read.run.processes.is_empty(), "the same plan again");
    }

    fn planned() -> PlanOutput {
        let process = |name: &str, argv: &[&str], ports: &[u16]| ProcessPlan {
            name: name.into(),
            output: "app".into(),
            kind: ProcessKind::Web,
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            ports: ports.to_vec(),
        };
        let detection = Detection {
            id: "special".into(),
            name: "Special".into(),
            ecosystem: "x".into(),
            toolchains: vec![],
            confidence: 90,
            evidence: vec![],
            supersedes: vec![],
            notes_json: String::new(),
            refusal: None,
        };
        let web = ["/bin/sh", "-c", "exec node server.js --x \"a b\""];
        let processes = vec![
            process("web", &web, &[4000]),
            process("worker", &["node", "worker.js"], &[]),
            process("lines", &["/bin/sh", "-c", "a\nframework = 'b'"], &[]),
            process("image", &[], &[]),
        ];
        let plan = BuildPlan { processes, ..BuildPlan::default() };
        let log = ["railway.json: taken: deploy.startCommand \"x\"", "something else"];
        PlanOutput {
            detection,
            stored: StoredPlan { plugin: "acme".into(), plan },
            log: log.map(str::to_owned).to_vec(),
        }
    }

    #[test]
    fn a_release_of_the_procfile_is_shown_and_a_site_has_nothing_to_run() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Procfile"), "web: a\nrelease: rake db:migrate\n")
            .unwrap();
        let text = migration(folder.path(), Some(&planned()));
        assert!(text.contains("# command = \"rake db:migrate\"   # from the Procfile"), "{text}");
        let mut site = planned();
        site.stored.plan.processes.clear();
        assert_eq!(migration(folder.path(), Some(&site)), "");
        assert_eq!(run(&site), "");
    }
}
