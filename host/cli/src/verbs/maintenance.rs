//! `windlass maintenance`: keep visitors away for a while.

use clap::Subcommand;
use ureq::http::Method;
use windlass_model::running::{RunState, RunningView, SetMaintenance};

use super::environment_path;
use crate::client::Client;
use crate::exit::{CliResult, Exit};
use crate::session::Session;

/// Hold visitors, then refuse them with a message, while the instances go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass maintenance on --message \"back at noon\"
  windlass maintenance on --hold-s 0
  windlass maintenance off")]
pub struct Maintenance {
    #[command(subcommand)]
    verb: MaintenanceVerb,
}

#[derive(Debug, Subcommand)]
enum MaintenanceVerb {
    /// Keep visitors away.
    On {
        /// What they read.
        #[arg(long)]
        message: Option<String>,
        /// Seconds that a request is held before it is refused [default: the proxy's, 10].
        #[arg(long)]
        hold_s: Option<u64>,
    },
    /// Let them in again.
    Off,
}

impl Maintenance {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let path = environment_path(session, &["maintenance"])?;
        let view: RunningView = match self.verb {
            MaintenanceVerb::On { message, hold_s } => {
                let hold_ms = hold_s.map(|s| s.saturating_mul(1000));
                client.send(Method::PUT, &path, &SetMaintenance { message, hold_ms })?
            }
            MaintenanceVerb::Off => off(session, &client, &path)?,
        };
        if session.json() {
            session.print_json(&view);
        } else {
            let project = session.project()?;
            let state = if view.state == RunState::Maintenance {
                "in maintenance; its instances go on"
            } else {
                "open to visitors"
            };
            session.console.line(&format!("{project}/{} is {state}", session.environment()));
        }
        Ok(Exit::Ok)
    }
}

fn off(session: &Session<'_, '_>, client: &Client, path: &str) -> CliResult<RunningView> {
    client.delete(path)?;
    client.get(&environment_path(session, &["running"])?)
}
