//! reconcile: what a started host does before it takes up work: it compares what the store says should
//! serve with what runs, and mends the difference.
//!
//! - A live deployment whose instances run is left alone; its route is published again, unless another
//!   deployment has begun to take it over: that one goes forward.
//! - One whose instances ended (a reboot, a crash while no host watched) gets them started again.
//! - A container that belongs to no deployment that should have containers is removed.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use windlass_containers::Labels;
use windlass_model::{Deployment, DeploymentStatus, Failure, StepName};

use crate::failpoint;
use crate::host::Host;
use crate::pipeline::{self, Run, names};
use crate::routes;

/// Mends what can be mended; what cannot is logged and shown in the status, and stops nothing.
pub(crate) async fn reconcile(host: &Arc<Host>) {
    failpoint::reached("before:reconcile");
    let taken_over = routes::taken_over(host).unwrap_or_else(|failure| {
        tracing::error!(%failure, "the running deployments could not be read");
        HashSet::new()
    });
    match host.all_live() {
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
    if let Err(failure) = crate::sessions::background::reconcile(host).await {
        tracing::error!(%failure, "one-off commands could not be looked after");
    }
    if let Err(failure) = sweep(host).await {
        tracing::error!(%failure, "leftovers could not be removed; they are tried at the next start");
    }
    crate::recover::record::write_all(host).await;
    failpoint::reached("after:reconcile");
}

/// Brings one live deployment back, and publishes it.
async fn restore(host: &Arc<Host>, deployment: &Deployment) -> Result<(), Failure> {
    let _lock = host.environment_lock(deployment, "route").await;
    // Read again under the lock: its domains may have been changed through the API since.
    let Some((deployment, revision)) = host.deployment(&deployment.id)? else {
        return Ok(());
    };
    let mut ended = Vec::new();
    for instance in &deployment.outputs.instances {
        if !host.still_runs(instance).await? {
            ended.push(instance.id.clone());
        }
    }
    let mut run = run_of(host, deployment, revision)?;
    for id in ended {
        run.log.say(format!("{id} does not run and is started again"));
        restart(&mut run, &id).await?;
    }
    run.revision = routes::publish(host, &mut run.deployment, run.revision).await?;
    Ok(())
}

fn run_of(host: &Arc<Host>, deployment: Deployment, revision: u64) -> Result<Run, Failure> {
    let variables = host.variables_of(&deployment)?;
    let masker = Run::masker(&variables);
    let log = host.logs.open(&deployment.id, StepName::Finish, masker).map_err(|e| {
        Failure::host(
            "logs.not-writable",
            "a log could not be opened",
            e.to_string(),
            "check the data directory's disk and permissions",
        )
    })?;
    let cancel = CancellationToken::new();
    Ok(Run { host: host.clone(), deployment, revision, log, cancel, variables })
}

/// Deletes an instance's container and starts it anew, in its place.
async fn restart(run: &mut Run, id: &str) -> Result<(), Failure> {
    let Some(place) = run.deployment.outputs.instances.iter().position(|i| i.id == id) else {
        return Ok(());
    };
    run.host.runtime.delete(id).await.map_err(|e| e.failure("a container could not be deleted"))?;
    let artifact = run.artifact()?.clone();
    let old = run.deployment.outputs.instances[place].clone();
    let Some(process) = artifact.processes.iter().find(|p| p.name == old.process) else {
        return Ok(());
    };
    let started = pipeline::start_instance(run, &artifact, process, old.ordinal).await?;
    run.deployment.outputs.instances[place] = started;
    Ok(())
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
        let keeps = host.deployment(&id)?.is_some_and(|(deployment, _)| {
            matches!(deployment.status, S::Queued | S::Running | S::Paused | S::Live | S::Draining)
        });
        if !keeps {
            tracing::warn!(container = container.id, "a leftover container is removed");
            host.runtime
                .delete(&container.id)
                .await
                .map_err(|e| e.failure("a container could not be deleted"))?;
            gone.insert(id);
        }
    }
    for id in gone {
        host.builder.clean_up(&id).await?;
        host.clear_workspace(&id).await?;
    }
    Ok(())
}
