//! Routes: what the proxy is told about an environment.
//!
//! **Invariant: a route's generation comes from the environment's counter and only grows**, so an
//! older deployment can never take a route back.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;
use windlass_model::deployment::ArtifactKind;
use windlass_model::{Deployment, DeploymentStatus, EnvironmentName, Failure, ProjectName};
use windlass_proxy::{ClientError, DrainDeadlines, Instance, Route, Targets};

use crate::host::Host;
use crate::pipeline::names;

/// Between two looks whether a route is free.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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

/// Routes that a running deployment has taken over, or was about to when the host went down. Until it is
/// live the store names the deployment before it: publishing that one would lead visitors back.
pub(crate) fn taken_over(host: &Host) -> Result<HashSet<String>, Failure> {
    let took = |deployment: &Deployment| {
        deployment.status == DeploymentStatus::Running
            && deployment.outputs.generation.is_some()
            && deployment.failure.is_none()
    };
    let unsettled = host.unsettled()?.into_iter().map(|(deployment, _)| deployment);
    let took = unsettled.filter(took);
    Ok(took.map(|deployment| names::route(&deployment.project, &deployment.environment)).collect())
}

/// The lock of a route that no deployment is taking over.
async fn settled(host: &Host, route: &str) -> Result<OwnedMutexGuard<()>, Failure> {
    let limits = &host.config.limits;
    let until = Instant::now() + Duration::from_secs(limits.switch_s + limits.finish_s);
    loop {
        let lock = host.named_lock(format!("route:{route}")).await;
        if !taken_over(host)?.contains(route) {
            return Ok(lock);
        }
        drop(lock);
        if Instant::now() > until {
            return Err(Failure::host(
                "domain.not-published",
                "the domains are stored, and the proxy was not told of them",
                format!("a deployment has taken {route} over and does not come to its end"),
                "see `windlass deployments`; restart `windlass serve`, which tells the proxy again",
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Publishes an environment's route again because its domains changed. Without a live deployment
/// there is nothing to publish: the next switch takes the domains along.
pub(crate) async fn republish(
    host: &Arc<Host>,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<(), Failure> {
    let _lock = settled(host, &names::route(project, environment)).await?;
    let Some((mut live, revision)) = host.live(project, environment)? else {
        return Ok(());
    };
    publish(host, &mut live, revision).await.map(|_| ())
}

/// Publishes a live deployment under the environment's next generation, stored first. The proxy shares
/// it with the one before when the targets are the same. The caller holds the route's lock.
pub(crate) async fn publish(
    host: &Host,
    live: &mut Deployment,
    revision: u64,
) -> Result<u64, Failure> {
    let (generation, _) = host.next_generation(live).await?;
    live.outputs.generation = Some(generation);
    let revision = host.save_deployment(live, revision).await?;
    host.proxy.put_route(&of(host, live)?).await.map_err(|e| failed(&e))?;
    Ok(revision)
}

/// Leads visitors back from a deployment that failed in its switch: to the live one, or nowhere when
/// there is none. The caller holds the route's lock.
pub(crate) async fn lead_back(host: &Host, from: &Deployment) -> Result<(), Failure> {
    match host.live(&from.project, &from.environment)? {
        Some((mut live, revision)) => publish(host, &mut live, revision).await.map(|_| ()),
        None => {
            let route = names::route(&from.project, &from.environment);
            host.proxy.remove_route(&route).await.map_err(|e| failed(&e))
        }
    }
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

#[cfg(test)]
mod tests {
    use windlass_model::deployment::{Kind, Source};
    use windlass_model::{DeploymentId, Limits};
    use windlass_store::Change;

    use super::*;
    use crate::pipeline::TABLE;
    use crate::testing::TestHost;

    /// A deployment of `shop` under a generation.
    async fn stored(host: &Host, status: DeploymentStatus, generation: u64) -> DeploymentId {
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let mut deployment = Deployment::queued(
            "shop".parse().unwrap(),
            EnvironmentName::production(),
            0,
            Kind::Deploy,
            source,
            "test".into(),
        );
        deployment = host.store.create_deployment(deployment).await.unwrap().value;
        let (_, revision) = host.deployment(&deployment.id).unwrap().unwrap();
        deployment.status = status;
        deployment.outputs.generation = Some(generation);
        host.save_deployment(&deployment, revision).await.unwrap();
        deployment.id
    }

    fn generation_of(host: &Host, id: &DeploymentId) -> u64 {
        host.deployment(id).unwrap().unwrap().0.outputs.generation.unwrap()
    }

    #[tokio::test]
    async fn changed_domains_wait_for_the_deployment_that_takes_the_route_over() {
        let parts = TestHost::with(Limits::default(), &TABLE).await;
        let host = &parts.host;
        let (project, production) = ("shop".parse().unwrap(), EnvironmentName::production());
        host.store.ensure_project(&project).await.unwrap();
        host.store.ensure_environment(&project, &production).await.unwrap();
        let old = stored(host, DeploymentStatus::Live, 1).await;
        let new = stored(host, DeploymentStatus::Running, 2).await;
        let mut environment = host.store.environment(&project, &production).unwrap();
        environment.value.live = Some(old.clone());
        environment.value.generation = 2;
        host.store.commit(vec![Change::Environment(environment)]).await.unwrap();
        assert!(taken_over(host).unwrap().contains("shop/production"));

        let republished = {
            let host = host.clone();
            tokio::spawn(async move { republish(&host, &project, &production).await })
        };
        let mut republished = std::pin::pin!(republished);
        let waits = tokio::time::timeout(Duration::from_millis(200), &mut republished).await;
        assert!(waits.is_err(), "the old deployment was published over the new one");

        let (mut switched, revision) = host.deployment(&new).unwrap().unwrap();
        switched.status = DeploymentStatus::Live;
        switched.outputs.replaced = Some(old.clone());
        host.go_live(&switched, revision).await.unwrap();
        republished.await.unwrap().unwrap();
        assert_eq!(generation_of(host, &old), 1, "the old one was not published again");
        assert!(generation_of(host, &new) > 2, "the new one was");
    }
}
