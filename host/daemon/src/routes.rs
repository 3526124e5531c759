//! Routes: what the proxy is told about an environment.
//!
//! **Invariant: a route's generation comes from the environment's counter and only grows**, so an
//! older deployment can never take a route back.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;
use windlass_model::deployment::{self, ArtifactKind, ArtifactOutput};
use windlass_model::running::{Maintenance, Running};
use windlass_model::{Deployment, DeploymentStatus, EnvironmentName, Failure, ProjectName};
use windlass_proxy::{ClientError, DrainDeadlines, Instance, Route, Targets};

use crate::host::Host;
use crate::pipeline::names;

/// Between two looks whether a route is free.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One wait for the proxy's word on a drain; it is asked again until it is drained.
const DRAIN_WAIT: Duration = Duration::from_secs(30);

/// The route of a deployment that takes over, under its stored generation, with the environment's
/// present domains. Maintenance stays what it is: it is about visitors, not about versions.
pub(crate) fn of(host: &Host, deployment: &Deployment) -> Result<Route, Failure> {
    let generation = deployment.outputs.generation.unwrap_or_default();
    let running = host.running(&deployment.project, &deployment.environment)?;
    let targets = match running.and_then(|(running, _)| running.maintenance) {
        Some(maintenance) => in_maintenance(maintenance),
        None => targets(host, deployment, deployment.outputs.instances.iter()),
    };
    route(host, deployment, generation, targets)
}

/// The route of what runs.
fn of_running(host: &Host, live: &Deployment, running: &Running) -> Result<Route, Failure> {
    let targets = match (&running.stopped, &running.maintenance) {
        (Some(_), _) => Targets::None { reason: "it is stopped".to_owned(), hold_ms: Some(0) },
        (None, Some(maintenance)) => in_maintenance(maintenance.clone()),
        (None, None) => {
            let answering = running.instances.iter().filter(|one| one.answers());
            targets(host, live, answering.map(|one| &one.instance))
        }
    };
    let mut route = route(host, live, running.generation, targets)?;
    if let (Targets::None { hold_ms, .. }, Some(_)) = (&mut route.targets, &running.recreating) {
        *hold_ms = Some(host.config.limits.recreate_hold_ms);
    }
    Ok(route)
}

fn route(
    host: &Host,
    deployment: &Deployment,
    generation: u64,
    targets: Targets,
) -> Result<Route, Failure> {
    let domains = host.domains(&deployment.project, &deployment.environment)?;
    let drain = deployment.outputs.settings.as_ref().map(|s| s.deploy.drain).unwrap_or_default();
    Ok(Route {
        name: names::route(&deployment.project, &deployment.environment),
        is_default: domains.iter().any(|host| host == "*"),
        hosts: domains.into_iter().filter(|host| host != "*").collect(),
        generation,
        targets,
        drain: DrainDeadlines {
            plain_ms: drain.plain_ms,
            streaming_ms: drain.streaming_ms,
            upgraded_ms: drain.upgraded_ms,
        },
    })
}

fn in_maintenance(maintenance: Maintenance) -> Targets {
    Targets::None { reason: maintenance.message, hold_ms: maintenance.hold_ms }
}

/// Who answers for a deployment: these instances, its static site, or nobody.
fn targets<'a>(
    host: &Host,
    deployment: &Deployment,
    instances: impl Iterator<Item = &'a deployment::Instance>,
) -> Targets {
    let instances: Vec<Instance> = instances
        .filter_map(|instance| {
            let address = SocketAddr::new(IpAddr::V4(instance.address), instance.port?);
            Some(Instance { id: instance.id.clone(), address })
        })
        .collect();
    if !instances.is_empty() {
        return Targets::Instances { instances };
    }
    let artifact = deployment.outputs.artifact.as_ref();
    if artifact.is_some_and(|artifact| artifact.web().is_some()) {
        return Targets::None { reason: "it is being started".to_owned(), hold_ms: None };
    }
    let site = artifact.and_then(|artifact| artifact.static_output());
    match site.map(|output| &output.kind) {
        Some(ArtifactKind::StaticTree { tree, spa_fallback, not_found, .. }) => Targets::Static {
            root: host.builder.static_tree_dir(tree),
            spa_fallback: spa_fallback.clone(),
            not_found: not_found.clone(),
            withheld: withheld(deployment, site),
        },
        _ => Targets::None {
            reason: "this application has no process that answers requests".to_owned(),
            hold_ms: Some(0),
        },
    }
}

