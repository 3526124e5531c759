//! `windlass service`: databases and the like that an environment's variables point at.

use clap::Subcommand;
use serde_json::Value;
use ureq::http::Method;
use windlass_model::api::AddService;
use windlass_model::id::ServiceName;
use windlass_model::variable::VariableName;

use super::environment::items;
use super::{environment_path, project::done};
use crate::exit::{CliResult, Exit};
use crate::render::{harmless, table};
use crate::session::Session;

/// Add, list and remove services that an environment needs: each must answer before a switch.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass service add db --kind postgres --address db.internal:5432 --variable DATABASE_URL
  windlass service list -e staging")]
pub struct Service {
    #[command(subcommand)]
    verb: ServiceVerb,
}

#[derive(Debug, Subcommand)]
enum ServiceVerb {
    /// Add a service.
    Add {
        /// Its name.
        name: ServiceName,
        /// `host:port` as the application sees it.
        #[arg(long)]
        address: String,
        /// `postgres`, `redis`, ...
        #[arg(long, default_value = "")]
        kind: String,
        /// A variable that points at it; may be repeated.
        #[arg(long = "variable", value_name = "NAME")]
        variable_names: Vec<VariableName>,
    },
    /// List services.
    List,
    /// Remove a service.
    Remove {
        /// Its name.
        name: ServiceName,
    },
}

impl Service {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let all = environment_path(session, &["services"])?;
        match self.verb {
            ServiceVerb::Add { name, address, kind, variable_names } => {
                let sentence = format!("service {name} is added");
                let body = AddService { name, kind, address, variable_names };
                let view: Value = client.send(Method::POST, &all, &body)?;
                if session.json() {
                    session.print_json(&view);
                } else {
                    session.console.line(&sentence);
                }
            }
            ServiceVerb::List => list(session, items(client.get(&all)?)?),
            ServiceVerb::Remove { name } => {
                client.delete(&environment_path(session, &["services", name.as_str()])?)?;
                done(session, &format!("service {name} is removed"), "removed", name.as_str());
            }
        }
        Ok(Exit::Ok)
    }
}

fn list(session: &mut Session<'_, '_>, services: Vec<Value>) {
    if session.json() {
        session.print_json(&services);
        return;
    }
    if services.is_empty() {
        session.console.line("no services");
        return;
    }
    let text = |service: &Value, key: &str| {
        harmless(service.get(key).and_then(Value::as_str).unwrap_or_default())
    };
    let names = |service: &Value| {
        let list = service.get("variable_names").and_then(Value::as_array);
        let names: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
        harmless(&names.join(", "))
    };
    let rows: Vec<Vec<String>> = services
        .iter()
        .map(|one| vec![text(one, "name"), text(one, "kind"), text(one, "address"), names(one)])
        .collect();
    session.console.out(&table(&["service", "kind", "address", "variables"], &rows));
}
