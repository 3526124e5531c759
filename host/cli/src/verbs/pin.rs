//! `windlass pin` and `windlass unpin`: keep a deployment for good, or leave it to retention again.

use ureq::http::Method;
use windlass_model::api::DeploymentView;

use super::resolve;
use crate::client;
use crate::exit::{CliResult, Exit};
use crate::session::Session;

/// Never prune a deployment: its record, its logs and its artifact stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass pin 12
  windlass pin 12 --project shop")]
pub struct Pin {
    /// Id, start of an id, or number [default: the environment's newest].
    deployment: Option<String>,
}

/// Leave a pinned deployment to retention again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass unpin 12")]
pub struct Unpin {
    /// Id, start of an id, or number [default: the environment's newest].
    deployment: Option<String>,
}

impl Pin {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        set(session, self.deployment.as_deref(), Method::PUT)
    }
}

impl Unpin {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        set(session, self.deployment.as_deref(), Method::DELETE)
    }
}

fn set(session: &mut Session<'_, '_>, reference: Option<&str>, method: Method) -> CliResult<Exit> {
    let client = session.client()?;
    let id = resolve(session, &client, reference)?.deployment.id;
    let path = client::path(&["v1", "deployments", id.as_str(), "pin"]);
    let view: DeploymentView = if method == Method::PUT {
        client.send(method, &path, &serde_json::json!({}))?
    } else {
        client.delete(&path)?;
        client.get(&client::path(&["v1", "deployments", id.as_str()]))?
    };
    if session.json() {
        session.print_json(&view);
    } else {
        let deployment = &view.deployment;
        let state = if view.pinned { "pinned: it is never pruned" } else { "left to retention" };
        let (project, environment) = (&deployment.project, &deployment.environment);
        session.console.line(&format!("{project}/{environment} #{} is {state}", deployment.number));
    }
    Ok(Exit::Ok)
}
