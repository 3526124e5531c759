//! Waiting for a deployment to settle, through lost connections and Ctrl-C.
//!
//! **Invariant: nothing here changes the deployment.** Whatever ends the waiting, it goes on.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use windlass_model::DeploymentId;
use windlass_model::api::DeploymentView;
use windlass_model::deployment::DeploymentStatus;

use crate::client::{self, Client, Events};
use crate::exit::{CliError, CliResult, Exit};
use crate::interrupt::Interrupts;
use crate::progress::Progress;
use crate::session::Session;

const TICK: Duration = Duration::from_millis(100);
const QUIET: Duration = Duration::from_secs(3600);
/// Between two questions for what else is new.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long a host that went away is waited for.
const LOST_MAX: Duration = Duration::from_secs(60);

enum Message {
    View(Box<DeploymentView>),
    Lost,
    Failed(Box<CliError>),
    Interrupted,
}

/// How the waiting ended.
pub(crate) enum Watched {
    /// It settled.
    Settled(Box<DeploymentView>),
    /// Ctrl-C.
    Interrupted,
}

/// Shows a deployment's progress until nothing more happens to it by itself.
pub(crate) fn until_settled(
    session: &mut Session<'_, '_>,
    client: Client,
    first: DeploymentView,
) -> CliResult<Watched> {
    until_settled_with(session, client, first, None)
}

/// Answers lines that are news.
pub(crate) type News<'a> = &'a mut dyn FnMut(&DeploymentView) -> Vec<String>;

/// The same, with further lines between those of the progress.
pub(crate) fn until_settled_with(
    session: &mut Session<'_, '_>,
    client: Client,
    first: DeploymentView,
    mut news: Option<News<'_>>,
) -> CliResult<Watched> {
    let mut asked = Instant::now();
    let mut progress = Progress::for_console(session.console, session.json());
    let (to, from) = mpsc::channel();
    let _interrupts = Interrupts::watch(to.clone(), || Message::Interrupted);
    let id = first.deployment.id.clone();
    let client = Arc::new(client);
    std::thread::spawn(move || follow(&client, &id, &to));

    let mut view = Box::new(first);
    progress.show(session.console, &view);
    while !is_over(view.deployment.status) {
        let pause = match (progress.ticks(), news.is_some()) {
            (true, _) => TICK,
            (false, true) => ASK_EVERY,
            (false, false) => QUIET,
        };
        match from.recv_timeout(pause) {
            Ok(Message::View(news)) => view = news,
            Ok(Message::Lost) => progress.remark(
                session.console,
                "the connection to the host was lost; the deployment goes on there, trying again",
            ),
            Ok(Message::Failed(error)) => return Err(error),
            Ok(Message::Interrupted) => return Ok(Watched::Interrupted),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if asked.elapsed() >= ASK_EVERY || is_over(view.deployment.status) {
            asked = Instant::now();
            let lines = news.as_mut().map(|news| news(&view)).unwrap_or_default();
            lines.iter().for_each(|line| progress.say(session.console, line));
        }
        progress.show(session.console, &view);
    }
    Ok(Watched::Settled(view))
}

const fn is_over(status: DeploymentStatus) -> bool {
    !matches!(
        status,
        DeploymentStatus::Queued | DeploymentStatus::Running | DeploymentStatus::Paused
    )
}

/// Reads the stream of changes, again from the start whenever it breaks.
fn follow(client: &Client, id: &DeploymentId, to: &Sender<Message>) {
    let path = client::path(&["v1", "deployments", id.as_str(), "watch"]);
    let mut lost_at: Option<Instant> = None;
    let mut pause = Duration::from_millis(200);
    loop {
        let trouble = match client.events(&path).map(|events| forward(events, to)) {
            Ok(true) => {
                lost_at = None;
                pause = Duration::from_millis(200);
                None
            }
            Ok(false) => Some(silent()),
            Err(error) => Some(error),
        };
        if let Some(error) = trouble {
            let waited = lost_at.is_some_and(|at| at.elapsed() > LOST_MAX);
            if waited || error.exit != Exit::Unreachable {
                let _ = to.send(Message::Failed(error));
                return;
            }
        }
        if lost_at.is_none() {
            lost_at = Some(Instant::now());
            if to.send(Message::Lost).is_err() {
                return;
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

fn silent() -> Box<CliError> {
    CliError::new(
        Exit::Unreachable,
        "cli.watch-silent",
        "the host says nothing about the deployment any more",
        "its stream of changes ended again and again without one",
        "ask with `windlass show`; the deployment itself goes on",
    )
}

/// Passes changes on; whether there was any. Returns when the stream ends; a receiver that has seen
/// the end is gone by then, and so the next send tells [`follow`] to stop.
fn forward(events: Events, to: &Sender<Message>) -> bool {
    let mut any = false;
    for event in events {
        let Ok(event) = event else { break };
        if event.name != "deployment" {
            continue;
        }
        let Ok(view) = serde_json::from_str::<DeploymentView>(&event.data) else {
            continue;
        };
        any = true;
        if to.send(Message::View(Box::new(view))).is_err() {
            break;
        }
    }
    any
}

/// The exit code that a settled deployment means.
pub(crate) const fn exit_of(status: DeploymentStatus) -> Exit {
    match status {
        DeploymentStatus::Live
        | DeploymentStatus::Draining
        | DeploymentStatus::Retired
        | DeploymentStatus::Built => Exit::Ok,
        _ => Exit::Failed,
    }
}
