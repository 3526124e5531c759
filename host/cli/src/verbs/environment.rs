//! `windlass environment`: make, list, show, delete.

use clap::Subcommand;
use serde_json::Value;
use ureq::http::Method;
use windlass_model::EnvironmentName;
use windlass_model::api::{CreateEnvironment, EnvironmentView};

use super::{confirm, project::done};
use crate::client;
use crate::exit::{CliResult, Exit};
use crate::render::{date, harmless, table};
use crate::session::Session;

/// Make, list, show and delete environments of a project.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass environment create staging
  windlass environment list --project shop")]
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
    /// Delete an environment with its variables and history; refused while something of it is live.
    Delete {
        /// Its name.
        name: EnvironmentName,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
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
            EnvironmentVerb::Delete { name, yes } => {
                // Nobody is asked to confirm the end of what is not there.
                let _there: EnvironmentView = client.get(&one(&name))?;
                confirm(session, yes, "environment", name.as_str())?;
                client.delete(&one(&name))?;
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
