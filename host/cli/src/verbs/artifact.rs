//! `windlass artifact`: files that plugins attached to a deployment.

use std::path::PathBuf;

use clap::Subcommand;
use windlass_model::api::DeploymentView;
use windlass_model::stage::Attached;

use super::{resolve_in_full, save};
use crate::client;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{bytes, harmless, table};
use crate::session::Session;

/// Files that plugins attached to a deployment: reports, tables, images.
#[derive(Debug, clap::Args)]
pub struct Artifact {
    #[command(subcommand)]
    verb: ArtifactVerb,
}

#[derive(Debug, Subcommand)]
enum ArtifactVerb {
    /// List them.
    List(List),
    /// Download one.
    Get(Get),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass artifact list
  windlass artifact list 12 --project shop --json")]
struct List {
    /// Id, start of an id, or number [default: the environment's newest].
    deployment: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass artifact get sbom.json
  windlass artifact get report.html 12 --plugin osv-scan --output report.html")]
struct Get {
    /// The file's name.
    name: String,
    /// Id, start of an id, or number [default: the environment's newest].
    deployment: Option<String>,
    /// The plugin that attached it, where two have a file of this name.
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Where it is written [default: a file of its name here].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Artifact {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        match self.verb {
            ArtifactVerb::List(list) => list.run(session),
            ArtifactVerb::Get(get) => get.run(session),
        }
    }
}

impl List {
    fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let view = resolve_in_full(session, &client, self.deployment.as_deref())?;
        if session.json() {
            session.print_json(&view.attached);
        } else {
            session.console.out(&listed(&view));
        }
        Ok(Exit::Ok)
    }
}

fn listed(view: &DeploymentView) -> String {
    if view.attached.is_empty() {
        return format!("nothing is attached to #{}\n", view.deployment.number);
    }
    rows(&view.attached)
}

/// The files as a table.
pub(crate) fn rows(attached: &[Attached]) -> String {
    let row = |one: &Attached| {
        vec![
            one.name.clone(),
            one.kind.as_str().to_owned(),
            one.plugin.clone(),
            bytes(one.bytes),
            harmless(&one.title),
        ]
    };
    let rows: Vec<Vec<String>> = attached.iter().map(row).collect();
    table(&["file", "kind", "plugin", "size", "title"], &rows)
}

impl Get {
    fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let view = resolve_in_full(session, &client, self.deployment.as_deref())?;
        let is_meant = |one: &&Attached| {
            one.name == self.name && self.plugin.as_ref().is_none_or(|name| *name == one.plugin)
        };
        let meant: Vec<&Attached> = view.attached.iter().filter(is_meant).collect();
        let [one] = meant[..] else {
            return Err(not_one(&view, &self.name, &meant));
        };
        let id = view.deployment.id.as_str();
        let path = ["v1", "deployments", id, "artifacts", &one.plugin, &one.name];
        let (_, body) = client.download(&client::path(&path), "windlass-digest")?;
        let to = self.output.unwrap_or_else(|| PathBuf::from(&one.name));
        save::write(body, &to, one.bytes)?;
        if session.json() {
            session.print_json(one);
        } else {
            let (file, size) = (to.display().to_string(), bytes(one.bytes));
            session.console.out(&format!("{}: {size}, {}\n", harmless(&file), one.digest));
        }
        Ok(Exit::Ok)
    }
}

fn not_one(view: &DeploymentView, name: &str, meant: &[&Attached]) -> Box<CliError> {
    let number = view.deployment.number;
    if meant.is_empty() {
        return CliError::new(
            Exit::NotFound,
            "cli.no-artifact",
            format!("deployment #{number} has no file {name:?}"),
            format!("{} files are attached to it", view.attached.len()),
            format!("list them: windlass artifact list {number}"),
        );
    }
    let plugins: Vec<&str> = meant.iter().map(|one| one.plugin.as_str()).collect();
    CliError::new(
        Exit::Refused,
        "cli.ambiguous-artifact",
        format!("{} plugins attached a file {name:?} to deployment #{number}", meant.len()),
        format!("they are {}", plugins.join(", ")),
        format!("say which: --plugin {}", plugins[0]),
    )
}
