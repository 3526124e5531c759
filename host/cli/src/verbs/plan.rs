//! `windlass plan`: how would this folder be built?

use super::detect::Source;
use crate::exit::{CliError, CliResult, Exit};
use crate::render;
use crate::session::Session;

/// Show how a folder would be built and run, step by step; needs no host and runs nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plan
  windlass plan ../shop -e staging --json")]
pub struct Plan {
    #[command(flatten)]
    source: Source,
}

impl Plan {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let options = self.source.options(session)?;
        let output = session.roles.plan(&options).map_err(CliError::of_role)?;
        if session.json() {
            session.print_json(&output);
        } else {
            let text = render::plan::plan(&output, session.console.color());
            session.console.out(&text);
        }
        Ok(Exit::Ok)
    }
}
