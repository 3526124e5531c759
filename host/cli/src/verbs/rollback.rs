//! `windlass rollback`: back to a version that is still there.

use ureq::http::Method;
use windlass_model::api::{CreateRollback, DeploymentView};

use super::wait::Wait;
use super::{environment_path, resolve};
use crate::exit::{CliResult, Exit};
use crate::session::Session;

/// Go back to an earlier deployment, without building again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass rollback          # to the one before the live one
  windlass rollback 11")]
pub struct Rollback {
    /// Id, start of an id, or number [default: the one before the live one].
    to: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

impl Rollback {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let to = match &self.to {
            Some(reference) => {
                Some(resolve(session, &client, Some(reference))?.deployment.id.to_string())
            }
            None => None,
        };
        let path = environment_path(session, &["rollback"])?;
        let accepted: DeploymentView = client.send(Method::POST, &path, &CreateRollback { to })?;
        self.wait.finish(session, client, accepted)
    }
}
