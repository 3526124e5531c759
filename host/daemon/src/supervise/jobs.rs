//! The jobs of a keeper, one instance each: to watch it, to start it, to take it away.
//!
//! **Invariant: a job never writes the record.** It tells its keeper how it ended.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_containers::RuntimeError;
use windlass_containers::runtime::TaskStatus;
use windlass_model::deployment::Instance;
use windlass_model::running::{InstanceState, LastExit, LiveInstance};
use windlass_model::{Deployment, DeploymentStatus, Failure};

use super::exits::End;
use super::liveness;
use crate::host::Host;
use crate::pipeline::{self, Run, names, retire};
use crate::{failpoint, routes};

/// Between two tries of what must succeed in the end.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How a job ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was told to.
    Cancelled,
    /// The instance ended, or does not answer any more.
    Ended(End),
    /// Its container's task is gone: the machine was started anew, or containerd lost it.
    Lost,
    /// The pause is over.
    Rested,
    /// It was started: the instance as it runs now, and how it was found.
    Started(Option<Instance>, Result<(), End>),
    /// It is gone.
    Left,
    /// What a person asked for was done, or given up.
    Done,
}

/// The work of a step outside of a deployment's run, on a copy of its record.
pub(crate) fn run_of(host: &Arc<Host>, deployment: Deployment) -> Result<Run, Failure> {
    // Started anew with the present variables, unless the old ones were asked for.
    let variables = match &deployment.kind {
        windlass_model::deployment::Kind::Rollback { with_its_env: true, .. } => {
            host.variables_of(&deployment)?
        }
        _ => host.variables(&deployment.project, &deployment.environment)?,
    };
    Run::beside(host, deployment, variables)
}

/// Waits until a running instance ends, or does not answer any more.
pub(super) async fn watch(
    host: Arc<Host>,
    deployment: Deployment,
    instance: Instance,
    cancel: CancellationToken,
) -> Outcome {
    tokio::select! {
        () = cancel.cancelled() => Outcome::Cancelled,
        outcome = exit(&host, &instance.id) => outcome,
        failure = liveness::lost(&host, &deployment, &instance) => {
            Outcome::Ended(End::Unwell(failure))
        }
    }
}

