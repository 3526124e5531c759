//! `windlass restart`: fresh instances of the same deployment.

use windlass_model::running::RunningView;

use super::environment_path;
use super::running::{Until, settled};
use crate::exit::{CliResult, Exit};
use crate::session::Session;

/// Replace each instance by a fresh one with the present variables, without losing a request.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass restart
  windlass restart -e staging --project shop")]
pub struct Restart {
    #[command(flatten)]
    until: Until,
}

impl Restart {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let view: RunningView = client.post(&environment_path(session, &["restart"])?)?;
        self.until.finish(session, &client, view, "restarted", settled)
    }
}
