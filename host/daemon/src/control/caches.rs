//! What can be asked of the caches of builds.

use std::sync::Arc;

use windlass_model::build::{BuildWhy, CacheCleared, StepWhy};
use windlass_model::{Deployment, Failure, ProjectName};

use super::stored;
use crate::host::Host;
use crate::pipeline::build_record;

/// For each step of a deployment's build: that it was found, or which part of its key changed.
///
/// # Errors
/// `deployment.not-built`.
pub fn why(host: &Host, deployment: &Deployment) -> Result<BuildWhy, Failure> {
    let number = deployment.number;
    let Some(record) = build_record::read(host, &deployment.id) else {
        let why = match deployment.kind.artifact_of() {
            Some(_) => "it took over the artifact of another deployment: nothing was built",
            None => "it has not come as far as the step `build`, or its logs were pruned",
        };
        return Err(Failure::app(
            "deployment.not-built",
            format!("there is no record of a build of deployment #{number}"),
            why,
            "`windlass show` tells how far it came; `windlass deployments` lists the others",
        ));
    };
    let steps = record.steps.into_iter().map(StepWhy::from).collect();
    Ok(BuildWhy { deployment: deployment.id.clone(), number, steps })
}

/// Clears the caches of builds. What artifacts and running builds need is left.
///
/// # Errors
/// `project.not-found`, or what the runtime or the file system says.
pub async fn clear(
    host: &Arc<Host>,
    project: Option<&ProjectName>,
) -> Result<CacheCleared, Failure> {
    if let Some(project) = project {
        host.store.project(project).map_err(stored)?;
    }
    host.builder.clear_cache(project).await
}
