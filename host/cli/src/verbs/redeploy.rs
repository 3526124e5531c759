//! `windlass redeploy`: the same source again.

use windlass_model::api::DeploymentView;

use super::wait::{Once, Wait};
use super::{environment_path, resolve};
use crate::client;
use crate::exit::{CliResult, Exit};
use crate::session::Session;

/// Deploy the same source again; a branch is looked up anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass redeploy
  windlass redeploy 12 --project shop
  windlass redeploy --no-cache")]
pub struct Redeploy {
    /// Id, start of an id, or number of a deployment [default: the environment's last one].
    deployment: Option<String>,
    /// Carry out every step of the build although its result is there; the new results take the
    /// place of the old ones.
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    wait: Wait,
}

impl Redeploy {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = self.once.client(session)?;
        let path = match &self.deployment {
            Some(reference) => {
                let of = resolve(session, &client, Some(reference))?.deployment.id;
                client::path(&["v1", "deployments", of.as_str(), "redeploy"])
            }
            None => environment_path(session, &["redeploy"])?,
        };
        let path = match self.no_cache {
            true => client::with_query(&path, &[("no_cache", "true")]),
            false => path,
        };
        let accepted: DeploymentView = client.post(&path)?;
        self.wait.finish(session, client, accepted)
    }
}
