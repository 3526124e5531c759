//! Going back: which deployment, and whether it can be.

use std::sync::Arc;

use windlass_model::api::{CreateRollback, DeploymentView};
use windlass_model::deployment::Kind;
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, Failure};

use super::{Target, deployments, find, stored};
use crate::host::Host;

/// Queues a rollback: the retained artifact of an earlier deployment, with the present variables.
///
/// # Errors
/// `environment.not-found`, `rollback.nothing-before`, `rollback.never-live`,
/// `rollback.already-live`, `rollback.other-environment`, `rollback.artifact-pruned`, those of
/// [`find::deployment`], `store.too-many`.
pub async fn rollback(
    host: &Arc<Host>,
    target: &Target,
    body: CreateRollback,
    actor: &str,
) -> Result<DeploymentView, Failure> {
    let Target { project, environment } = target;
    let found = host.store.environment(project, environment).map_err(stored)?.value;
    let to = match body.to {
        Some(text) => {
            let to = find::deployment(host, &text, Some(project))?;
            check(&to, target, found.live.as_ref())?;
            to
        }
        None => {
            let kept =
                host.store.deployments_with_artifact(project, environment).map_err(stored)?;
            let live = match &found.live {
                Some(id) => host.store.find_deployment(id).map_err(stored)?,
                None => None,
            };
            let live = live.map(|found| found.value);
            let kept = kept.into_iter().map(|found| found.value);
            before(kept, target, live.as_ref()).ok_or_else(|| nothing_before(target))?
        }
    };
    let kind = Kind::Rollback { to: to.id.clone() };
    deployments::queue(host, target, kind, to.source, actor).await
}

/// The newest that can be gone back to and is older than the live one.
fn before(
    newest_first: impl Iterator<Item = Deployment>,
    target: &Target,
    live: Option<&Deployment>,
) -> Option<Deployment> {
    let live_id = live.map(|live| &live.id);
    newest_first
        .filter(|deployment| live.is_none_or(|live| deployment.number < live.number))
        .find(|deployment| check(deployment, target, live_id).is_ok())
}

/// Whether a deployment can be gone back to.
fn check(to: &Deployment, target: &Target, live: Option<&DeploymentId>) -> Result<(), Failure> {
    let number = to.number;
    let refused = |code: &str, why: String, fix: &str| {
        Err(Failure::app(code, format!("there is no way back to deployment #{number}"), why, fix))
    };
    if to.project != target.project || to.environment != target.environment {
        return refused(
            "rollback.other-environment",
            format!("it belongs to {}/{}", to.project, to.environment),
            "choose one of this environment: `windlass deployments`",
        );
    }
    if live == Some(&to.id) {
        return refused(
            "rollback.already-live",
            "it is live".to_owned(),
            "nothing needs to be done; to run it anew use `windlass redeploy`",
        );
    }
    let was_live = matches!(
        to.status,
        DeploymentStatus::Retired
            | DeploymentStatus::Draining
            | DeploymentStatus::Stopped
            | DeploymentStatus::Live
    );
    if !was_live || to.live_at.is_none() {
        return refused(
            "rollback.never-live",
            format!("it is {} and has never been live", to.status),
            "choose one that was live (retired in `windlass deployments`), or deploy its source again \
             with `windlass redeploy`",
        );
    }
    if to.artifact_pruned || to.outputs.artifact.is_none() {
        return refused(
            "rollback.artifact-pruned",
            "what it was built into has been removed to save space".to_owned(),
            "build it again with `windlass redeploy`; `deploy.keep_artifacts` says how many are kept",
        );
    }
    Ok(())
}

fn nothing_before(target: &Target) -> Failure {
    Failure::app(
        "rollback.nothing-before",
        format!("there is nothing to go back to in {}/{}", target.project, target.environment),
        "no earlier deployment was live and is still retained",
        "`windlass deployments` shows the history; `windlass redeploy` builds an old one again",
    )
}

#[cfg(test)]
mod tests {
    use windlass_model::deployment::Artifact;
    use windlass_model::{Digest, EnvironmentName, Source, Timestamp};

    use super::*;

    fn target() -> Target {
        let project = "shop".parse().unwrap();
        Target { project, environment: EnvironmentName::production() }
    }

    fn deployment(number: u64, status: DeploymentStatus) -> Deployment {
        let Target { project, environment } = target();
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let mut made =
            Deployment::queued(project, environment, number, Kind::Deploy, source, "test".into());
        made.status = status;
        let was_live = !matches!(status, DeploymentStatus::Failed | DeploymentStatus::Cancelled);
        made.live_at = was_live.then(Timestamp::now);
        made.outputs.artifact = Some(Artifact {
            digest: Digest::of(b"artifact"),
            outputs: Vec::new(),
            processes: Vec::new(),
            bases: Vec::new(),
            toolchains: Vec::new(),
            plan: Digest::of(b"plan"),
        });
        made
    }

    #[test]
    fn by_default_it_goes_to_the_newest_retained_one_before_the_live_one() {
        use DeploymentStatus::{Failed, Live, Retired};
        let mut pruned = deployment(2, Retired);
        pruned.artifact_pruned = true;
        let history = [
            deployment(5, Retired),
            deployment(4, Live),
            deployment(3, Failed),
            pruned,
            deployment(1, Retired),
        ];
        let live = history[1].clone();
        let to = before(history.into_iter(), &target(), Some(&live));
        assert_eq!(to.map(|deployment| deployment.number), Some(1));
    }

    #[test]
    fn each_reason_against_has_its_code() {
        let live = deployment(4, DeploymentStatus::Live);
        let code = |to: &Deployment| check(to, &target(), Some(&live.id)).unwrap_err().code;
        assert_eq!(code(&live), "rollback.already-live");
        assert_eq!(code(&deployment(3, DeploymentStatus::Failed)), "rollback.never-live");
        let mut pruned = deployment(2, DeploymentStatus::Retired);
        pruned.artifact_pruned = true;
        assert_eq!(code(&pruned), "rollback.artifact-pruned");
        let mut elsewhere = deployment(1, DeploymentStatus::Retired);
        elsewhere.environment = "staging".parse().unwrap();
        assert_eq!(code(&elsewhere), "rollback.other-environment");
    }
}
