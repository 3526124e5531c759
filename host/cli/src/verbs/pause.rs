//! `windlass pause` and `windlass resume`: halt a deployment between two steps, and go on.

use windlass_model::api::DeploymentView;
use windlass_model::deployment::DeploymentStatus;

use super::wait::Wait;
use super::{recent, resolve};
use crate::client::{self, Client};
use crate::exit::{CliError, CliResult, Exit};
use crate::session::Session;

/// Halt a running deployment before its next step; possible until its switch begins.
///
/// It keeps its environment's turn, and gives its runner back. It stays halted through a restart of the
/// host, until `windlass resume` or `windlass cancel`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass pause
  windlass pause 12 --project shop")]
pub struct Pause {
    /// Id, start of an id, or number [default: the one that runs].
    deployment: Option<String>,
}

/// Go on with a deployment that was paused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass resume
  windlass resume 12 --project shop --no-wait")]
pub struct Resume {
    /// Id, start of an id, or number [default: the one that is paused].
    deployment: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

impl Pause {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let reference = self.deployment.as_deref();
        let view = ask(session, &client, reference, DeploymentStatus::Running, "pause")?;
        if session.json() {
            session.print_json(&view);
        } else {
            let deployment = &view.deployment;
            let (number, project) = (deployment.number, &deployment.project);
            session.console.line(&format!(
                "{project}/{} #{number} halts before its next step; go on with: windlass resume \
                 --project {project} {number}",
                deployment.environment
            ));
        }
        Ok(Exit::Ok)
    }
}

impl Resume {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let reference = self.deployment.as_deref();
        let view = ask(session, &client, reference, DeploymentStatus::Paused, "resume")?;
        self.wait.finish(session, client, view)
    }
}

fn ask(
    session: &Session<'_, '_>,
    client: &Client,
    reference: Option<&str>,
    status: DeploymentStatus,
    verb: &str,
) -> CliResult<DeploymentView> {
    let id = match reference {
        Some(reference) => resolve(session, client, Some(reference))?.deployment.id,
        None => only(session, client, status, verb)?.deployment.id,
    };
    client.post(&client::path(&["v1", "deployments", id.as_str(), verb]))
}

/// The newest of this status in the environment.
fn only(
    session: &Session<'_, '_>,
    client: &Client,
    status: DeploymentStatus,
    verb: &str,
) -> CliResult<DeploymentView> {
    let items = recent(session, client, "50")?.items;
    items.into_iter().find(|view| view.deployment.status == status).ok_or_else(|| {
        CliError::new(
            Exit::NotFound,
            "cli.nothing-to-do",
            format!("nothing is {status} in this environment"),
            format!("without a number, `{verb}` means the deployment that is {status}"),
            "see `windlass deployments`, and name one",
        )
    })
}
