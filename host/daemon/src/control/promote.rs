//! Promotion: what is live in one environment goes live in another, from the very same artifact.

use std::sync::Arc;

use windlass_model::api::DeploymentView;
use windlass_model::deployment::Kind;
use windlass_model::queue::CreatePromotion;
use windlass_model::{Deployment, DeploymentStatus, Failure};

use super::deployments::{self, Request};
use super::rollback::exact_source;
use super::{Target, images, once, stored};
use crate::host::Host;

/// Queues a promotion into `target`. Settings are read for the target environment from the source at
/// the artifact's own version, its variables are the target's, and its migrations are run there.
///
/// # Errors
/// `promote.same-environment`, `promote.nothing-live`, `promote.artifact-pruned`,
/// `environment.not-found`, those of [`once::answered_before`], `store.too-many`.
pub async fn promote(
    host: &Arc<Host>,
    target: &Target,
    body: CreatePromotion,
    request: &Request,
) -> Result<DeploymentView, Failure> {
    let Target { project, environment } = target;
    if let Some(before) = once::answered_before(host, project, request.once.as_ref()).await? {
        return Ok(before);
    }
    if body.from == *environment {
        return Err(Failure::app(
            "promote.same-environment",
            format!("{environment} cannot be promoted into itself"),
            "a promotion takes what is live in one environment into another one",
            "name two environments: `windlass promote --from staging --to production`",
        ));
    }
    let from = Target { project: project.clone(), environment: body.from };
    let (live, _held) = images::held(host, live_of(host, &from)?).await?;
    deployments::prepare(host, target, request).await?;
    let kind = Kind::Promote { from: live.id.clone(), environment: from.environment };
    deployments::queue(host, target, kind, exact_source(&live), request).await
}

fn live_of(host: &Host, from: &Target) -> Result<Deployment, Failure> {
    let Target { project, environment } = from;
    let found = host.store.environment(project, environment).map_err(stored)?.value;
    let live = match &found.live {
        Some(id) => host.store.find_deployment(id).map_err(stored)?.map(|found| found.value),
        None => None,
    };
    let live = live.filter(|deployment| deployment.status == DeploymentStatus::Live);
    let live = live.ok_or_else(|| {
        Failure::app(
            "promote.nothing-live",
            format!("nothing is live in {project}/{environment}"),
            "a promotion takes over what is live there",
            format!("deploy there first: `windlass deploy -e {environment}`"),
        )
    })?;
    if live.outputs.artifact.is_none() || live.artifact_pruned {
        return Err(Failure::host(
            "promote.artifact-pruned",
            format!("deployment #{} has no artifact any more", live.number),
            "its record says so, although it is live",
            format!("build it again: `windlass redeploy {}`", live.number),
        ));
    }
    Ok(live)
}
