//! `windlass why`: for each step of a build, that it was found or what changed.

use windlass_model::build::{BuildWhy, StepWhy};

use super::resolve;
use crate::client;
use crate::exit::{CliResult, Exit};
use crate::render::harmless;
use crate::session::Session;

/// Tell for each step of a deployment's build: found in the cache, or what changed.
///
/// A step is compared with the last build of the environment that had it: files of the source,
/// commands, variables, the base, the steps it builds on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass why
  windlass why 12 --project shop --json")]
pub struct Why {
    /// Id, start of an id, or number [default: the environment's newest].
    deployment: Option<String>,
}

impl Why {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let id = resolve(session, &client, self.deployment.as_deref())?.deployment.id;
        let why: BuildWhy =
            client.get(&client::path(&["v1", "deployments", id.as_str(), "why"]))?;
        if session.json() {
            session.print_json(&why);
            return Ok(Exit::Ok);
        }
        for (n, step) in why.steps.iter().enumerate() {
            let place = format!("{}/{}", n + 1, why.steps.len());
            session.console.line(&format!("{place} {}: {}", harmless(&step.name), outcome(step)));
            for reason in &step.said {
                session.console.line(&format!("    {}", harmless(reason)));
            }
        }
        Ok(Exit::Ok)
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds are shown with one digit")]
fn outcome(step: &StepWhy) -> String {
    if step.cached {
        return "cached".to_owned();
    }
    let how = if step.succeeded { "built" } else { "failed" };
    format!("{how} in {:.1} s, because", step.took_ms as f64 / 1000.0)
}
