//! `windlass start`: bring back what was stopped.

use windlass_model::running::RunningView;

use super::environment_path;
use super::running::{Until, settled};
use crate::exit::{CliResult, Exit};
use crate::session::Session;

/// Bring a stopped environment back: the same deployment, checked before visitors are led to it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass start
  windlass start -e staging --project shop")]
pub struct Start {
    #[command(flatten)]
    until: Until,
}

impl Start {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let view: RunningView = client.post(&environment_path(session, &["start"])?)?;
        self.until.finish(session, &client, view, "live", settled)
    }
}
