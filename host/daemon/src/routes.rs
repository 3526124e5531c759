//! Routes: what the proxy is told about an environment.
//!
//! **Invariant: a route's generation comes from the environment's counter and only grows**, so an
//! older deployment can never take a route back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use windlass_model::deployment::ArtifactKind;
use windlass_model::{Deployment, EnvironmentName, Failure, ProjectName};
use windlass_proxy::{ClientError, DrainDeadlines, Instance, Route, Targets};

use crate::host::Host;
use crate::pipeline::names;

/// The route of a deployment under its stored generation, with the environment's present domains.
pub(crate) fn of(host: &Host, deployment: &Deployment) -> Result<Route, Failure> {
    let domains = host.domains(&deployment.project, &deployment.environment)?;
    let drain = deployment.outputs.settings.as_ref().map(|s| s.deploy.drain).unwrap_or_default();
    Ok(Route {
        name: names::route(&deployment.project, &deployment.environment),
        is_default: domains.iter().any(|host| host == "*"),
        hosts: domains.into_iter().filter(|host| host != "*").collect(),
        generation: deployment.outputs.generation.unwrap_or_default(),
        targets: targets(host, deployment),
        drain: DrainDeadlines {
            plain_ms: drain.plain_ms,
            streaming_ms: drain.streaming_ms,
            upgraded_ms: drain.upgraded_ms,
        },
    })
}

fn targets(host: &Host, deployment: &Deployment) -> Targets {
    let instances: Vec<Instance> = deployment
        .outputs
        .instances
        .iter()
        .filter_map(|instance| {
            let address = SocketAddr::new(IpAddr::V4(instance.address), instance.port?);
            Some(Instance { id: instance.id.clone(), address })
        })
        .collect();
    if !instances.is_empty() {
        return Targets::Instances { instances };
    }
    let site = deployment.outputs.artifact.as_ref().and_then(|a| a.static_output());
    match site.map(|output| &output.kind) {
        Some(ArtifactKind::StaticTree { tree, spa_fallback, not_found, .. }) => Targets::Static {
            root: host.builder.static_tree_dir(tree),
            spa_fallback: spa_fallback.clone(),
            not_found: not_found.clone(),
        },
        _ => Targets::None {
            reason: "this application has no process that answers requests".to_owned(),
            hold_ms: Some(0),
        },
    }
}

/// Publishes an environment's route again because its domains changed. Without a live deployment
/// there is nothing to publish: the next switch takes the domains along.
pub(crate) async fn republish(
    host: &Arc<Host>,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<(), Failure> {
    let _lock = host.named_lock(format!("route:{project}/{environment}")).await;
    let Some((mut live, revision)) = host.live(project, environment)? else {
        return Ok(());
    };
    let (generation, _) = host.next_generation(&live).await?;
    live.outputs.generation = Some(generation);
    host.proxy.put_route(&of(host, &live)?).await.map_err(|e| failed(&e))?;
    host.save_deployment(&live, revision).await.map(|_| ())
}

/// A failure of publishing.
pub(crate) fn failed(error: &ClientError) -> Failure {
    let fix = "see that the proxy runs (`windlass status`) and read its log, proxy.log in the data \
               directory; then deploy again";
    match error {
        ClientError::Unreachable { .. } => Failure::host(
            "switch.proxy-unreachable",
            "the proxy could not be told of the new version",
            error.to_string(),
            fix,
        ),
        _ => Failure::host(
            "switch.proxy-refused",
            "the proxy refused the new version; the old one goes on serving",
            error.to_string(),
            fix,
        ),
    }
}
