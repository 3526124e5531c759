//! Going back: which deployment, and whether it can be.
//!
//! A rollback is a deployment like any other, entered later in the table; when its artifact was pruned
//! it is entered at the beginning, at its exact version. It never runs a migration: those that were run
//! since stay in the database, and are named in the answer.

use std::sync::Arc;

use windlass_model::api::{CreateRollback, DeploymentView};
use windlass_model::deployment::Kind;
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, Failure, Source};

use super::deployments::{self, Request};
use super::{Target, find, images, once, stored};
use crate::host::Host;

mod between;

/// Digits of a commit that are enough to find a deployment by.
const COMMIT_DIGITS_MIN: usize = 7;

/// Queues a rollback: the retained artifact of an earlier deployment with the present variables, or, if
/// asked for, its version built again, or with the variables that it had.
///
/// # Errors
/// `environment.not-found`, `rollback.nothing-before`, `rollback.never-live`,
/// `rollback.already-live`, `rollback.other-environment`, `rollback.artifact-pruned`,
/// `rollback.commit-unknown`, `rollback.env-unknown`, `rollback.asked-twice`, those of
/// [`find::deployment`], [`once::answered_before`], `store.too-many`.
pub async fn rollback(
    host: &Arc<Host>,
    target: &Target,
    body: CreateRollback,
    request: &Request,
) -> Result<DeploymentView, Failure> {
    let Target { project, environment } = target;
    if let Some(before) = once::answered_before(host, project, request.once.as_ref()).await? {
        return Ok(before);
    }
    let found = host.store.environment(project, environment).map_err(stored)?.value;
    let live = match &found.live {
        Some(id) => host.store.find_deployment(id).map_err(stored)?.map(|found| found.value),
        None => None,
    };
    let to = match (&body.to, &body.commit) {
        (Some(_), Some(_)) => return Err(asked_twice()),
        (Some(text), None) => find::deployment(host, text, Some(project))?,
        (None, Some(commit)) => match with_commit(host, target, commit)? {
            Some(found) => found,
            None => return Box::pin(to_commit(host, target, commit, &body, request)).await,
        },
        (None, None) => {
            let kept =
                host.store.deployments_with_artifact(project, environment).map_err(stored)?;
            let kept = kept.into_iter().map(|found| found.value);
            before(kept, target, live.as_ref()).ok_or_else(|| nothing_before(target))?
        }
    };
    let may_build = body.rebuild || body.commit.is_some();
    let (to, _held) = images::held(host, to).await?;
    check(&to, target, found.live.as_ref(), may_build)?;
    let kind = Kind::Rollback {
        rebuild: is_to_be_built(&to),
        to: to.id.clone(),
        with_its_env: body.with_its_env,
    };
    if body.with_its_env && host.store.env_snapshot(&to.id).map_err(stored)?.is_none() {
        return Err(env_unknown(&to));
    }
    let mut deployment = new(target, kind, exact_source(&to), request);
    deployment.source_again = Some(to.source_again());
    deployment.migrations_between = between::since(host, target, to.number)?;
    between::warn(&mut deployment, &format!("#{}", to.number));
    Box::pin(deployments::queue_deployment(host, deployment, request)).await
}

fn new(target: &Target, kind: Kind, source: Source, request: &Request) -> Deployment {
    let Target { project, environment } = target.clone();
    Deployment::queued(project, environment, 0, kind, source, request.actor.clone())
}

/// Whether there is nothing of it any more that could be started.
fn is_to_be_built(to: &Deployment) -> bool {
    to.artifact_pruned || to.outputs.artifact.is_none()
}

/// The source of a deployment at exactly its version, however far its branch has moved since.
pub(super) fn exact_source(of: &Deployment) -> Source {
    let mut source = of.source.clone();
    if let Source::Git { reference, .. } = &mut source
        && let Some(commit) = of.outputs.fetched.as_ref().and_then(|fetched| fetched.commit.clone())
    {
        *reference = Some(commit);
    }
    source
}

/// The newest deployment of a commit in the environment; one with its artifact comes first.
fn with_commit(
    host: &Arc<Host>,
    target: &Target,
    commit: &str,
) -> Result<Option<Deployment>, Failure> {
    let commit = commit.to_ascii_lowercase();
    let has_it = |deployment: &Deployment| {
        let fetched = deployment.outputs.fetched.as_ref();
        commit.len() >= COMMIT_DIGITS_MIN
            && fetched.and_then(|f| f.commit.as_ref()).is_some_and(|c| c.starts_with(&commit))
    };
    let retained = |deployment: &Deployment| {
        has_it(deployment) && deployment.live_at.is_some() && !is_to_be_built(deployment)
    };
    match deployments::newest(host, target, retained)? {
        Some(found) => Ok(Some(found)),
        None => deployments::newest(host, target, |d| has_it(d) && d.live_at.is_some()),
    }
}

