//! `windlass environment`: make, list, show, delete; when pushes deploy to it.

use clap::Subcommand;
use serde_json::Value;
use ureq::http::Method;
use windlass_model::EnvironmentName;
use windlass_model::api::{CreateEnvironment, EnvironmentView};
use windlass_model::hooks::{AutoDeployView, SetAutoDeploy};

use super::preview::Switch;
use super::{confirm, project::done};
use crate::client;
use crate::exit::{CliResult, Exit};
use crate::render::{date, harmless, table};
use crate::session::Session;

/// Make, list, show and delete environments of a project.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass environment create staging
  windlass environment list --project shop
  windlass environment set staging --branch develop --auto-deploy on
  windlass environment set production --tags 'v*'")]
pub struct Environment {
    #[command(subcommand)]
    verb: EnvironmentVerb,
}

#[derive(Debug, Subcommand)]
enum EnvironmentVerb {
    /// Make an environment.
    Create {
        /// Its name.
        name: EnvironmentName,
    },
    /// List environments.
    List,
    /// Show an environment.
    Show {
        /// Its name [default: as -e].
        name: Option<EnvironmentName>,
    },
    /// Show or change when pushes deploy to an environment; what is not named stays.
    Set {
        /// Its name [default: as -e].
        name: Option<EnvironmentName>,
        /// Whether pushes deploy.
        #[arg(long, value_name = "on|off")]
        auto_deploy: Option<Switch>,
        /// Branch, or pattern of branches, that deploys here; an empty one for the default: the
        /// repository's default branch for production, none for others.
        #[arg(long)]
        branch: Option<String>,
        /// Pattern of tags that deploy here; an empty one for none.
        #[arg(long, value_name = "PATTERN")]
        tags: Option<String>,
    },
    /// Delete an environment with its variables and history; refused while something of it is live.
    Delete {
        /// Its name.
        name: EnvironmentName,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Delete its volumes too; they stay otherwise.
        #[arg(long)]
        with_volumes: bool,
    },
}

impl Environment {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let project = session.project()?;
        let all = client::path(&["v1", "projects", project.as_str(), "environments"]);
        let one = |name: &EnvironmentName| format!("{all}/{name}");
        let client = session.client()?;
        match self.verb {
            EnvironmentVerb::Create { name } => {
                let view: EnvironmentView =
                    client.send(Method::POST, &all, &CreateEnvironment { name })?;
                if session.json() {
                    session.print_json(&view);
                } else {
                    session.console.line(&format!("environment {project}/{} is made", view.name));
                }
            }
            EnvironmentVerb::List => {
                let views: Vec<EnvironmentView> = items(client.get(&all)?)?;
                print(session, &views, false);
            }
            EnvironmentVerb::Show { name } => {
                let name = name.unwrap_or_else(|| session.environment());
                print(session, &[client.get(&one(&name))?], true);
            }
            EnvironmentVerb::Set { name, auto_deploy, branch, tags } => {
                let name = name.unwrap_or_else(|| session.environment());
                let path = format!("{}/auto-deploy", one(&name));
                let body = SetAutoDeploy { enabled: auto_deploy.map(Switch::is_on), branch, tags };
                let view: AutoDeployView = client.send(Method::PUT, &path, &body)?;
                print_rule(session, &view);
            }
            EnvironmentVerb::Delete { name, yes, with_volumes } => {
                // Nobody is asked to confirm the end of what is not there.
                let _there: EnvironmentView = client.get(&one(&name))?;
                confirm(session, yes, "environment", name.as_str())?;
                client.delete(&deleting(one(&name), with_volumes))?;
                done(
                    session,
                    &format!("environment {project}/{name} is deleted"),
                    "deleted",
                    name.as_str(),
                );
            }
        }
        Ok(Exit::Ok)
    }
}

/// The path to delete something with or without its volumes.
pub(super) fn deleting(path: String, with_volumes: bool) -> String {
    if with_volumes { client::with_query(&path, &[("volumes", "delete")]) } else { path }
}

/// The items of a list, whether it comes as an array or as a page.
pub(super) fn items<T: serde::de::DeserializeOwned>(value: Value) -> CliResult<Vec<T>> {
    let list = match value {
        Value::Object(mut page) => page.remove("items").unwrap_or_default(),
        list => list,
    };
    serde_json::from_value(list).map_err(|e| {
        crate::exit::CliError::new(
            Exit::Unreachable,
            "cli.unexpected-answer",
            "the host's answer is not understood",
            e.to_string(),
            "check that `windlass --version` is the host's (`windlass status`)",
        )
    })
}

fn print_rule(session: &mut Session<'_, '_>, view: &AutoDeployView) {
    if session.json() {
        session.print_json(view);
        return;
    }
    let production = view.environment == EnvironmentName::production();
    let default = if production { "the repository's default branch" } else { "none" };
    let or = |text: &Option<String>, other: &str| {
        text.as_deref().map_or_else(|| other.to_owned(), harmless)
    };
    let on = if view.rule.enabled { "on" } else { "off" };
    session.console.line(&format!(
        "{}\n  auto-deploy  {on}\n  branch       {}\n  tags         {}",
        view.environment,
        or(&view.rule.branch, default),
        or(&view.rule.tags, "none"),
    ));
}

fn print(session: &mut Session<'_, '_>, views: &[EnvironmentView], single: bool) {
    match views {
        [one] if single && session.json() => session.print_json(one),
        _ if session.json() => session.print_json(views),
        [] => session.console.line("no environments"),
        _ => {
            let rows: Vec<Vec<String>> = views
                .iter()
                .map(|one| {
                    let live = one.live_number.map_or_else(|| "–".to_owned(), |n| format!("#{n}"));
                    let urls = harmless(&one.urls.join(", "));
                    vec![one.name.to_string(), live, date(one.created_at), urls]
                })
                .collect();
            session.console.out(&table(&["environment", "live", "created", "addresses"], &rows));
        }
    }
}
