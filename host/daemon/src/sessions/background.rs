//! One-off commands that nobody waits for: begun, watched to their end, listed, ended early.
//!
//! **Invariant: the record beside the log says how it ended.** It is written before the container is removed,
//! so that a crash between the two only repeats the removal.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use windlass_containers::runtime::TaskStatus;
use windlass_model::session::{CreateRun, RunView};
use windlass_model::{DeploymentId, EnvironmentName, Failure, ProjectName, Timestamp};

use super::{Asked, RUN_PREFIX, start};
use crate::commands;
use crate::host::Host;
use crate::logs::sources;
use crate::pipeline::names;

#[cfg(test)]
mod tests;

/// The record, in the folder of the log.
const RECORD: &str = "run.json";
/// Deployments whose commands are listed, newest first.
const DEPLOYMENTS_LISTED: usize = 50;
/// SIGKILL.
const KILL: i32 = 9;

/// Begins a command and returns while it runs.
///
/// # Errors
/// As [`start::open`]; `session.too-many`.
pub(crate) async fn begin(
    host: &Arc<Host>,
    asked: &Asked,
    body: CreateRun,
) -> Result<RunView, Failure> {
    if body.argv.is_empty() {
        return Err(Failure::app(
            "session.no-command",
            "there is no command to run",
            "`argv` is empty",
            "name one: windlass run --detach -- COMMAND",
        ));
    }
    let place = host.observe.sessions.enter()?;
    let deployment = start::live(host, asked)?;
    let name = start::fresh_name(host);
    let process = body.process.as_deref();
    let mut spec = start::container(host, &deployment, &name, &body.argv, process)?;
    spec.labels.insert(names::run_label(names::RUN_DETACHED), "true".to_owned());
    host.observe.audit_session(asked, &deployment, &name, &body.argv);
    let view = RunView {
        name: name.clone(),
        number: deployment.number,
        argv: body.argv,
        actor: asked.actor.clone(),
        started_at: Timestamp::now(),
        ended_at: None,
        exit_code: None,
    };
    write(host, &deployment.id, &view)?;
    if let Err(error) = commands::start(host, &spec).await {
        let ended = RunView { ended_at: Some(Timestamp::now()), ..view };
        write(host, &deployment.id, &ended)?;
        return Err(start::not_started(&spec.argv, &error.to_string()));
    }
    tokio::spawn(watch(host.clone(), spec.id, deployment.id, name, Some(place)));
    Ok(view)
}

/// Waits for the end of a command, records it, and removes the container.
async fn watch(
    host: Arc<Host>,
    container: String,
    deployment: DeploymentId,
    name: String,
    place: Option<OwnedSemaphorePermit>,
) {
    let begun = read(&host, &deployment, &name).map(|view| view.started_at);
    let spent = begun.map(|at| Timestamp::now().duration_since(at).unsigned_abs());
    let limit = Duration::from_secs(host.config.limits.session_s);
    let left = limit.saturating_sub(spent.unwrap_or_default());
    let exit = match tokio::time::timeout(left, commands::exit(&host, &container)).await {
        Ok(exit) => exit,
        Err(_) => {
            tracing::warn!(container, "a one-off command is ended: it took too long");
            let _ = host.runtime.kill(&container, KILL, true).await;
            host.runtime.wait(&container).await.ok()
        }
    };
    if let Some(view) = read(&host, &deployment, &name) {
        let (ended_at, exit_code) = (Some(Timestamp::now()), exit.map(|exit| exit.code));
        if let Err(failure) = write(&host, &deployment, &RunView { ended_at, exit_code, ..view }) {
            tracing::warn!(%failure, name, "the end of a one-off command could not be recorded");
        }
    }
    if let Err(error) = host.runtime.delete(&container).await {
        tracing::error!(%error, container, "a one-off command's container could not be removed");
    }
    drop(place);
}

