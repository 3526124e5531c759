//! `windlass scale`: more or fewer instances, without a deployment.

use std::str::FromStr;

use ureq::http::Method;
use windlass_model::id::ProcessName;
use windlass_model::running::{RunningView, SetScale};

use super::environment_path;
use super::running::{Until, complete};
use crate::exit::{CliResult, Exit};
use crate::session::Session;

/// Set how many instances a process has; it goes before windlass.toml and stays over deployments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass scale web=3
  windlass scale web=2 worker=0
  windlass scale web=default     # as windlass.toml says")]
pub struct Scale {
    /// PROCESS=NUMBER, or PROCESS=default.
    #[arg(required = true, value_name = "PROCESS=NUMBER")]
    processes: Vec<Wanted>,
    #[command(flatten)]
    until: Until,
}

#[derive(Debug, Clone)]
struct Wanted {
    process: ProcessName,
    replicas: Option<u32>,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (process, number) =
            text.split_once('=').ok_or_else(|| "give it as web=3".to_owned())?;
        let process = process.parse().map_err(|e: windlass_model::id::InvalidId| e.to_string())?;
        let replicas = match number {
            "default" => None,
            number => Some(number.parse().map_err(|_| "a number, or default".to_owned())?),
        };
        Ok(Self { process, replicas })
    }
}

impl Scale {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let replicas = self.processes.into_iter().map(|one| (one.process, one.replicas)).collect();
        let path = environment_path(session, &["scale"])?;
        let view: RunningView = client.send(Method::PUT, &path, &SetScale { replicas })?;
        self.until.finish(session, &client, view, "scaled", complete)
    }
}
