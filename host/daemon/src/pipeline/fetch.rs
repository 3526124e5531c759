//! fetch: source → read-only workspace at an exact commit.
//!
//! A source may have gigabytes: it is not fetched below the floor of free disk, which preflight looks at again, and
//! stopped below half of it.
//!
//! Undo: drop the workspace. After a crash: again.

use async_trait::async_trait;
use windlass_model::{Deployment, Failure};

use super::{Done, Run, Work, needs_no_source};
use crate::source::FetchedWorkspace;
use crate::{disk, source};

pub(crate) struct Fetch;

#[async_trait]
impl Work for Fetch {
    fn skip(&self, deployment: &Deployment) -> Option<&'static str> {
        needs_no_source(deployment)
    }

    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        disk::require_room(&run.host, Some(&run.log)).await?;
        let done = workspace(run).await?;
        let fetched = done.fetched;
        let image = fetched.image.as_ref().map(|image| image.reference.clone());
        let summary = match (&fetched.commit, &fetched.subject) {
            _ if image.is_some() => image.unwrap_or_default(),
            (Some(commit), Some(subject)) => {
                format!("{} {subject}", &commit[..commit.len().min(8)])
            }
            (Some(commit), None) => commit.clone(),
            (None, _) => format!("{} files, {} bytes", fetched.files, fetched.bytes),
        };
        run.deployment.warnings.extend(done.warnings);
        run.deployment.outputs.fetched = Some(fetched);
        Ok(Done::new(summary))
    }

    async fn undo(&self, run: &mut Run) -> Result<(), Failure> {
        run.host.clear_workspace(&run.deployment.id).await
    }
}

async fn workspace(run: &Run) -> Result<FetchedWorkspace, Failure> {
    let credentials = run.host.source_credentials(&run.deployment.project)?;
    let request = source::FetchRequest {
        source: &run.deployment.source,
        credentials: &credentials,
        before: run.host.source_seen_before(&run.deployment)?,
        data_dir: &run.host.config.data_dir,
        project: &run.deployment.project,
        environment: &run.deployment.environment,
        deployment: &run.deployment.id,
        limits: &run.host.config.limits,
        builder: Some(&run.host.builder),
    };
    let cancel = run.cancel.child_token();
    let fetching = Box::pin(source::fetch(request, &run.log, &cancel));
    disk::while_room(&run.host, &cancel, fetching).await
}

#[cfg(test)]
mod tests {
    use windlass_model::Limits;

    use super::*;
    use crate::testing::{TestHost, queued};

    #[tokio::test]
    async fn nothing_is_fetched_below_the_floor_of_free_disk() {
        let limits = Limits { disk_free_bytes_min: u64::MAX, ..Limits::default() };
        let parts = TestHost::with(limits, &crate::pipeline::TABLE).await;
        let mut run = Run::beside(&parts.host, queued(1), Vec::new()).unwrap();
        let refused = Fetch.run(&mut run).await.map(drop).unwrap_err();
        assert_eq!(refused.code, "preflight.disk-floor");
        let dir = source::work_dir(&parts.host.config.data_dir, &run.deployment.id);
        assert!(!dir.exists(), "something was fetched");
    }
}