/// After a start: commands that a person worked with are removed, those in the background are watched again. The API
/// serves meanwhile: what was begun since is left alone.
///
/// # Errors
/// The container runtime's.
pub(crate) async fn reconcile(host: &Arc<Host>) -> Result<(), Failure> {
    let found = commands::find(host, names::is_run).await;
    // Noted before it was made: whatever was found and is of this start is among them.
    let begun_since = host.observe.sessions.noted();
    for (container, labels) in found? {
        let name = labels.get(&names::run_label(names::RUN_NAME)).cloned();
        if name.as_ref().is_some_and(|name| begun_since.contains(name)) {
            continue;
        }
        let deployment = labels.get(&names::run_label(names::RUN_OF)).map(|id| id.parse());
        let is_detached = labels.contains_key(&names::run_label(names::RUN_DETACHED));
        match (deployment, name) {
            (Some(Ok(deployment)), Some(name)) if is_detached => {
                let place = host.observe.sessions.enter().ok();
                tokio::spawn(watch(host.clone(), container, deployment, name, place));
            }
            _ => commands::remove(host, &container).await?,
        }
    }
    Ok(())
}

/// The background commands of an environment, newest first, as long as their logs are kept.
///
/// # Errors
/// `environment.not-found`.
pub(crate) fn list(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<Vec<RunView>, Failure> {
    Ok(records(host, project, environment)?.into_values().rev().map(|(_, view)| view).collect())
}

/// Commands by when they were begun and their name.
type Records = BTreeMap<(Timestamp, String), (DeploymentId, RunView)>;

fn records(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<Records, Failure> {
    let mut found = BTreeMap::new();
    for deployment in sources::history(host, project, environment, DEPLOYMENTS_LISTED)? {
        let names = sources::instances(host, &deployment.id);
        for name in names.into_iter().filter(|name| name.starts_with(RUN_PREFIX)) {
            if let Some(view) = read(host, &deployment.id, &name) {
                found.insert((view.started_at, name), (deployment.id.clone(), view));
            }
        }
    }
    Ok(found)
}

/// A background command by its name.
///
/// # Errors
/// `run.not-found`.
pub(crate) fn find(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
    name: &str,
) -> Result<(DeploymentId, RunView), Failure> {
    let found = records(host, project, environment)?.into_values();
    found.into_iter().find(|(_, view)| view.name == name).ok_or_else(|| {
        Failure::app(
            "run.not-found",
            format!("{project}/{environment} has no one-off command {name:?}"),
            "its name is wrong, or its log was pruned with its deployment",
            format!("`windlass run --list --project {project} -e {environment}` shows them"),
        )
    })
}

/// Ends a background command; one that has ended is left alone.
///
/// # Errors
/// `run.not-found`, the container runtime's.
pub(crate) async fn end(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
    name: &str,
) -> Result<(), Failure> {
    let (deployment, _) = find(host, project, environment, name)?;
    let container = format!("{deployment}.{name}");
    let status = host.runtime.status(&container).await;
    let status = status.map_err(|e| e.failure("the state of a container could not be read"))?;
    if matches!(status, Some(TaskStatus::Running { .. })) {
        let killed = host.runtime.kill(&container, KILL, true).await;
        killed.map_err(|e| e.failure("a container could not be stopped"))?;
    }
    Ok(())
}

fn path(host: &Host, deployment: &DeploymentId, name: &str) -> PathBuf {
    host.logs.instance_dir(deployment, name).join(RECORD)
}

fn read(host: &Host, deployment: &DeploymentId, name: &str) -> Option<RunView> {
    serde_json::from_slice(&std::fs::read(path(host, deployment, name)).ok()?).ok()
}

/// Replaces the record as a whole.
fn write(host: &Host, deployment: &DeploymentId, view: &RunView) -> Result<(), Failure> {
    let path = path(host, deployment, &view.name);
    let draft = path.with_extension("new");
    let bytes = serde_json::to_vec(view).unwrap_or_default();
    let dir = host.logs.instance_dir(deployment, &view.name);
    let written = std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&draft, bytes))
        .and_then(|()| std::fs::rename(&draft, &path));
    written.map_err(|e| {
        Failure::host(
            "logs.not-writable",
            "the record of a one-off command could not be written",
            e.to_string(),
            "check the data directory's disk and permissions",
        )
    })
}
