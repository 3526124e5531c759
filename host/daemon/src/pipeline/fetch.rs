//! fetch: source → read-only workspace at an exact commit.
//!
//! Undo: drop the workspace. After a crash: again.

use async_trait::async_trait;
use windlass_model::{Deployment, Failure};

use super::{Done, Run, Work, needs_no_source};
use crate::source;

pub(crate) struct Fetch;

#[async_trait]
impl Work for Fetch {
    fn skip(&self, deployment: &Deployment) -> Option<&'static str> {
        needs_no_source(deployment)
    }

    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
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
        let done = source::fetch(request, &run.log, &run.cancel).await?;
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
