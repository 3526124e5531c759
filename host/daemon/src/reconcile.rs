//! reconcile: what a started host does before it takes up work: it compares what the store says should
//! serve with what runs, and mends the difference.
//!
//! - The route of a live or stopped deployment is published again, unless another deployment has begun to
//!   take it over: that one goes forward, and the route is published again after its end. Instances whose containers are gone (a reboot) are marked to be
//!   started; the supervisor does it, and learns of those that ended.
//! - A container that belongs to no deployment that should have containers is removed, and an instance
//!   that no record names; so is a route of an environment that was deleted.

use std::collections::HashSet;
use std::sync::Arc;

use windlass_containers::Labels;
use windlass_containers::runtime::TaskStatus;
use windlass_model::running::InstanceState;
use windlass_model::{Deployment, DeploymentStatus, EnvironmentName, Failure, ProjectName};

use crate::failpoint;
use crate::host::Host;
use crate::pipeline::{self, names};
use crate::routes;

/// Mends what can be mended; what cannot is logged and shown in the status, and stops nothing.
pub(crate) async fn reconcile(host: &Arc<Host>) {
    failpoint::reached("before:reconcile");
    let taken_over = routes::taken_over(host).unwrap_or_else(|failure| {
        tracing::error!(%failure, "the running deployments could not be read");
        HashSet::new()
    });
    for (project, environment) in taken_over.iter().filter_map(|route| names::of_route(route)) {
        tokio::spawn(publish_after_its_end(host.clone(), project, environment));
    }
    match host.all_live().and_then(|live| Ok([live, host.all_stopped()?].concat())) {
        Ok(live) => {
            for (deployment, _) in live {
                if taken_over.contains(&names::route(&deployment.project, &deployment.environment))
                {
                    continue;
                }
                if let Err(failure) = restore(host, &deployment).await {
                    tracing::error!(%failure, deployment = %deployment.id, "a live deployment is not well");
                }
            }
        }
        Err(failure) => tracing::error!(%failure, "the live deployments could not be read"),
    }
    failpoint::reached("during:reconcile");
    if let Err(failure) = forget_routes(host).await {
        tracing::error!(%failure, "the proxy's routes could not be compared with the state");
    }
    if let Err(failure) = crate::sessions::background::reconcile(host).await {
        tracing::error!(%failure, "one-off commands could not be looked after");
    }
    if let Err(failure) = crate::cron::recover::reconcile(host).await {
        tracing::error!(%failure, "the runs of schedules could not be looked after");
    }
    if let Err(failure) = sweep(host).await {
        tracing::error!(%failure, "leftovers could not be removed; they are tried at the next start");
    }
    pipeline::custom::resume(host).await;
    host.builder.settle_later();
    if let Err(failure) = name_unsynced(host).await {
        tracing::error!(%failure, "it is not known what of the builds is not on the disk");
    }
    crate::recover::record::write_all(host).await;
    failpoint::reached("after:reconcile");
}

/// Says which deployments are built on files that may be cut off, because the machine stopped too soon after
/// their build. They are not ended: an app that they harm is found by its checks.
async fn name_unsynced(host: &Host) -> Result<(), Failure> {
    let steps = host.builder.unsynced_steps().await?;
    if steps.is_empty() {
        return Ok(());
    }
    for project in host.store.projects().map_err(|e| e.to_failure())? {
        for environment in host.store.environments(&project.name).map_err(|e| e.to_failure())? {
            let kept = host.store.deployments_with_artifact(&project.name, &environment.name);
            for deployment in kept.map_err(|e| e.to_failure())? {
                let outputs = deployment.value.outputs.artifact.iter().flat_map(|it| &it.outputs);
                if outputs.into_iter().any(|output| steps.contains(&output.snapshot)) {
                    tracing::warn!(
                        project = %project.name,
                        environment = %environment.name,
                        number = deployment.value.number,
                        "the machine stopped before what was built was known to be on the disk: \
                         build it again with `windlass redeploy`"
                    );
                }
            }
        }
    }
    Ok(())
}

/// Publishes a route once the deployment that takes it over has come to its end. Who had changed a domain
/// or begun maintenance meanwhile waited for that end to tell the proxy, and went down with the host.
async fn publish_after_its_end(
    host: Arc<Host>,
    project: ProjectName,
    environment: EnvironmentName,
) {
    if let Err(failure) = routes::republish(&host, &project, &environment).await {
        tracing::error!(%failure, %project, %environment, "a route may be without its last change");
    }
}

