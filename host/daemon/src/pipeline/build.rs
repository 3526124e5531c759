//! build: plan → artifact, on containerd.
//!
//! Undo: what the attempt left behind (containers, writable snapshots, the lease) is removed; steps
//! that succeeded stay as cache, the artifact's record goes. After a crash: the same, then again
//! through the cache.

use std::sync::Arc;

use async_trait::async_trait;
use windlass_build::{Access, BuildRequest, BuildVariable, SourceDigests};
use windlass_model::{Deployment, Failure, Source, StepName, StepStatus};

use super::{Done, Run, Work, has_artifact, names};
use crate::{failpoint, source};

pub(crate) struct Build;

#[async_trait]
impl Work for Build {
    fn skip(&self, deployment: &Deployment) -> Option<&'static str> {
        has_artifact(deployment)
    }

    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        let plan = run.host.plan(&run.deployment).await?;
        let app_dir = run.settings()?.build.app_dir.clone();
        let log = run.log.clone();
        let request = BuildRequest {
            project: run.deployment.project.clone(),
            environment: run.deployment.environment.clone(),
            deployment: run.deployment.id.clone(),
            plan,
            source_dir: run.host.source_dir(&run.deployment.id),
            app_dir,
            source_digests: digests(run),
            variables: build_variables(run),
            log: Arc::new(move |line| {
                log.write(line);
                failpoint::reached("during:build");
            }),
            cancel: run.cancel.clone(),
            access: access(run)?,
            labels: names::labels(&run.deployment, StepName::Build),
        };
        let outcome = run.host.builder.build(request).await?;
        for warning in &outcome.warnings {
            run.warn(&warning.code, warning.message.clone());
        }
        let cached = outcome.steps.iter().filter(|step| step.cached).count();
        let summary = format!("{} steps, {cached} from the cache", outcome.steps.len());
        let status = if outcome.all_cached() { StepStatus::Cached } else { StepStatus::Succeeded };
        run.deployment.outputs.artifact = Some(outcome.artifact);
        Ok(Done { status, summary })
    }

    async fn undo(&self, run: &mut Run) -> Result<(), Failure> {
        run.host.builder.clean_up(&run.deployment.id).await?;
        failpoint::reached("within-undo:build");
        if let Some(artifact) = run.deployment.outputs.artifact.clone() {
            // An unchanged redeploy yields the record of the deployment it repeats.
            if !run.host.artifact_in_use(&artifact.digest, &run.deployment.id)? {
                run.host.builder.delete_artifact(&artifact.digest).await?;
            }
            run.deployment.outputs.artifact = None;
        }
        Ok(())
    }
}

/// The project's logins, and the image that was uploaded, if one was.
fn access(run: &Run) -> Result<Access, Failure> {
    let (project, data_dir) = (&run.deployment.project, &run.host.config.data_dir);
    let mut access = run.host.source_credentials(project)?.images(project);
    if let Source::ImageArchive { .. } = run.deployment.source {
        access.layout = Some(source::image::layout_dir(data_dir, &run.deployment.id));
    }
    Ok(access)
}

/// What fetch wrote down of the files, so that they need not be hashed again.
fn digests(run: &Run) -> Option<SourceDigests> {
    let file =
        source::work_dir(&run.host.config.data_dir, &run.deployment.id).join(source::TREE_FILE);
    let tree = source::Tree::read(&file).ok()?;
    Some(tree.entries.into_iter().map(|(path, entry)| (path, (entry.mode, entry.oid))).collect())
}

fn build_variables(run: &Run) -> Vec<BuildVariable> {
    run.variables
        .iter()
        .filter(|variable| variable.scope.in_build())
        .map(|variable| BuildVariable {
            name: variable.name.to_string(),
            value: variable.value.clone(),
            secret: variable.secret,
        })
        .collect()
}
