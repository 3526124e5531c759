//! What `stop`, `start`, `restart`, `scale` and `maintenance` share: asking, waiting until it is done, and
//! showing what runs.

use std::time::{Duration, Instant};

use windlass_model::running::{InstanceState, RunState, RunningView};

use super::environment_path;
use crate::client::Client;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{ago, failure, harmless, table};
use crate::session::Session;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Whether to wait.
#[derive(Debug, clap::Args)]
pub(super) struct Until {
    /// Do not wait: end when the host has accepted it.
    #[arg(long)]
    no_wait: bool,
    /// Wait at most so many seconds; it goes on there all the same.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait_s: u64,
}

impl Until {
    /// Waits until `done`, shows what runs, and gives the exit code.
    pub(super) fn finish(
        &self,
        session: &mut Session<'_, '_>,
        client: &Client,
        accepted: RunningView,
        says: &str,
        done: impl Fn(&RunningView) -> bool,
    ) -> CliResult<Exit> {
        let mut view = accepted;
        if self.no_wait {
            show(session, &view, "accepted");
            return Ok(Exit::Ok);
        }
        let path = environment_path(session, &["running"])?;
        let until = Instant::now() + Duration::from_secs(self.wait_s);
        while !done(&view) {
            if Instant::now() > until {
                return Err(too_long(self.wait_s));
            }
            std::thread::sleep(LOOK_EVERY);
            view = client.get(&path)?;
        }
        if let Some(problem) = &view.failure {
            let text = failure::block(problem, session.console.color());
            if session.json() {
                session.print_json(&view);
            } else {
                session.console.err(&text);
            }
            return Ok(Exit::Failed);
        }
        show(session, &view, says);
        Ok(Exit::Ok)
    }
}

fn too_long(wait_s: u64) -> Box<CliError> {
    CliError::new(
        Exit::Failed,
        "cli.waited-too-long",
        format!("it is not done after {wait_s} s"),
        "requests in flight are finished first, and a new instance must be healthy",
        "it goes on there: see `windlass status`, or give --wait-s",
    )
}

/// Nothing that was asked for is left to be done.
pub(super) fn settled(view: &RunningView) -> bool {
    view.asked.is_none()
}

/// Every process has as many instances as are wanted; one that ends again and again is not waited for.
pub(super) fn complete(view: &RunningView) -> bool {
    let open = |state| matches!(state, InstanceState::Starting | InstanceState::Leaving);
    let enough = view.processes.iter().all(|process| {
        let own = view.instances.iter().filter(|one| one.instance.process == process.name);
        own.count() == process.replicas as usize
    });
    view.state == RunState::Stopped || (enough && !view.instances.iter().any(|one| open(one.state)))
}

fn show(session: &mut Session<'_, '_>, view: &RunningView, says: &str) {
    if session.json() {
        session.print_json(view);
        return;
    }
    let (environment, number) = (session.environment(), view.number);
    let project = session.project().map(|project| project.to_string()).unwrap_or_default();
    session.console.line(&format!("{project}/{environment} #{number} is {says}"));
    let text = instances(view);
    if !text.is_empty() {
        session.console.out(&text);
    }
}

/// The instances as a table, with how many are wanted.
pub(crate) fn instances(view: &RunningView) -> String {
    let mut text = String::new();
    for process in &view.processes {
        let scaled = process.scaled.as_ref();
        let by = scaled.map(|scale| format!(", scaled by {}", harmless(&scale.actor)));
        let by = by.unwrap_or_default();
        text +=
            &format!("  {}: {} of {} run{by}\n", process.name, process.running, process.replicas);
    }
    if let Some(maintenance) = &view.maintenance {
        let message = harmless(&maintenance.message);
        text += &format!("  maintenance: {message}; `windlass maintenance off` ends it\n");
    }
    if view.instances.is_empty() {
        return text;
    }
    let now = jiff::Timestamp::now();
    let rows: Vec<Vec<String>> = view
        .instances
        .iter()
        .map(|one| {
            let port = one.instance.port.map(|port| format!(":{port}")).unwrap_or_default();
            let code = one.last_exit.as_ref().map(|exit| {
                let why = if exit.oom { "out of memory" } else { "status" };
                format!("{why} {}, {}", exit.code, ago(exit.at, now))
            });
            vec![
                one.name(),
                one.state.as_str().to_owned(),
                format!("{}{port}", one.instance.address),
                one.instance.pid.to_string(),
                one.restarts.to_string(),
                code.unwrap_or_else(|| "–".to_owned()),
                ago(one.instance.started_at, now),
            ]
        })
        .collect();
    let head = ["instance", "state", "address", "pid", "restarts", "last exit", "started"];
    text + &table(&head, &rows)
}