/// Brings one live deployment back, and publishes it.
async fn restore(host: &Arc<Host>, deployment: &Deployment) -> Result<(), Failure> {
    let _lock = host.environment_lock(deployment, "route").await;
    // Asked again under the lock: a deployment may have taken the route over since the list was read.
    let live = host.live(&deployment.project, &deployment.environment)?;
    let route = names::route(&deployment.project, &deployment.environment);
    if live.is_none_or(|(live, _)| live.id != deployment.id)
        || routes::taken_over(host)?.contains(&route)
    {
        return Ok(());
    }
    host.ensure_running(deployment).await?;
    pipeline::egress::settle(host, &deployment.project, &deployment.environment, None).await?;
    let gone = gone(host, deployment).await?;
    let (project, environment) = (&deployment.project, &deployment.environment);
    let changed = host.change_running(project, environment, |running| {
        if let Some(by) = &running.recreating
            && host.deployment(by)?.is_none_or(|(deployment, _)| is_over(&deployment))
        {
            running.recreating = None;
        }
        for one in running.instances.iter_mut().filter(|one| gone.contains(&one.instance.id)) {
            one.restarts += 1;
            one.healthy_since = None;
            one.enter(InstanceState::Starting);
        }
        Ok(Some(()))
    });
    changed.await?;
    routes::publish(host, project, environment).await.map(drop)
}

fn is_over(deployment: &Deployment) -> bool {
    use DeploymentStatus as S;
    !matches!(deployment.status, S::Queued | S::Running | S::Paused)
}

/// Instances that should run and have no task any more.
async fn gone(host: &Host, deployment: &Deployment) -> Result<Vec<String>, Failure> {
    let running = host.running(&deployment.project, &deployment.environment)?;
    let instances = running.map(|(running, _)| running.instances).unwrap_or_default();
    let mut gone = Vec::new();
    for one in instances.into_iter().filter(|one| one.state == InstanceState::Running) {
        let status = host.runtime.status(&one.instance.id).await;
        let status = status.map_err(|e| e.failure("the state of a container could not be read"))?;
        if matches!(status, None | Some(TaskStatus::Missing | TaskStatus::Created)) {
            gone.push(one.instance.id);
        }
    }
    Ok(gone)
}

/// Removes containers of deployments that should have none, and forgotten workspaces.
async fn sweep(host: &Arc<Host>) -> Result<(), Failure> {
    use DeploymentStatus as S;
    let containers = host
        .runtime
        .list(&Labels::new())
        .await
        .map_err(|e| e.failure("the containers could not be listed"))?;
    let mut gone = HashSet::new();
    for container in containers {
        let Some(id) = names::labelled_deployment(&container.labels) else {
            continue;
        };
        let keeps = match host.deployment(&id)? {
            Some((deployment, _)) => match deployment.status {
                S::Live if names::is_instance(&container.labels) => {
                    is_named(host, &deployment, &container.id)?
                }
                S::Queued | S::Running | S::Paused | S::Live | S::Draining => true,
                // What is being stopped or started again has containers, too.
                S::Stopped => is_asked(host, &deployment)?,
                _ => false,
            },
            None => false,
        };
        if !keeps {
            tracing::warn!(container = container.id, "a leftover container is removed");
            host.runtime
                .delete(&container.id)
                .await
                .map_err(|e| e.failure("a container could not be deleted"))?;
            gone.insert(id);
        }
    }
    let keeps = |id: &windlass_model::DeploymentId| {
        // One that cannot be read is kept.
        host.deployment(id).map_or(true, |found| {
            found.is_some_and(|(deployment, _)| {
                !matches!(deployment.status, S::Retired | S::Built | S::Failed | S::Cancelled)
            })
        })
    };
    pipeline::before_switch::sweep(host, keeps).await?;
    for id in gone {
        host.builder.clean_up(&id).await?;
        host.clear_workspace(&id).await?;
    }
    Ok(())
}

/// Whether the record of what runs names this instance.
fn is_named(host: &Host, deployment: &Deployment, id: &str) -> Result<bool, Failure> {
    let running = host.running(&deployment.project, &deployment.environment)?;
    Ok(running.is_none_or(|(mut running, _)| {
        running.deployment != deployment.id || running.instance_mut(id).is_some()
    }))
}

fn is_asked(host: &Host, deployment: &Deployment) -> Result<bool, Failure> {
    let running = host.running(&deployment.project, &deployment.environment)?;
    Ok(running.is_some_and(|(running, _)| running.asked.is_some()))
}

/// Withdraws the routes of environments that were deleted: a crash came before it.
async fn forget_routes(host: &Host) -> Result<(), Failure> {
    for route in host.proxy.routes().await.map_err(|e| routes::failed(&e))? {
        let Some((project, environment)) = names::of_route(&route.name) else { continue };
        let found = host.store.find_environment(&project, &environment);
        if found.map_err(|e| e.to_failure())?.is_none() {
            host.proxy.remove_route(&route.name).await.map_err(|e| routes::failed(&e))?;
        }
    }
    Ok(())
}
