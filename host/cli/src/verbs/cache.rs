//! `windlass cache`: the caches of builds.

use clap::Subcommand;
use windlass_model::build::CacheCleared;

use crate::client::with_query;
use crate::exit::{CliResult, Exit};
use crate::render::{bytes, count};
use crate::session::Session;

/// Clear the caches of builds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass cache clear
  windlass cache clear --project shop")]
pub struct Cache {
    #[command(subcommand)]
    verb: CacheVerb,
}

#[derive(Debug, Subcommand)]
enum CacheVerb {
    /// Remove the results of build steps and the cache mounts; of one project with --project.
    ///
    /// What a kept deployment needs stays, so nothing that runs and no rollback is touched; what a
    /// running build uses stays too, and is counted. The next build of each application takes longer.
    /// With --project, steps go that no other project has used.
    Clear,
}

impl Cache {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let CacheVerb::Clear = self.verb;
        let client = session.client()?;
        let project = session.common.project.as_ref().map(ToString::to_string);
        let path = match &project {
            Some(project) => with_query("/v1/cache/clear", &[("project", project.as_str())]),
            None => "/v1/cache/clear".to_owned(),
        };
        let cleared: CacheCleared = client.post(&path)?;
        if session.json() {
            session.print_json(&cleared);
            return Ok(Exit::Ok);
        }
        session.console.line(&format!(
            "removed {} and {}, {}",
            count(cleared.steps as u64, "step"),
            count(cleared.mounts as u64, "cache mount"),
            bytes(cleared.bytes),
        ));
        if cleared.in_use > 0 {
            session.console.line(&format!("left {} in use by a running build", cleared.in_use));
        }
        Ok(Exit::Ok)
    }
}
