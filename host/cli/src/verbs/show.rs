//! `windlass show`: one deployment in full.

use windlass_model::api::DeploymentView;
use windlass_model::deployment::Kind;

use super::resolve_in_full;
use crate::client::{self, Client};
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
        let view = resolve_in_full(session, &client, self.deployment.as_deref())?;
        if session.json() {
            session.print_json(&view);
        } else {
            let origin = origin(&client, &view);
            let text = render::deployment::full(&view, origin, session.console.color());
            session.console.out(&text);
        }
        Ok(Exit::Ok)
    }
}

/// The number of the deployment that this one repeats or goes back to, while it is kept.
fn origin(client: &Client, view: &DeploymentView) -> Option<u64> {
    let id = match &view.deployment.kind {
        Kind::Redeploy { of: id }
        | Kind::Rollback { to: id, .. }
        | Kind::Promote { from: id, .. } => id,
        Kind::Deploy | Kind::Build { .. } | Kind::RollbackToCommit { .. } => return None,
    };
    let found = client.get::<DeploymentView>(&client::path(&["v1", "deployments", id.as_str()]));
    found.ok().map(|found| found.deployment.number)
}
