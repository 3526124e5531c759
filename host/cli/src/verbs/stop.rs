//! `windlass stop`: end what runs and keep the deployment.

use windlass_model::running::RunningView;

use super::environment_path;
use super::running::{Until, settled};
use crate::exit::{CliResult, Exit};
use crate::session::Session;

/// End an environment's instances; visitors read that it is stopped, and `start` brings it back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass stop
  windlass stop -e staging --project shop")]
pub struct Stop {
    #[command(flatten)]
    until: Until,
}

impl Stop {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let view: RunningView = client.post(&environment_path(session, &["stop"])?)?;
        self.until.finish(session, &client, view, "stopped", settled)
    }
}
