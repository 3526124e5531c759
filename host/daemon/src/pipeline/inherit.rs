//! What a deployment takes over from another one: a rollback everything, a promotion the artifact.
//!
//! **Invariant: what was taken over is verified before anything is started from it.**

use windlass_model::deployment::{Kind, Outputs};
use windlass_model::{Deployment, Failure};

use super::Run;
use crate::host::Host;

/// Takes over what belongs to the kind; says why when it is not there any more.
pub(crate) fn take_over(
    host: &Host,
    deployment: &mut Deployment,
) -> Result<Option<Failure>, Failure> {
    if let Kind::Rollback { to, with_its_env: true, .. } = &deployment.kind
        && host.store.env_snapshot(to).map_err(|e| e.to_failure())?.is_none()
    {
        return Ok(Some(Failure::app(
            "rollback.env-unknown",
            format!("the variables that the deployment {to} ran with are not known any more"),
            "it left the history while the rollback waited",
            "roll back without --with-its-env: it gets the present variables",
        )));
    }
    let Some(of) = deployment.kind.artifact_of().cloned() else {
        return Ok(None);
    };
    let found = host.deployment(&of)?.map(|(found, _)| found);
    let Some(found) = found.filter(|d| d.outputs.artifact.is_some() && !d.artifact_pruned) else {
        return Ok(Some(Failure::app(
            "rollback.target-gone",
            format!("the artifact of the deployment {of} cannot be used any more"),
            "it was pruned while this deployment waited",
            format!("build the same version again: `windlass rollback {of} --rebuild`"),
        )));
    };
    let Outputs { fetched, settings, chosen, plan, artifact, schedules, withheld, health, .. } =
        found.outputs;
    let promoted = matches!(deployment.kind, Kind::Promote { .. });
    deployment.outputs =
        Outputs { chosen, plan, artifact, schedules, withheld, ..Outputs::default() };
    if !promoted {
        deployment.outputs.fetched = fetched;
        deployment.outputs.settings = settings;
        deployment.outputs.health = health;
    }
    Ok(None)
}

/// The record that the artifact was taken over from is intact, and everything that it names is there.
pub(super) async fn verify(run: &Run) -> Result<(), Failure> {
    let artifact = run.artifact()?.clone();
    let verified = run.host.builder.verify_artifact(&artifact).await;
    verified.map_err(|failure| damaged(&run.deployment, failure))
}

/// What is wrong with the artifact itself, in the words of what was asked for.
fn damaged(deployment: &Deployment, failure: Failure) -> Failure {
    if !failure.code.starts_with("artifact.") {
        return failure;
    }
    match &deployment.kind {
        Kind::Promote { from, environment } => Failure::host(
            "promote.artifact-damaged",
            format!("the artifact of the deployment {from} cannot be promoted"),
            failure.why,
            format!("build it again, then promote it: `windlass redeploy -e {environment}`"),
        ),
        other => {
            let of = other.artifact_of().map(ToString::to_string).unwrap_or_default();
            Failure::host(
                "rollback.artifact-damaged",
                format!("there is no way back to the artifact of the deployment {of}"),
                failure.why,
                format!("build the same version again: `windlass rollback {of} --rebuild`"),
            )
        }
    }
}
