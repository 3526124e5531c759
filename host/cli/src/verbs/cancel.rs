//! `windlass cancel`: stop a deployment before it switches.

use windlass_model::api::DeploymentView;
use windlass_model::deployment::DeploymentStatus;

use super::{recent, resolve};
use crate::client::{self, Client};
use crate::exit::{CliError, CliResult, Exit};
use crate::session::Session;

/// Cancel a queued, running or paused deployment; possible until its switch begins.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass cancel
  windlass cancel 12 --project shop")]
pub struct Cancel {
    /// Id, start of an id, or number [default: the one that runs or waits].
    deployment: Option<String>,
}

impl Cancel {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let id = match &self.deployment {
            Some(reference) => resolve(session, &client, Some(reference))?.deployment.id,
            None => unfinished(session, &client)?.deployment.id,
        };
        let path = client::path(&["v1", "deployments", id.as_str(), "cancel"]);
        let view: DeploymentView = client.post(&path)?;
        if session.json() {
            session.print_json(&view);
        } else {
            let deployment = &view.deployment;
            let place =
                format!("{}/{} #{}", deployment.project, deployment.environment, deployment.number);
            let text = if deployment.status == DeploymentStatus::Cancelled {
                format!("{place} is cancelled")
            } else {
                format!("{place} is being cancelled; it is {}", deployment.status)
            };
            session.console.line(&text);
        }
        Ok(Exit::Ok)
    }
}

/// The deployment that runs, else the newest that waits.
fn unfinished(session: &Session<'_, '_>, client: &Client) -> CliResult<DeploymentView> {
    let mut items = recent(session, client, "50")?.items;
    items.retain(|view| {
        matches!(
            view.deployment.status,
            DeploymentStatus::Queued | DeploymentStatus::Running | DeploymentStatus::Paused
        )
    });
    let running = items.iter().position(|v| v.deployment.status == DeploymentStatus::Running);
    items.into_iter().nth(running.unwrap_or(0)).ok_or_else(|| {
        CliError::new(
            Exit::NotFound,
            "cli.nothing-to-cancel",
            "nothing runs or waits in this environment",
            "only queued and running deployments can be cancelled",
            "see `windlass deployments`; to leave a live version use `windlass rollback`",
        )
    })
}
