//! Logs and changes of a deployment: past ones as JSON, coming ones as server-sent events.
//!
//! A stream is fed by a task of its own that ends when the client is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use windlass_containers::logs as instance_logs;
use windlass_model::api::LogEntry;
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, Failure, ProjectName, StepName};
use windlass_store::DeploymentEvent;

use super::App;
use super::extract::{Args, Names};
use super::problem::{Answer, Problem};
use super::table::LogEntries;
use crate::control::{deployments, find};
use crate::host::Host;

/// How often the log of a running step is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// Events that wait for a slow client.
const BUFFERED: usize = 256;
/// How long the last lines of ended instances may take.
const LAST_LINES: Duration = Duration::from_secs(3);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogArgs {
    project: Option<ProjectName>,
    step: Option<StepName>,
    instance: Option<String>,
    tail: Option<usize>,
    #[serde(default)]
    follow: bool,
}

pub(super) async fn logs(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<LogArgs>,
) -> Answer<Response> {
    let deployment = find::deployment(&app.host, &text, args.project.as_ref())?;
    let which = Which { step: args.step, instance: args.instance };
    which.check()?;
    let tail = args.tail.unwrap_or(usize::MAX);
    if args.follow {
        let (host, id) = (app.host.clone(), deployment.id);
        return Ok(stream(|to| Follower::new(host, id, which, tail, to).run()));
    }
    let past = tokio::task::spawn_blocking(move || past(&app.host, &deployment.id, &which, tail));
    let items = past.await.unwrap_or_default();
    Ok(Json(LogEntries { items }).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchArgs {
    project: Option<ProjectName>,
}

pub(super) async fn watch(
    State(app): State<App>,
    Names(text): Names<String>,
    Args(args): Args<WatchArgs>,
) -> Answer<Response> {
    let id = find::deployment(&app.host, &text, args.project.as_ref())?.id;
    Ok(stream(|to| send_changes(app.host, id, to)))
}

/// Answers with the events that a task sends.
fn stream<F>(feed: impl FnOnce(mpsc::Sender<Event>) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (to, from) = mpsc::channel(BUFFERED);
    tokio::spawn(feed(to));
    let events = ReceiverStream::new(from).map(Ok::<_, std::convert::Infallible>);
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

fn event<T: Serialize>(name: &str, data: &T) -> Event {
    let event = Event::default().event(name);
    event.json_data(data).unwrap_or_else(|_| Event::default().event("error").data("{}"))
}

fn end() -> Event {
    Event::default().event("end").data("{}")
}

/// Sends the deployment at once and at each change, until it is settled or nobody listens.
async fn send_changes(host: Arc<Host>, id: DeploymentId, to: mpsc::Sender<Event>) {
    // Subscribed first: a change between reading and subscribing is not missed.
    let mut changes = host.store.watch_deployments();
    while let Ok(Some(found)) = host.store.find_deployment(&id) {
        let is_over = found.value.status.is_over();
        let Ok(view) = deployments::show(&host, found.value).await else { break };
        if to.send(event("deployment", &view)).await.is_err() {
            return;
        }
        if is_over {
            break;
        }
        let changed = async {
            while let Some(event) = changes.next().await {
                if event == DeploymentEvent::Missed || event == DeploymentEvent::Changed(id.clone())
                {
                    return true;
                }
            }
            false
        };
        tokio::select! {
            more = changed => if !more { break },
            () = to.closed() => return,
        }
    }
    // The client may be gone by now.
    let _ = to.send(end()).await;
}

/// Which logs of a deployment are wanted; all when neither is said.
#[derive(Debug, Clone)]
struct Which {
    step: Option<StepName>,
    instance: Option<String>,
}

impl Which {
    /// An instance's name is a folder's name, and no path.
    fn check(&self) -> Result<(), Problem> {
        let Some(instance) = &self.instance else { return Ok(()) };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !instance.is_empty() && instance.chars().all(fits) && !instance.starts_with('.') {
            return Ok(());
        }
        Err(Problem(Failure::app(
            "request.invalid-query",
            format!("{instance:?} is not the name of an instance"),
            "an instance is named by its process and its number",
            "use the names that the logs show, for instance web.0",
        )))
    }

    fn steps(&self) -> Vec<StepName> {
        match (self.step, &self.instance) {
            (Some(step), _) => vec![step],
            (None, Some(_)) => Vec::new(),
            (None, None) => StepName::ALL.to_vec(),
        }
    }

    fn instances(&self, host: &Host, id: &DeploymentId) -> Vec<String> {
        if self.step.is_some() {
            return Vec::new();
        }
        if let Some(instance) = &self.instance {
            return vec![instance.clone()];
        }
        let dir = host.logs.deployment_dir(id).join("instances");
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

/// All lines that are wanted, by time.
fn past(host: &Host, id: &DeploymentId, which: &Which, tail: usize) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    for step in which.steps() {
        let lines = host.logs.read_from(id, step, 0).map(|(lines, _)| lines).unwrap_or_default();
        entries.extend(lines.into_iter().map(|line| LogEntry {
            step: Some(step),
            instance: None,
            line,
        }));
    }
    for name in which.instances(host, id) {
        let lines = instance_logs::read(&host.logs.instance_dir(id, &name));
        let named = |line| LogEntry { step: None, instance: Some(name.clone()), line };
        entries.extend(lines.into_iter().map(named));
    }
    entries.sort_by_key(|entry| entry.line.at);
    entries.split_off(entries.len().saturating_sub(tail))
}

/// Follows the logs of one deployment for one client.
struct Follower {
    host: Arc<Host>,
    id: DeploymentId,
    which: Which,
    to: mpsc::Sender<Event>,
    /// Where the log of each wanted step was read to.
    offsets: Vec<(StepName, u64)>,
    instances: BTreeSet<String>,
    readers: JoinSet<()>,
    tail: usize,
}

impl Follower {
    fn new(
        host: Arc<Host>,
        id: DeploymentId,
        which: Which,
        tail: usize,
        to: mpsc::Sender<Event>,
    ) -> Self {
        let offsets = which.steps().into_iter().map(|step| (step, 0)).collect();
        let (instances, readers) = (BTreeSet::new(), JoinSet::new());
        Self { host, id, which, to, offsets, instances, readers, tail }
    }

    async fn run(mut self) {
        let mut is_first = true;
        // Read before the logs: what was written before the end is sent before the end.
        while let Some(deployment) = self.deployment() {
            if self.send_steps(is_first).await.is_err() {
                return;
            }
            self.follow_instances();
            is_first = false;
            if self.is_over(&deployment) {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.to.closed() => return,
            }
        }
        let rest = async { while self.readers.join_next().await.is_some() {} };
        // An instance that was killed may never say that its log has ended.
        let _ = tokio::time::timeout(LAST_LINES, rest).await;
        let _ = self.to.send(end()).await;
    }

    fn deployment(&self) -> Option<Deployment> {
        self.host.store.find_deployment(&self.id).ok().flatten().map(|found| found.value)
    }

    /// The log of a step ends with the deployment's work, that of an instance with its service.
    fn is_over(&self, deployment: &Deployment) -> bool {
        let serves =
            matches!(deployment.status, DeploymentStatus::Live | DeploymentStatus::Draining);
        if self.which.step.is_some() {
            return deployment.status.is_over() || serves;
        }
        deployment.status.is_over() && !serves
    }

    /// Sends what the steps have written since; at first only the last `tail` lines.
    async fn send_steps(&mut self, is_first: bool) -> Result<(), Gone> {
        let (host, id, mut offsets) = (self.host.clone(), self.id.clone(), self.offsets.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut entries = Vec::new();
            for (step, offset) in &mut offsets {
                let Ok((lines, end)) = host.logs.read_from(&id, *step, *offset) else { continue };
                *offset = end;
                let named = |line| LogEntry { step: Some(*step), instance: None, line };
                entries.extend(lines.into_iter().map(named));
            }
            (entries, offsets)
        });
        let Ok((mut entries, offsets)) = read.await else { return Ok(()) };
        self.offsets = offsets;
        if is_first {
            entries = entries.split_off(entries.len().saturating_sub(self.tail));
        }
        for entry in entries {
            self.to.send(event("log", &entry)).await.map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// Begins to read every instance that is new.
    fn follow_instances(&mut self) {
        for name in self.which.instances(&self.host, &self.id) {
            let dir = self.host.logs.instance_dir(&self.id, &name);
            if !dir.exists() || !self.instances.insert(name.clone()) {
                continue;
            }
            let (to, tail) = (self.to.clone(), self.tail);
            self.readers.spawn(async move {
                let mut lines = std::pin::pin!(instance_logs::follow_tail(&dir, tail));
                while let Some(line) = lines.next().await {
                    let entry = LogEntry { step: None, instance: Some(name.clone()), line };
                    if to.send(event("log", &entry)).await.is_err() {
                        return;
                    }
                }
            });
        }
    }
}

/// The client has hung up.
struct Gone;
