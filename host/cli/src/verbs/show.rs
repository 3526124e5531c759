//! `windlass show`: one deployment in full.

use super::resolve;
use crate::exit::{CliResult, Exit};
use crate::render;
use crate::session::Session;

/// Show a deployment: source, steps with their times, artifact, instances, failure.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass show
  windlass show 12 --project shop --json")]
pub struct Show {
    /// Id, start of an id, or number [default: the environment's newest].
    deployment: Option<String>,
}

impl Show {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let view = resolve(session, &client, self.deployment.as_deref())?;
        if session.json() {
            session.print_json(&view);
        } else {
            let text = render::deployment::full(&view, session.console.color());
            session.console.out(&text);
        }
        Ok(Exit::Ok)
    }
}