/// Files of the deployment's static site that visitors do not get.
fn withheld(deployment: &Deployment, site: Option<&ArtifactOutput>) -> Vec<String> {
    let of_site = deployment.outputs.withheld.iter();
    let of_site = of_site.filter(|one| site.is_some_and(|site| site.name == one.output));
    of_site.flat_map(|one| one.paths.iter().cloned()).collect()
}

/// Waits until nothing uses any generation of this range. The proxy cuts by itself what is over its
/// deadline. Publications with the same targets share one generation, which has the newest one's number:
/// targets that a later publication kept (the same static tree, deployed again) are in use on purpose, and
/// are not waited for.
pub(crate) async fn drained(host: &Host, route: &str, range: RangeInclusive<u64>) {
    loop {
        let open = host.proxy.stats().await.map(|stats| {
            let mut generations = stats.generations.into_iter();
            generations.find(|one| one.route == route && range.contains(&one.generation))
        });
        let waited = match open {
            Ok(None) => return,
            Ok(Some(open)) => {
                host.proxy.drained(route, open.generation, DRAIN_WAIT).await.map(drop)
            }
            Err(error) => Err(error),
        };
        // Refused: it was over meanwhile.
        if let Err(error) = waited.or_else(|e| e.refusal().map(drop).ok_or(e)) {
            tracing::warn!(%error, route, "the proxy does not answer; a drain waits");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
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
    publish(host, project, environment).await.map(drop)
}

/// Publishes what runs in an environment under its next generation, stored first; that generation, or
/// none when nothing was ever live. The proxy shares it with the one before when the targets are the
/// same. The caller holds the route's lock.
pub(crate) async fn publish(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<Option<u64>, Failure> {
    let Some((live, _)) = host.live(project, environment)? else {
        return Ok(None);
    };
    host.ensure_running(&live).await?;
    let (generation, _) = host.next_generation(&live).await?;
    let running = host.change_running(project, environment, |running| {
        running.generation = generation;
        for one in &mut running.instances {
            if one.answers() {
                one.routed_from.get_or_insert(generation);
            } else if one.routed_from.is_some() {
                one.routed_until.get_or_insert(generation - 1);
            }
        }
        Ok((running.deployment == live.id).then(|| running.clone()))
    });
    let Some(running) = running.await? else {
        return Ok(None);
    };
    let route = of_running(host, &live, &running)?;
    host.proxy.put_route(&route).await.map_err(|e| failed(&e))?;
    Ok(Some(generation))
}

/// Publishes what runs, unless a deployment is taking the route over: its end publishes it, or what it
/// leads back to. The generation that is published last, if one is.
pub(crate) async fn publish_unless_taken(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<Option<u64>, Failure> {
    let route = names::route(project, environment);
    let _lock = host.named_lock(format!("route:{route}")).await;
    if taken_over(host)?.contains(&route) {
        return Ok(None);
    }
    publish(host, project, environment).await
}

/// Leads visitors back from a deployment that failed in its switch: to what runs, or nowhere when
/// nothing does. The caller holds the route's lock.
pub(crate) async fn lead_back(host: &Host, from: &Deployment) -> Result<(), Failure> {
    if publish(host, &from.project, &from.environment).await?.is_some() {
        return Ok(());
    }
    let route = names::route(&from.project, &from.environment);
    host.proxy.remove_route(&route).await.map_err(|e| failed(&e))
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
    use windlass_model::{DeploymentId, Limits};
    use windlass_store::Change;

    use super::*;
    use crate::pipeline::TABLE;
    use crate::testing::{TestHost, queued};

    /// A deployment of `shop` under a generation.
    async fn stored(host: &Host, status: DeploymentStatus, generation: u64) -> DeploymentId {
        let mut deployment = queued(0);
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

    fn published(host: &Host, project: &ProjectName) -> Running {
        host.running(project, &EnvironmentName::production()).unwrap().unwrap().0
    }

    /// A host on which the first deployment is live and the second has taken its route over.
    async fn taking_over() -> (TestHost, DeploymentId, DeploymentId) {
        let parts = TestHost::with(Limits::default(), &TABLE).await;
        let host = &parts.host;
        let project: ProjectName = "shop".parse().unwrap();
        let production = EnvironmentName::production();
        host.store.ensure_project(&project).await.unwrap();
        host.store.ensure_environment(&project, &production).await.unwrap();
        let old = stored(host, DeploymentStatus::Live, 1).await;
        let new = stored(host, DeploymentStatus::Running, 2).await;
        let mut environment = host.store.environment(&project, &production).unwrap();
        environment.value.live = Some(old.clone());
        environment.value.generation = 2;
        host.store.commit(vec![Change::Environment(environment)]).await.unwrap();
        assert!(taken_over(host).unwrap().contains("shop/production"));
        (parts, old, new)
    }

    async fn goes_live(host: &Host, new: &DeploymentId, old: &DeploymentId) {
        let (mut switched, revision) = host.deployment(new).unwrap().unwrap();
        switched.status = DeploymentStatus::Live;
        switched.outputs.replaced = Some(old.clone());
        host.go_live(&switched, revision).await.unwrap();
    }

    #[tokio::test]
    async fn changed_domains_wait_for_the_deployment_that_takes_the_route_over() {
        let (parts, old, new) = taking_over().await;
        let host = &parts.host;
        let project: ProjectName = "shop".parse().unwrap();
        let production = EnvironmentName::production();
        let republished = {
            let (host, project) = (host.clone(), project.clone());
            tokio::spawn(async move { republish(&host, &project, &production).await })
        };
        let mut republished = std::pin::pin!(republished);
        let waits = tokio::time::timeout(Duration::from_millis(200), &mut republished).await;
        assert!(waits.is_err(), "the old deployment was published over the new one");

        goes_live(host, &new, &old).await;
        republished.await.unwrap().unwrap();
        assert_eq!(generation_of(host, &old), 1, "the old one was not published again");
        let running = published(host, &project);
        assert_eq!(running.deployment, new);
        assert!(running.generation > 2, "the new one was");
    }

    #[tokio::test]
    async fn what_waited_for_a_takeover_when_the_host_was_killed_is_published_after_it() {
        let (mut parts, old, new) = taking_over().await;
        let project: ProjectName = "shop".parse().unwrap();
        let production = EnvironmentName::production();
        let (live, _) = parts.host.deployment(&old).unwrap().unwrap();
        parts.host.ensure_running(&live).await.unwrap();
        let by = windlass_model::running::By::now("test");
        let maintenance = Maintenance { message: "back at noon".to_owned(), hold_ms: None, by };
        let set = parts.host.change_running(&project, &production, |running| {
            running.maintenance = Some(maintenance.clone());
            Ok(Some(()))
        });
        set.await.unwrap();
        parts.start_anew().await;
        let host = &parts.host;
        crate::reconcile::reconcile(host).await;
        goes_live(host, &new, &old).await;
        let told = async {
            let is_told = |route: &Route| {
                let says = |reason: &str| reason == maintenance.message;
                matches!(&route.targets, Targets::None { reason, .. } if says(reason))
            };
            while !host.proxy.routes().await.unwrap().iter().any(is_told) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(20), told).await;
        assert!(told.is_ok(), "visitors are let in: {:?}", host.proxy.routes().await);
    }
}
