//! Halting a deployment between two steps, going on with it, and keeping it for good.
//!
//! What is not possible is a conflict that names the right verb.

use std::sync::Arc;

use windlass_model::api::DeploymentView;
use windlass_model::project::Intent;
use windlass_model::queue::Pin;
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, Failure, StepName, Timestamp};

use super::deployments::show;
use super::{images, stored};
use crate::host::Host;

/// Asks that a running deployment halts before its next step. This returns at once.
///
/// # Errors
/// `deployment.not-begun`, `deployment.already-paused`, `deployment.past-switch`, `deployment.live`,
/// `deployment.over`.
pub async fn pause(
    host: &Arc<Host>,
    id: &DeploymentId,
    actor: &str,
) -> Result<DeploymentView, Failure> {
    let deployment = host.store.deployment(id).map_err(stored)?.value;
    refuse_pause(&deployment)?;
    let intent = Intent::Pause { deployment: id.clone(), actor: actor.to_owned() };
    ask(host, deployment, intent).await
}

/// Asks that a halted deployment goes on, as soon as a runner is free. This returns at once.
///
/// # Errors
/// `deployment.not-paused`, `deployment.over`.
pub async fn resume(
    host: &Arc<Host>,
    id: &DeploymentId,
    actor: &str,
) -> Result<DeploymentView, Failure> {
    let deployment = host.store.deployment(id).map_err(stored)?.value;
    let intents = host.store.intents().map_err(stored)?;
    let about_to = intents.iter().any(
        |stored| matches!(&stored.intent, Intent::Pause { deployment, .. } if deployment == id),
    );
    refuse_resume(&deployment, about_to)?;
    let intent = Intent::Resume { deployment: id.clone(), actor: actor.to_owned() };
    ask(host, deployment, intent).await
}

async fn ask(
    host: &Arc<Host>,
    deployment: Deployment,
    intent: Intent,
) -> Result<DeploymentView, Failure> {
    host.store.put_intent(intent).await.map_err(stored)?;
    host.wake.notify_one();
    show(host, deployment).await
}

fn refuse_pause(deployment: &Deployment) -> Result<(), Failure> {
    use DeploymentStatus as S;
    let number = deployment.number;
    let step = deployment.current_step().unwrap_or(StepName::Finish);
    let refused = |code: &str, why: String, fix: String| {
        Err(Failure::app(code, format!("deployment #{number} cannot be paused"), why, fix))
    };
    match deployment.status {
        S::Running if deployment.failure.is_some() || deployment.cancelled.is_some() => refused(
            "deployment.over",
            "it is being cleaned up".to_owned(),
            format!("`windlass show {number}` tells what became of it"),
        ),
        S::Running if step < StepName::Switch => Ok(()),
        S::Running => refused(
            "deployment.past-switch",
            format!("it is in {step}: traffic already moves to it"),
            "wait until it is live; then go back to the version before it with `windlass rollback`"
                .to_owned(),
        ),
        S::Queued => refused(
            "deployment.not-begun",
            "it still waits, and only what has begun can halt".to_owned(),
            format!("end it with `windlass cancel {number}`, or pause it when it runs"),
        ),
        S::Paused => refused(
            "deployment.already-paused",
            "it is paused".to_owned(),
            format!(
                "go on with `windlass resume {number}`, or end it with `windlass cancel {number}`"
            ),
        ),
        S::Live => refused(
            "deployment.live",
            "it is live: nothing of it is left to halt".to_owned(),
            "hold its visitors with `windlass maintenance`, or stop it with `windlass stop`"
                .to_owned(),
        ),
        S::Stopped => refused(
            "deployment.over",
            "it is stopped: nothing of it is left to halt".to_owned(),
            "bring it back with `windlass start`".to_owned(),
        ),
        other => refused(
            "deployment.over",
            format!("it is {other}"),
            "`windlass deployments` shows what runs".to_owned(),
        ),
    }
}

fn refuse_resume(deployment: &Deployment, about_to: bool) -> Result<(), Failure> {
    use DeploymentStatus as S;
    let number = deployment.number;
    let (code, fix) = match deployment.status {
        S::Paused => return Ok(()),
        S::Running if about_to => return Ok(()),
        S::Queued => ("deployment.not-paused", "nothing needs to be done: it begins by itself"),
        S::Running => ("deployment.not-paused", "nothing needs to be done: it goes on by itself"),
        S::Live => ("deployment.not-paused", "nothing needs to be done: it serves"),
        S::Stopped => ("deployment.over", "start it again with `windlass start`"),
        _ => ("deployment.over", "deploy its source again with `windlass redeploy`"),
    };
    let what = format!("deployment #{number} cannot be resumed");
    Err(Failure::app(code, what, format!("it is {}, not paused", deployment.status), fix))
}

