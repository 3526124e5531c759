//! Containers of commands that end by themselves: one-off commands and runs of schedules.
//!
//! **Invariants.** They are found by labels of their own, because they outlive the version that they were begun in. A
//! command is started once: where no answer comes, it may run, and is not started again.

use std::time::Duration;

use windlass_containers::runtime::{Exit, TaskStatus};
use windlass_containers::{ContainerSpec, Labels, RuntimeError};
use windlass_model::{EnvironmentName, Failure, ProjectName};

use crate::host::Host;
use crate::pipeline::names;

/// Between two tries to learn what became of a command.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Makes the container of a command and starts it, once. Where no answer comes it may run or not: [`exit`] finds out.
///
/// # Errors
/// The container runtime's, when the command does not run.
pub(crate) async fn start(host: &Host, spec: &ContainerSpec) -> Result<(), RuntimeError> {
    match host.runtime.start_once(spec).await {
        Ok(_) => Ok(()),
        Err(error @ RuntimeError::Unavailable { .. }) => {
            tracing::warn!(%error, container = spec.id, "it is not known whether a command was started");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Waits until the process of a command has ended, through restarts of containerd; `None` when its container is gone,
/// or was never started: nobody knows how it ended.
pub(crate) async fn exit(host: &Host, container: &str) -> Option<Exit> {
    loop {
        match host.runtime.status(container).await {
            Ok(Some(TaskStatus::Created)) => {
                // It is being started, or that was cut off before it took effect, and is not made again.
                if is_gone_soon(host, container).await {
                    return None;
                }
                continue;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, container, "the state of a command could not be read");
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            }
        }
        match host.runtime.wait(container).await {
            Ok(exit) => return Some(exit),
            Err(RuntimeError::NotFound { .. }) => {
                // A containerd that is just being started may not know its tasks yet.
                if is_gone_soon(host, container).await {
                    return None;
                }
            }
            Err(error) => {
                tracing::warn!(%error, container, "a command cannot be watched");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

/// Whether a moment later the process of a command is known not to be there: neither runs nor has run.
async fn is_gone_soon(host: &Host, container: &str) -> bool {
    tokio::time::sleep(AGAIN_AFTER).await;
    let status = host.runtime.status(container).await;
    matches!(status, Ok(None | Some(TaskStatus::Created | TaskStatus::Missing)))
}

/// The containers with such labels, each with them.
///
/// # Errors
/// The container runtime's.
pub(crate) async fn find(
    host: &Host,
    wanted: impl Fn(&Labels) -> bool,
) -> Result<Vec<(String, Labels)>, Failure> {
    let all = host.runtime.list(&Labels::new()).await;
    let all = all.map_err(|e| e.failure("the containers could not be listed"))?;
    let found = all.into_iter().filter(|it| wanted(&it.labels));
    Ok(found.map(|it| (it.id, it.labels)).collect())
}

/// Ends a command and removes its container.
///
/// # Errors
/// The container runtime's.
pub(crate) async fn remove(host: &Host, container: &str) -> Result<(), Failure> {
    let deleted = host.runtime.delete(container).await;
    deleted.map_err(|e| e.failure("a container could not be deleted"))
}

/// Ends all commands of an environment, or of a project where none is named, and removes their containers.
///
/// # Errors
/// The container runtime's, the first one, after all were tried.
pub(crate) async fn end_all(
    host: &Host,
    project: &ProjectName,
    environment: Option<&EnvironmentName>,
) -> Result<(), Failure> {
    let is_one = |labels: &Labels| {
        (names::is_run(labels) || names::is_cron(labels))
            && names::is_of(labels, project, environment)
    };
    let mut ended = Ok(());
    for (container, _) in find(host, is_one).await? {
        ended = ended.and(remove(host, &container).await);
    }
    ended
}
