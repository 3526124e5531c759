//! prune: what history and rollback no longer need. It never un-deploys anything.
//!
//! **Invariant: the live deployment, and the newest `keep_artifacts` beside it, keep their artifact.**

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use windlass_model::deployment::{Artifact, Kind};
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, EnvironmentName, Failure, ProjectName,
};

use crate::host::Host;
use crate::source::uploads;

/// Applies an environment's retention. Failures are logged: the next finish tries again.
pub(crate) async fn environment(
    host: Arc<Host>,
    project: ProjectName,
    environment: EnvironmentName,
) {
    if let Err(failure) = prune(&host, &project, &environment).await {
        tracing::warn!(%failure, %project, %environment, "pruning was not complete");
    }
}

async fn prune(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<(), Failure> {
    // While something is built nothing is removed: it may be the very same artifact.
    let Ok(_alone) = host.artifacts.try_write() else {
        return Ok(());
    };
    let history = host.history(project, environment)?;
    let limits = &host.config.limits;
    let settings = history
        .iter()
        .find(|(d, _)| d.status == DeploymentStatus::Live)
        .and_then(|(d, _)| d.outputs.settings.as_ref());
    let keep_artifacts =
        settings.and_then(|s| s.deploy.keep_artifacts).unwrap_or(limits.keep_artifacts);
    let keep_deployments =
        settings.and_then(|s| s.deploy.keep_deployments).unwrap_or(limits.keep_deployments);
    let plan = choose(
        history.iter().map(|(deployment, _)| deployment).collect(),
        keep_artifacts,
        keep_deployments,
    );
    for (mut deployment, revision) in history.clone() {
        let Some(artifact) = deployment.outputs.artifact.clone() else {
            continue;
        };
        if plan.artifacts.contains(&deployment.id.to_string()) && !deployment.artifact_pruned {
            deployment.artifact_pruned = true;
            match host.save_deployment(&deployment, revision).await {
                Ok(_) => release(host, &deployment, &artifact).await?,
                Err(failure) => tracing::debug!(%failure, "it was changed meanwhile and is kept"),
            }
        }
    }
    for (deployment, _) in &history {
        if plan.records.contains(&deployment.id.to_string()) {
            host.forget_deployment(&deployment.id).await?;
        }
    }
    Ok(())
}

/// Releases everything that an environment's settled deployments keep: artifacts and logs. False when
/// something is being built, which may be one of these artifacts: to be asked again. Can be repeated.
pub(crate) async fn all_of(host: &Host, history: &[(Deployment, u64)]) -> Result<bool, Failure> {
    let Ok(_alone) = host.artifacts.try_write() else {
        return Ok(false);
    };
    for (deployment, revision) in history {
        if let Some(artifact) =
            deployment.outputs.artifact.clone().filter(|_| !deployment.artifact_pruned)
        {
            let mut pruned = deployment.clone();
            pruned.artifact_pruned = true;
            host.save_deployment(&pruned, *revision).await?;
            release(host, &pruned, &artifact).await?;
        }
        if let Err(error) = host.logs.remove(&deployment.id) {
            tracing::warn!(%error, deployment = %deployment.id, "the logs could not be removed");
        }
    }
    Ok(true)
}

/// How often a quiet host is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// A cached step that no build has used for so long goes.
const CACHE_UNUSED_FOR: Duration = Duration::from_secs(14 * 24 * 3600);

/// Sweeps the whole host at its start and every hour, when no deployment is at work: artifacts and
/// uploads that no deployment refers to, plans, and old cached steps.
pub(crate) async fn sweep(host: Arc<Host>) {
    loop {
        if let Err(failure) = sweep_once(&host).await {
            tracing::warn!(%failure, "sweeping was not complete; it is tried again in an hour");
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

async fn sweep_once(host: &Host) -> Result<(), Failure> {
    let busy = |status| host.store.deployments_with_status(status).map(|found| !found.is_empty());
    let at_work = busy(DeploymentStatus::Running)
        .and_then(|running| Ok(running || busy(DeploymentStatus::Queued)?));
    if at_work.map_err(|e| e.to_failure())? {
        return Ok(());
    }
    let Ok(_alone) = host.artifacts.try_write() else {
        return Ok(());
    };
    let (mut artifacts, mut uploads) = (BTreeSet::new(), BTreeSet::new());
    for project in host.store.projects().map_err(|e| e.to_failure())? {
        for environment in host.store.environments(&project.name).map_err(|e| e.to_failure())? {
            for (deployment, _) in host.history(&project.name, &environment.name)? {
                let kept = deployment.outputs.artifact.filter(|_| !deployment.artifact_pruned);
                artifacts.extend(kept.map(|artifact| artifact.digest));
                uploads.extend(deployment.source.upload().map(|(digest, _)| digest.clone()));
            }
        }
    }
    host.store.prune_plans().await.map_err(|e| e.to_failure())?;
    host.builder.prune(&artifacts, CACHE_UNUSED_FOR).await?;
    let data_dir = host.config.data_dir.clone();
    let swept = tokio::task::spawn_blocking(move || uploads::prune(&data_dir, &uploads)).await;
    swept.map_err(std::io::Error::other).flatten().map_err(|e| {
        Failure::host(
            "prune.uploads",
            "uploads that are no longer needed could not be removed",
            e.to_string(),
            "check the permissions of `uploads` in the data directory",
        )
    })
}

/// Deletes an artifact, unless another deployment that keeps its own has the same.
async fn release(host: &Host, of: &Deployment, artifact: &Artifact) -> Result<(), Failure> {
    if host.artifact_in_use(&artifact.digest, &of.id)? {
        return Ok(());
    }
    host.builder.delete_artifact(&artifact.digest).await
}

/// What is to go, by deployment id.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    artifacts: Vec<String>,
    records: Vec<String>,
}

/// Chooses from an environment's history, newest first.
fn choose(history: Vec<&Deployment>, keep_artifacts: usize, keep_deployments: usize) -> Plan {
    use DeploymentStatus as S;
    let mut plan = Plan::default();
    let mut kept = 0;
    // What a waiting rollback goes back to stays until it is there.
    let wanted: Vec<&DeploymentId> = history
        .iter()
        .filter(|deployment| matches!(deployment.status, S::Queued | S::Running | S::Paused))
        .filter_map(|deployment| match &deployment.kind {
            Kind::Rollback { to } => Some(to),
            Kind::Deploy | Kind::Redeploy { .. } => None,
        })
        .collect();
    for (n, deployment) in history.iter().enumerate() {
        let settled =
            matches!(deployment.status, S::Retired | S::Stopped | S::Failed | S::Cancelled);
        if wanted.contains(&&deployment.id) {
            continue;
        }
        if deployment.outputs.artifact.is_some() && settled && !deployment.artifact_pruned {
            // Only what was live once is a target for rollback.
            if deployment.live_at.is_some() && kept < keep_artifacts {
                kept += 1;
                continue;
            }
            plan.artifacts.push(deployment.id.to_string());
        }
        if settled && n >= keep_deployments {
            plan.records.push(deployment.id.to_string());
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use windlass_model::{Digest, Source, Timestamp};

    use super::*;

    fn deployment(number: u64, status: DeploymentStatus) -> Deployment {
        let mut deployment = Deployment::queued(
            "shop".parse().unwrap(),
            EnvironmentName::production(),
            number,
            Kind::Deploy,
            Source::Git { url: "file:///x".into(), reference: None },
            "test".into(),
        );
        deployment.status = status;
        let was_live = !matches!(status, DeploymentStatus::Failed | DeploymentStatus::Queued);
        deployment.live_at = was_live.then(Timestamp::now);
        deployment.outputs.artifact = Some(Artifact {
            digest: Digest::of(&number.to_be_bytes()),
            outputs: vec![],
            processes: vec![],
            bases: vec![],
            toolchains: vec![],
            plan: Digest::of(b"plan"),
        });
        deployment
    }

    #[test]
    fn the_live_one_and_the_newest_targets_stay() {
        use DeploymentStatus as S;
        let all = [
            deployment(6, S::Queued),
            deployment(5, S::Live),
            deployment(4, S::Failed),
            deployment(3, S::Retired),
            deployment(2, S::Retired),
            deployment(1, S::Retired),
        ];
        let plan = choose(all.iter().collect(), 2, 10);
        assert_eq!(plan.artifacts, [all[2].id.to_string(), all[5].id.to_string()]);
        assert!(plan.records.is_empty());
        let plan = choose(all.iter().collect(), 1, 3);
        assert_eq!(plan.records, [all[4].id.to_string(), all[5].id.to_string()]);
    }
}
