//! `windlass rollback`: back to an earlier version.

use ureq::http::Method;
use windlass_model::api::{CreateRollback, DeploymentView};

use super::wait::{Once, Wait};
use super::{environment_path, resolve};
use crate::exit::{CliResult, Exit};
use crate::session::Session;

/// Go back to an earlier deployment or commit.
///
/// What is retained goes live again without being built, with the present variables. Its artifact is
/// verified first, and its health checked as always. Migrations are never run again or reverted: those
/// that were run since are named, and stay in the database.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass rollback                  # to the one before the live one
  windlass rollback 11
  windlass rollback 11 --with-its-env
  windlass rollback 3 --rebuild      # its artifact was pruned: build the same version again
  windlass rollback --commit 1a2b3c4")]
pub struct Rollback {
    /// Id, start of an id, or number [default: the one before the live one].
    to: Option<String>,
    /// Go back to this commit instead; it is built, unless its artifact is retained.
    #[arg(long, conflicts_with = "to")]
    commit: Option<String>,
    /// Build the same version again, where its artifact was pruned or is damaged.
    #[arg(long)]
    rebuild: bool,
    /// With the variables that it had, instead of the present ones.
    #[arg(long)]
    with_its_env: bool,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    wait: Wait,
}

impl Rollback {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = self.once.client(session)?;
        let to = match &self.to {
            Some(reference) => {
                Some(resolve(session, &client, Some(reference))?.deployment.id.to_string())
            }
            None => None,
        };
        let path = environment_path(session, &["rollback"])?;
        let body = CreateRollback {
            to,
            commit: self.commit.clone(),
            rebuild: self.rebuild,
            with_its_env: self.with_its_env,
        };
        let accepted: DeploymentView = client.send(Method::POST, &path, &body)?;
        self.wait.finish(session, client, accepted)
    }
}
