//! Which deployments keep their artifacts, over all environments, and how one lets go of its own.

use std::collections::BTreeSet;

use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, Digest, EnvironmentName, Failure, ProjectName,
};
use windlass_store::Versioned;

use super::{Keep, is_over, kept_always, release};
use crate::host::Host;

/// What is kept of an environment now.
pub(super) fn keep(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<Keep, Failure> {
    let live = host.live(project, environment)?;
    let settings = live.as_ref().and_then(|(live, _)| live.outputs.settings.as_ref());
    let set = host.store.environment_settings(project, environment).map_err(|e| e.to_failure())?;
    let always = kept_always(host, project, environment)?;
    let overrides = set.map(|set| set.value.overrides).unwrap_or_default();
    Ok(Keep::of(&overrides, settings, &host.config.limits, always))
}

/// Every environment of this host.
fn environments(host: &Host) -> Result<Vec<(ProjectName, EnvironmentName)>, Failure> {
    let mut all = Vec::new();
    for project in host.store.projects().map_err(|e| e.to_failure())? {
        for environment in host.store.environments(&project.name).map_err(|e| e.to_failure())? {
            all.push((project.name.clone(), environment.name));
        }
    }
    Ok(all)
}

fn with_artifact(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<Vec<(Deployment, u64)>, Failure> {
    let found = host.store.deployments_with_artifact(project, environment);
    let found = found.map_err(|e| e.to_failure())?.into_iter();
    Ok(found.map(|Versioned { value, revision }| (value, revision)).collect())
}

/// Every artifact that some deployment keeps, with its project.
pub(crate) fn retained(host: &Host) -> Result<Vec<(ProjectName, Digest)>, Failure> {
    let mut all = Vec::new();
    for (project, environment) in environments(host)? {
        for (deployment, _) in with_artifact(host, &project, &environment)? {
            all.extend(deployment.outputs.artifact.map(|it| (project.clone(), it.digest)));
        }
    }
    Ok(all)
}

/// The deployments whose artifacts are beyond what is kept.
pub(crate) fn due(host: &Host) -> Result<Vec<(Deployment, u64)>, Failure> {
    let mut due = Vec::new();
    for (project, environment) in environments(host)? {
        let retained = with_artifact(host, &project, &environment)?;
        let keep = keep(host, &project, &environment)?;
        let chosen = keep.artifacts_to_go(retained.iter().map(|(deployment, _)| deployment));
        due.extend(retained.into_iter().filter(|(one, _)| chosen.contains(&one.id)));
    }
    Ok(due)
}

/// The builds that are kept as images and that a person may do without.
pub(crate) fn images(host: &Host) -> Result<Vec<(Deployment, u64)>, Failure> {
    let mut images = Vec::new();
    for (project, environment) in environments(host)? {
        let always = kept_always(host, &project, &environment)?;
        images.extend(
            with_artifact(host, &project, &environment)?.into_iter().filter(|(one, _)| {
                one.status == DeploymentStatus::Built && !always.contains(&one.id)
            }),
        );
    }
    Ok(images)
}

/// Whether a deployment that is not one of these keeps the artifact.
pub(crate) fn is_kept_without(
    host: &Host,
    artifact: &Digest,
    without: &BTreeSet<DeploymentId>,
) -> Result<bool, Failure> {
    for (project, environment) in environments(host)? {
        let kept =
            with_artifact(host, &project, &environment)?.into_iter().any(|(deployment, _)| {
                !without.contains(&deployment.id)
                    && deployment.outputs.artifact.is_some_and(|it| it.digest == *artifact)
            });
        if kept {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Releases a settled deployment's artifact; whether it is let go. It is kept when somebody uses it or has come to
/// want it, and when the deployment was changed meanwhile. Can be repeated.
pub(crate) async fn let_go(
    host: &Host,
    mut deployment: Deployment,
    revision: u64,
) -> Result<bool, Failure> {
    let Some(artifact) = deployment.outputs.artifact.clone().filter(|_| is_over(deployment.status))
    else {
        return Ok(true);
    };
    let removing = host.builder.removing().await;
    let wanted = kept_always(host, &deployment.project, &deployment.environment)?;
    if host.builder.is_held(&artifact.digest) || wanted.contains(&deployment.id) {
        return Ok(false);
    }
    deployment.artifact_pruned = true;
    match host.save_deployment(&deployment, revision).await {
        Ok(_) => {
            release(host, &removing, &deployment, &artifact).await?;
            Ok(true)
        }
        Err(failure) => {
            tracing::debug!(%failure, "it was changed meanwhile and is kept");
            Ok(false)
        }
    }
}
