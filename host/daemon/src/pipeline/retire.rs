//! retire: the background job of a superseded deployment: drain, then SIGTERM or the image's own signal, then
//! SIGKILL, delete.
//!
//! **Invariant: the signal goes out only after no request can reach the instance any more.** The job can
//! be begun again at any point; it never touches a deployment that is not `draining`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use windlass_containers::Runtime;
use windlass_containers::runtime::{Container, TaskStatus};
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, Failure, Timestamp};

use super::again::Again;
use super::{before_switch, egress, names};
use crate::failpoint;
use crate::host::Host;
use crate::routes;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// Retires a draining deployment and stores the outcome: `retired`, or `stuck` with what is left.
pub(crate) async fn retire(host: Arc<Host>, id: DeploymentId) {
    let Ok(Some((deployment, _))) = host.deployment(&id) else {
        return;
    };
    if deployment.status != DeploymentStatus::Draining {
        return;
    }
    drain(&host, &deployment).await;
    failpoint::reached("during:retire");
    let mut again = Again::new();
    let outcome = loop {
        match stop_and_delete(&host, &deployment).await {
            Err(failure) if again.may(&failure) => {
                tracing::warn!(deployment = %id, %failure, "the superseded deployment is retired again");
                again.wait().await;
            }
            outcome => break outcome,
        }
    };
    host.settle_draining(&id, |deployment| {
        deployment.ended_at = Some(Timestamp::now());
        match outcome {
            Ok(()) => deployment.status = DeploymentStatus::Retired,
            Err(failure) => {
                deployment.status = DeploymentStatus::Stuck;
                deployment.failure = Some(failure);
            }
        }
    })
    .await;
    let closed =
        egress::settle(&host, &deployment.project, &deployment.environment, Some(&id)).await;
    if let Err(failure) = closed {
        tracing::warn!(%failure, deployment = %id, "what only it could reach stays open");
    }
}

/// Waits until no request uses any generation that led here. The proxy itself cuts what is over its
/// deadline.
async fn drain(host: &Host, deployment: &Deployment) {
    let Some(from) = deployment.outputs.generation else {
        return;
    };
    let to = match deployment.outputs.last_generation {
        Some(last) => last,
        // It was taken down without a successor: the record of what ran has the last one.
        None => match host.running(&deployment.project, &deployment.environment) {
            Ok(Some((running, _))) if running.deployment == deployment.id => {
                running.generation.max(from)
            }
            _ => from,
        },
    };
    let route = names::route(&deployment.project, &deployment.environment);
    routes::drained(host, &route, from..=to).await;
}

async fn stop_and_delete(host: &Host, deployment: &Deployment) -> Result<(), Failure> {
    // What the supervisor was just starting of it is there before the containers are listed.
    drop(host.environment_lock(deployment, "instances").await);
    let grace = Duration::from_secs(host.config.limits.stop_grace_s);
    stop(host.runtime.as_ref(), &deployment.id, grace).await?;
    delete_instances(host, &deployment.id).await?;
    before_switch::remove(host, &deployment.id).await
}

/// The signal of its image (SIGTERM, unless it says another) to one container, SIGKILL when it is still there
/// after the grace. One that does not run is no error.
pub(crate) async fn stop_one(host: &Host, of: &DeploymentId, id: &str) -> Result<(), Failure> {
    let grace = Duration::from_secs(host.config.limits.stop_grace_s);
    let mut containers = labelled(host.runtime.as_ref(), of).await?;
    containers.retain(|container| container.id == id);
    end(host.runtime.as_ref(), &containers, grace).await
}

/// The same to all instances at once.
pub(crate) async fn stop(
    runtime: &dyn Runtime,
    id: &DeploymentId,
    grace: Duration,
) -> Result<(), Failure> {
    end(runtime, &labelled(runtime, id).await?, grace).await
}

async fn end(
    runtime: &dyn Runtime,
    containers: &[Container],
    grace: Duration,
) -> Result<(), Failure> {
    let until = Instant::now() + grace;
    let runs = |one: &&Container| matches!(one.status, TaskStatus::Running { .. });
    for container in containers.iter().filter(runs) {
        let signal = names::labelled_stop_signal(&container.labels).unwrap_or(SIGTERM);
        if let Err(error) = runtime.kill(&container.id, signal, false).await {
            tracing::debug!(%error, container = container.id, signal, "a signal was not delivered");
        }
    }
    for container in containers.iter().filter(runs) {
        if tokio::time::timeout_at(until, runtime.wait(&container.id)).await.is_err() {
            runtime
                .kill(&container.id, SIGKILL, true)
                .await
                .map_err(|e| e.failure("a container could not be stopped"))?;
        }
    }
    Ok(())
}

/// The containers of a deployment.
async fn labelled(runtime: &dyn Runtime, id: &DeploymentId) -> Result<Vec<Container>, Failure> {
    let found = runtime.list(&names::deployment_labels(id)).await;
    found.map_err(|e| e.failure("the containers could not be listed"))
}

/// Deletes every container that is labelled with the deployment, also those of a half-made start.
pub(crate) async fn delete_instances(host: &Host, id: &DeploymentId) -> Result<(), Failure> {
    let runtime = host.runtime.as_ref();
    for container in labelled(runtime, id).await? {
        runtime
            .delete(&container.id)
            .await
            .map_err(|e| e.failure("a container could not be deleted"))?;
        failpoint::reached("within-undo:start");
    }
    Ok(())
}