/// A commit that no kept deployment has: it is fetched and built, and the migrations stay as they are.
async fn to_commit(
    host: &Arc<Host>,
    target: &Target,
    commit: &str,
    body: &CreateRollback,
    request: &Request,
) -> Result<DeploymentView, Failure> {
    let commit = commit.to_ascii_lowercase();
    let is_whole = matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_whole {
        return Err(commit_unknown(&commit));
    }
    if body.with_its_env {
        return Err(Failure::app(
            "rollback.env-unknown",
            format!("the variables that commit {commit} ran with are not known"),
            "no deployment of it is kept, and variables are kept with deployments",
            "leave out --with-its-env: it gets the present variables",
        ));
    }
    let is_git = |deployment: &Deployment| {
        matches!(deployment.source, Source::Git { .. }) && !deployment.kind.is_build()
    };
    let last = deployments::newest(host, target, is_git)?.ok_or_else(|| nothing_before(target))?;
    let again = last.source_again();
    let mut source = last.source;
    if let Source::Git { reference, .. } = &mut source {
        *reference = Some(commit.clone());
    }
    let kind = Kind::RollbackToCommit { commit: commit.clone() };
    let mut deployment = new(target, kind, source, request);
    deployment.source_again = Some(again);
    deployment.migrations_between = between::since(host, target, 0)?;
    between::warn_unknown(&mut deployment, &commit);
    Box::pin(deployments::queue_deployment(host, deployment, request)).await
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
        .find(|deployment| check(deployment, target, live_id, false).is_ok())
}

/// Whether a deployment can be gone back to, and whether it may be built again for that.
fn check(
    to: &Deployment,
    target: &Target,
    live: Option<&DeploymentId>,
    may_build: bool,
) -> Result<(), Failure> {
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
    if live == Some(&to.id) && to.status == DeploymentStatus::Stopped {
        return refused(
            "rollback.already-live",
            "it is the environment's own, and stopped".to_owned(),
            "bring it back with `windlass start`",
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
    if is_to_be_built(to) && !may_build {
        let fix = format!(
            "build the same version again: `windlass rollback {number} --rebuild`; \
             `deploy.keep_artifacts` says how many are kept"
        );
        return refused(
            "rollback.artifact-pruned",
            "what it was built into has been removed to save space".to_owned(),
            &fix,
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

fn asked_twice() -> Failure {
    Failure::app(
        "rollback.asked-twice",
        "a rollback goes to a deployment or to a commit",
        "both were given",
        "give one of them",
    )
}

fn env_unknown(to: &Deployment) -> Failure {
    Failure::app(
        "rollback.env-unknown",
        format!("the variables that deployment #{} ran with are not known", to.number),
        "it was made by a version of Windlass that did not keep them",
        "leave out --with-its-env: it gets the present variables",
    )
}

fn commit_unknown(commit: &str) -> Failure {
    Failure::app(
        "rollback.commit-unknown",
        format!("no kept deployment of this environment was live with a commit {commit}"),
        "any other commit is fetched anew, and for that its whole id is needed",
        "give all 40 digits of it, or choose a deployment: `windlass deployments`",
    )
}

#[cfg(test)]
mod tests {
    use windlass_model::deployment::Artifact;
    use windlass_model::{Digest, EnvironmentName, Timestamp};

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
        let code = |to: &Deployment| check(to, &target(), Some(&live.id), false).unwrap_err().code;
        assert_eq!(code(&live), "rollback.already-live");
        assert_eq!(code(&deployment(3, DeploymentStatus::Failed)), "rollback.never-live");
        let mut pruned = deployment(2, DeploymentStatus::Retired);
        pruned.artifact_pruned = true;
        assert_eq!(code(&pruned), "rollback.artifact-pruned");
        check(&pruned, &target(), Some(&live.id), true).unwrap();
        let mut elsewhere = deployment(1, DeploymentStatus::Retired);
        elsewhere.environment = "staging".parse().unwrap();
        assert_eq!(code(&elsewhere), "rollback.other-environment");
    }
}
