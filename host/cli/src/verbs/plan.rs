//! `windlass plan`: how would this folder be built?

use serde::Serialize;
use windlass_model::Failure;

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

/// What `--json` prints where there is no plan: the failure stands where `detect`, a plan of the host's and a
/// deployment have it.
#[derive(Serialize)]
struct Unplanned<'a> {
    failure: &'a Failure,
}

impl Plan {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let options = self.source.options(session)?;
        let output = match session.roles.plan(&options) {
            Ok(output) => output,
            Err(failure) if session.json() => {
                session.print_json(&Unplanned { failure: &failure });
                return Ok(CliError::of_role(failure).exit);
            }
            Err(failure) => return Err(CliError::of_role(failure)),
        };
        if session.json() {
            session.print_json(&output);
        } else {
            let text = render::plan::plan(&output, session.console.color());
            session.console.out(&text);
        }
        Ok(Exit::Ok)
    }
}