async fn exit(host: &Host, id: &str) -> Outcome {
    loop {
        match host.runtime.wait(id).await {
            Ok(exit) => {
                let exit = LastExit { code: exit.code, oom: exit.oom, at: exit.at };
                return Outcome::Ended(End::Exited(exit));
            }
            // A containerd that is just being started may not know its tasks yet.
            Err(RuntimeError::NotFound { .. }) if !is_there(host, id).await => {
                return Outcome::Lost;
            }
            Err(RuntimeError::NotFound { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, container = id, "an instance cannot be watched");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

/// Whether the container runs after all, asked again after a while.
async fn is_there(host: &Host, id: &str) -> bool {
    tokio::time::sleep(AGAIN_AFTER).await;
    match host.runtime.status(id).await {
        Ok(status) => matches!(status, Some(TaskStatus::Running { .. } | TaskStatus::Exited(_))),
        Err(_) => true,
    }
}

/// Waits for the end of a pause.
pub(super) async fn rest(pause: Duration, cancel: CancellationToken) -> Outcome {
    tokio::select! {
        () = cancel.cancelled() => Outcome::Cancelled,
        () = tokio::time::sleep(pause) => Outcome::Rested,
    }
}

/// Starts an instance, in place of what is left of it, and checks it as a deployment's step does, with the probes of
/// its process: instances of the others come and go meanwhile, and are no business of its.
pub(super) async fn start(
    host: Arc<Host>,
    deployment: Deployment,
    one: LiveInstance,
    cancel: CancellationToken,
) -> Outcome {
    // A task of its own: what the runtime was asked for is not cut off half way.
    let (at, of) = (host.clone(), deployment.clone());
    let created = tokio::spawn(async move { create(&at, &of, &one).await }).await;
    let created = created.unwrap_or_else(|panic| Err(defect(&panic)));
    let instance = match created {
        Ok(Some(instance)) => instance,
        Ok(None) => return Outcome::Cancelled,
        Err(failure) => return Outcome::Started(None, Err(End::Unwell(failure))),
    };
    failpoint::reached("during:supervise");
    let checked = tokio::select! {
        () = cancel.cancelled() => return Outcome::Cancelled,
        checked = check(&host, &deployment, &instance) => checked,
    };
    let checked = match checked {
        Ok(()) => Ok(()),
        Err(failure) => Err(end_of(&host, &instance.id, failure).await),
    };
    Outcome::Started(Some(instance), checked)
}

/// A defect of Windlass that ended a start.
pub(super) fn defect(panic: &tokio::task::JoinError) -> Failure {
    Failure::host(
        "internal.panic",
        "starting an instance ended by a defect of Windlass",
        panic.to_string(),
        "it is tried again; if it happens again, report it with the host's log",
    )
}

/// An instance that ended has an exit; one that does not answer has the failure of its check.
async fn end_of(host: &Host, id: &str, failure: Failure) -> End {
    match host.runtime.status(id).await {
        Ok(Some(TaskStatus::Exited(exit))) => {
            End::Exited(LastExit { code: exit.code, oom: exit.oom, at: exit.at })
        }
        _ => End::Unwell(failure),
    }
}

/// Makes the container, unless the record does not want it any more.
async fn create(
    host: &Arc<Host>,
    deployment: &Deployment,
    one: &LiveInstance,
) -> Result<Option<Instance>, Failure> {
    let id = &one.instance.id;
    let status = host.runtime.status(id).await;
    let status = status.map_err(|e| e.failure("the state of a container could not be read"))?;
    // One that runs as another process than the record knows was started just before a crash.
    let adopt = matches!(status, Some(TaskStatus::Running { pid }) if pid != one.instance.pid);
    if !adopt && status.is_some() {
        retire::stop_one(host, &deployment.id, id).await?;
    }
    pipeline::egress::refresh(host, &deployment.project, &deployment.environment).await;
    let _lock = host.environment_lock(deployment, "instances").await;
    if !wants(host, deployment, id)? {
        return Ok(None);
    }
    if !adopt {
        let deleted = host.runtime.delete(id).await;
        deleted.map_err(|e| e.failure("a container could not be deleted"))?;
    }
    let run = run_of(host, deployment.clone())?;
    let artifact = run.artifact()?.clone();
    let process = artifact.processes.iter().find(|p| p.name == one.instance.process);
    let Some(process) = process else { return Ok(None) };
    pipeline::start_instance(&run, &artifact, process, one.instance.ordinal).await.map(Some)
}

/// Whether the record still wants this instance to be started.
fn wants(host: &Host, deployment: &Deployment, id: &str) -> Result<bool, Failure> {
    let running = host.running(&deployment.project, &deployment.environment)?;
    let now = host.deployment(&deployment.id)?;
    let is_live = now.is_some_and(|(now, _)| now.status == DeploymentStatus::Live);
    Ok(is_live
        && running.is_some_and(|(mut running, _)| {
            running.deployment == deployment.id
                && running.stopped.is_none()
                && running.recreating.is_none()
                && running.instance_mut(id).is_some_and(|one| one.state == InstanceState::Starting)
        }))
}

/// The check of a deployment, on one instance; one that nothing probes must run for a while.
async fn check(
    host: &Arc<Host>,
    deployment: &Deployment,
    instance: &Instance,
) -> Result<(), Failure> {
    let own = deployment.outputs.health.as_ref().map(|health| {
        let mut policy = health.policy.clone();
        policy.probes.retain(|probe| probe.process() == instance.process.as_str());
        (health.plugin.clone(), policy)
    });
    let Some((plugin, policy)) = own.filter(|(_, policy)| !policy.probes.is_empty()) else {
        tokio::time::sleep(Duration::from_millis(host.config.limits.settle_ms)).await;
        if host.still_runs(instance).await? {
            return Ok(());
        }
        let name = names::instance_log(&instance.process, instance.ordinal);
        return Err(Failure::app(
            "run.exited",
            format!("{name} ended right after its start"),
            "it did not run for long enough to count as started",
            "`windlass logs` shows why it ended",
        ));
    };
    let mut run = run_of(host, deployment.clone())?;
    let instances = std::slice::from_ref(instance);
    pipeline::check_instances(&mut run, &plugin, &policy, instances, &mut Vec::new()).await
}

/// Takes an instance away: nobody is led to it, what is in flight is finished, then it is stopped and
/// deleted. Goes on until that is done.
pub(super) async fn leave(
    host: Arc<Host>,
    deployment: Deployment,
    id: String,
    cancel: CancellationToken,
) -> Outcome {
    let away = async {
        while let Err(failure) = leave_once(&host, &deployment, &id).await {
            tracing::warn!(%failure, container = id, "an instance could not be taken away yet");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    };
    tokio::select! {
        () = cancel.cancelled() => Outcome::Cancelled,
        () = away => Outcome::Left,
    }
}

async fn leave_once(host: &Arc<Host>, deployment: &Deployment, id: &str) -> Result<(), Failure> {
    let (project, environment) = (&deployment.project, &deployment.environment);
    while routes::publish_unless_taken(host, project, environment).await?.is_none() {
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    let running = host.running(project, environment)?;
    let one = running.and_then(|(mut running, _)| running.instance_mut(id).cloned());
    if let Some(LiveInstance { routed_from: Some(from), routed_until: Some(until), .. }) = one {
        routes::drained(host, &names::route(project, environment), from..=until).await;
    }
    failpoint::reached("during:leave");
    retire::stop_one(host, &deployment.id, id).await?;
    let _lock = host.environment_lock(deployment, "instances").await;
    host.runtime.delete(id).await.map_err(|e| e.failure("a container could not be deleted"))
}