/// Keeps a deployment's record, logs and artifact for good.
///
/// # Errors
/// `pin.artifact-pruned`, `store.too-many`.
pub async fn pin(
    host: &Arc<Host>,
    deployment: Deployment,
    actor: &str,
) -> Result<DeploymentView, Failure> {
    let (deployment, _held) = images::held(host, deployment).await?;
    if deployment.artifact_pruned {
        let number = deployment.number;
        return Err(Failure::app(
            "pin.artifact-pruned",
            format!("deployment #{number} cannot be pinned"),
            "its artifact has been removed already, so there is nothing to keep it for",
            // Only what was live once can be gone back to.
            match deployment.live_at {
                Some(_) => {
                    format!(
                        "build it again with `windlass rollback {number} --rebuild`, and pin that"
                    )
                }
                None => {
                    format!("deploy its source with `windlass redeploy {number}`, and pin that")
                }
            },
        ));
    }
    let (id, at) = (deployment.id.clone(), Timestamp::now());
    let pin = Pin { deployment: id, actor: actor.to_owned(), at };
    host.store.pin(&deployment, &pin).await.map_err(stored)?;
    show(host, deployment).await
}

/// Leaves a deployment to retention again.
///
/// # Errors
/// The store's.
pub async fn unpin(host: &Arc<Host>, deployment: Deployment) -> Result<DeploymentView, Failure> {
    host.store.unpin(&deployment).await.map_err(stored)?;
    show(host, deployment).await
}

#[cfg(test)]
mod tests {
    use windlass_model::deployment::{Kind, Source};
    use windlass_model::{EnvironmentName, StepStatus};

    use super::*;

    fn deployment(status: DeploymentStatus, step: StepName) -> Deployment {
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let (project, environment) = ("shop".parse().unwrap(), EnvironmentName::production());
        let mut made =
            Deployment::queued(project, environment, 7, Kind::Deploy, source, "test".into());
        made.status = status;
        for row in made.steps.iter_mut().take_while(|row| row.name != step) {
            row.status = StepStatus::Succeeded;
        }
        made
    }

    /// Every status: what pause and resume answer, and the verb that the refusal names.
    #[test]
    fn at_a_forbidden_moment_the_right_verb_is_named() {
        use DeploymentStatus as S;
        let build = StepName::Build;
        for (status, step, code, verb) in [
            (S::Queued, StepName::Fetch, "deployment.not-begun", "windlass cancel"),
            (S::Running, StepName::Switch, "deployment.past-switch", "windlass rollback"),
            (S::Running, StepName::Finish, "deployment.past-switch", "windlass rollback"),
            (S::Paused, build, "deployment.already-paused", "windlass resume"),
            (S::Live, StepName::Finish, "deployment.live", "windlass stop"),
            (S::Draining, build, "deployment.over", "windlass deployments"),
            (S::Retired, build, "deployment.over", "windlass deployments"),
            (S::Failed, build, "deployment.over", "windlass deployments"),
            (S::Cancelled, build, "deployment.over", "windlass deployments"),
            (S::Stopped, build, "deployment.over", "windlass start"),
            (S::Stuck, build, "deployment.over", "windlass deployments"),
        ] {
            let refused = refuse_pause(&deployment(status, step)).unwrap_err();
            assert_eq!(refused.code, code, "{status} in {step}");
            assert!(refused.fix.contains(verb), "{status}: {}", refused.fix);
        }
        refuse_pause(&deployment(S::Running, StepName::Check)).unwrap();
        for (status, code, verb) in [
            (S::Queued, "deployment.not-paused", "begins by itself"),
            (S::Running, "deployment.not-paused", "goes on by itself"),
            (S::Live, "deployment.not-paused", "serves"),
            (S::Stopped, "deployment.over", "windlass start"),
            (S::Failed, "deployment.over", "windlass redeploy"),
        ] {
            let refused = refuse_resume(&deployment(status, build), false).unwrap_err();
            assert_eq!(refused.code, code, "{status}");
            assert!(refused.fix.contains(verb), "{status}: {}", refused.fix);
        }
        refuse_resume(&deployment(S::Paused, build), false).unwrap();
        refuse_resume(&deployment(S::Running, build), true).unwrap();
    }
}
