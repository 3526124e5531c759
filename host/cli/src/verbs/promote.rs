//! `windlass promote`: what is live in one environment goes live in another.

use ureq::http::Method;
use windlass_model::EnvironmentName;
use windlass_model::api::DeploymentView;
use windlass_model::queue::CreatePromotion;

use super::environment_path;
use super::wait::{Once, Wait};
use crate::client::with_query;
use crate::exit::{CliResult, Exit};
use crate::session::Session;

/// Take what is live in one environment live in another, from the very same artifact.
///
/// Nothing is built. The target's own variables, settings and domains are in force, and its migrations
/// are run. What the build baked in stays as it is; where that differs, a warning says so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass promote                              # staging to production
  windlass promote --from preview-7 --to staging")]
pub struct Promote {
    /// The environment whose live deployment is taken over.
    #[arg(long, default_value = "staging")]
    from: EnvironmentName,
    /// The environment that it goes live in [default: the one of -e, production].
    #[arg(long)]
    to: Option<EnvironmentName>,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    wait: Wait,
}

impl Promote {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        if let Some(to) = &self.to {
            session.common.environment = to.clone();
        }
        let client = self.once.client(session)?;
        let path = with_query(&environment_path(session, &["promote"])?, &[("create", "true")]);
        let body = CreatePromotion { from: self.from.clone() };
        let accepted: DeploymentView = client.send(Method::POST, &path, &body)?;
        self.wait.finish(session, client, accepted)
    }
}
