//! One run of a schedule, from its begin to its end.
//!
//! **Invariant: stored as running, made, waited for, its end stored, removed, in this order.** Whatever a crash cuts
//! off, the next start finds out how far it came ([`super::recover`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use windlass_containers::ContainerSpec;
use windlass_containers::runtime::{Exit, TaskStatus};
use windlass_model::cron::Schedule;
use windlass_model::event::Event;
use windlass_model::schedule::{CronHistory, CronRun, RunStatus};
use windlass_model::{Deployment, DeploymentId, Failure, Timestamp};

use super::{Claim, Place, change, suspension};
use crate::commands;
use crate::failpoint;
use crate::host::Host;
use crate::pipeline::names;
use crate::sessions::start;
use crate::supervise;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
/// After SIGKILL a process is gone, unless the kernel keeps it.
pub(super) const KILLED_WITHIN: Duration = Duration::from_secs(30);
/// Between two tries of what must succeed in the end.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Tries to remove a container; what is left then goes at the next start.
const REMOVALS: u32 = 10;

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// By itself, or whoever ended it from outside.
    Exited(Exit),
    /// It took longer than it may.
    TimedOut,
    /// It was asked to end.
    Asked,
    /// Its container is gone.
    Lost,
}

/// Does what a history asks for: ends the run that is asked to end, begins the one that waits if it may.
pub(super) fn proceed(
    host: &Arc<Host>,
    deployment: &Deployment,
    schedule: &Schedule,
    history: &CronHistory,
) {
    if let Some(running) = history.running() {
        if running.ending
            && let Some(container) = container_of(&history.schedule, running)
        {
            host.cron.end_of(&container).cancel();
        }
        return;
    }
    if history.waiting().is_none() {
        return;
    }
    // Without a free place it waits: the end of any run wakes who asks here.
    let Ok(permit) = Arc::clone(&host.cron.places).try_acquire_owned() else { return };
    let place = (deployment.project.clone(), deployment.environment.clone());
    // Who begins it already may be waiting for the lock of the instances.
    let Some(claim) = Claim::of(host, &place, &schedule.name) else { return };
    let (host, deployment, schedule) = (host.clone(), deployment.clone(), schedule.clone());
    tokio::spawn(async move {
        match begin(&host, &deployment, &schedule).await {
            Ok(Some(run)) => watch(host, place, schedule.name, run, claim, Some(permit)).await,
            Ok(None) => give_up(&host, claim, permit),
            Err(failure) => {
                tracing::error!(%failure, schedule = schedule.name, "a run could not be begun");
                tokio::time::sleep(AGAIN_AFTER).await;
                give_up(&host, claim, permit);
            }
        }
    });
}

/// Another run can be begun, of this schedule or of others.
fn give_up(host: &Host, claim: Claim, permit: OwnedSemaphorePermit) {
    drop((claim, permit));
    host.cron.wake.notify_one();
}

/// Watches the run of a schedule that is stored as running, unless somebody does.
///
/// # Errors
/// The store's.
pub(super) fn adopt(host: &Arc<Host>, place: &Place, schedule: &str) -> Result<(), Failure> {
    let Some(claim) = Claim::of(host, place, schedule) else { return Ok(()) };
    // Read under the claim: who had it before may just have stored the end.
    let found = host.store.cron_history(&place.0, &place.1, schedule);
    let found = found.map_err(|e| e.to_failure())?;
    let Some(run) = found.and_then(|found| found.value.running().cloned()) else { return Ok(()) };
    let permit = Arc::clone(&host.cron.places).try_acquire_owned().ok();
    tokio::spawn(watch(host.clone(), place.clone(), schedule.to_owned(), run, claim, permit));
    Ok(())
}

/// Begins the run that waits, and returns it to be watched; `None` where it is not to run any more, another one was
/// begun, or it could not be started.
async fn begin(
    host: &Arc<Host>,
    deployment: &Deployment,
    schedule: &Schedule,
) -> Result<Option<CronRun>, Failure> {
    let place = (deployment.project.clone(), deployment.environment.clone());
    let lock = host.environment_lock(deployment, "instances").await;
    if !is_still_live(host, deployment)? {
        return Ok(None);
    }
    let timeout_ms = timeout_ms(host, Some(schedule));
    let of = (deployment.id.clone(), deployment.number);
    let begun = change(host, &place, &schedule.name, |history| {
        Ok(history.begin(of.clone(), timeout_ms, Timestamp::now()))
    });
    let Some(run) = begun.await? else { return Ok(None) };
    failpoint::reached("recorded:cron");
    let made = make(host, deployment, schedule, &run).await;
    drop(lock);
    failpoint::reached("during:cron");
    let Err(failure) = made else { return Ok(Some(run)) };
    settle(host, &place, &schedule.name, &run, RunStatus::Failed, None, Some(failure)).await;
    remove(host, &schedule.name, &run).await;
    Ok(None)
}

/// How long a run of a schedule may take, in milliseconds; the host's limit where the schedule is not known.
pub(super) fn timeout_ms(host: &Host, schedule: Option<&Schedule>) -> u64 {
    let limit_ms = host.config.limits.cron.run_s.saturating_mul(1000);
    match schedule.map_or(0, |schedule| u64::from(schedule.timeout_ms)) {
        0 => limit_ms,
        own => own.min(limit_ms),
    }
}

/// Whether the version is still the one that is live, and nothing keeps its schedules from running.
fn is_still_live(host: &Host, deployment: &Deployment) -> Result<bool, Failure> {
    let running = host.running(&deployment.project, &deployment.environment)?;
    let Some((running, _)) = running.filter(|(it, _)| it.deployment == deployment.id) else {
        return Ok(false);
    };
    let now = host.deployment(&deployment.id)?;
    Ok(now.is_some_and(|(now, _)| suspension(&running, &now).is_none()))
}

/// Makes the container and starts it, once. Where no answer comes it may run or not.
pub(super) async fn make(
    host: &Arc<Host>,
    deployment: &Deployment,
    schedule: &Schedule,
    run: &CronRun,
) -> Result<(), Failure> {
    let not_started = |why: String| {
        Failure::app(
            "cron.not-started",
            format!("{} could not be started", called(&schedule.name, run)),
            why,
            "name a program that the image has, and a process that has an image",
        )
    };
    let spec = spec(host, deployment, schedule, run).map_err(|failure| {
        if failure.code == "session.no-image" { not_started(failure.why) } else { failure }
    })?;
    commands::start(host, &spec).await.map_err(|error| not_started(error.to_string()))
}

fn spec(
    host: &Arc<Host>,
    deployment: &Deployment,
    schedule: &Schedule,
    run: &CronRun,
) -> Result<ContainerSpec, Failure> {
    let of = supervise::run_of(host, deployment.clone())?;
    let id = names::cron(&deployment.id, &schedule.name, run.number);
    let log = run.log.clone().unwrap_or_default();
    let process = schedule.process.as_deref();
    let mut spec = start::beside(&of, process, id, &log, &schedule.argv)?;
    spec.labels = names::cron_labels(deployment, &schedule.name, run.number);
    // Signals reach the command although it is no first process that handles them.
    spec.init = true;
    Ok(spec)
}

/// Waits for the end of a run, stores it, and removes the container.
async fn watch(
    host: Arc<Host>,
    place: Place,
    schedule: String,
    run: CronRun,
    claim: Claim,
    permit: Option<OwnedSemaphorePermit>,
) {
    let Some(container) = container_of(&schedule, &run) else { return };
    let asked_to_end = host.cron.end_of(&container);
    if run.ending {
        asked_to_end.cancel();
    }
    let (end, exit) = until_its_end(&host, &container, &run, &asked_to_end).await;
    let (status, failure) = judge(&schedule, &run, end);
    settle(&host, &place, &schedule, &run, status, exit, failure).await;
    failpoint::reached("exited:cron");
    drop(claim);
    host.cron.wake.notify_one();
    remove(&host, &schedule, &run).await;
    host.cron.forget(&container);
    drop(permit);
    host.cron.wake.notify_one();
}

async fn until_its_end(
    host: &Host,
    container: &str,
    run: &CronRun,
    asked_to_end: &CancellationToken,
) -> (End, Option<Exit>) {
    let spent = run.started_at.map(|at| Timestamp::now().duration_since(at));
    let spent = spent.and_then(|it| Duration::try_from(it).ok()).unwrap_or_default();
    let left = Duration::from_millis(run.timeout_ms).saturating_sub(spent);
    let end = tokio::select! {
        exit = commands::exit(host, container) => exit.map_or(End::Lost, End::Exited),
        () = tokio::time::sleep(left) => End::TimedOut,
        () = asked_to_end.cancelled() => End::Asked,
    };
    match end {
        End::Exited(exit) => return (end, Some(exit)),
        End::Lost => return (end, None),
        End::TimedOut | End::Asked => {}
    }
    // Its time may have run out, or it may have been asked, while the host was down.
    match host.runtime.status(container).await {
        Ok(Some(TaskStatus::Exited(exit))) if end == End::TimedOut && in_time(run, exit) => {
            (End::Exited(exit), Some(exit))
        }
        Ok(None | Some(TaskStatus::Missing | TaskStatus::Created)) => (End::Lost, None),
        _ => (end, stop(host, container).await),
    }
}

/// Whether a run ended before its time had run out.
fn in_time(run: &CronRun, exit: Exit) -> bool {
    let limit = Duration::from_millis(run.timeout_ms);
    let until = run.started_at.and_then(|at| at.checked_add(limit).ok());
    until.is_none_or(|until| exit.at <= until)
}

/// SIGTERM, and SIGKILL to all of it when it is still there after the grace.
async fn stop(host: &Host, container: &str) -> Option<Exit> {
    let grace = Duration::from_secs(host.config.limits.stop_grace_s);
    if let Err(error) = host.runtime.kill(container, SIGTERM, false).await {
        tracing::debug!(%error, container, "SIGTERM was not delivered");
    }
    if let Ok(exit) = tokio::time::timeout(grace, host.runtime.wait(container)).await {
        return exit.ok();
    }
    if let Err(error) = host.runtime.kill(container, SIGKILL, true).await {
        tracing::warn!(%error, container, "a run could not be killed");
    }
    match tokio::time::timeout(KILLED_WITHIN, host.runtime.wait(container)).await {
        Ok(exit) => exit.ok(),
        Err(_) => {
            tracing::error!(container, "a run was killed and is still there");
            None
        }
    }
}

/// What became of a run, by how it ended.
fn judge(schedule: &str, run: &CronRun, end: End) -> (RunStatus, Option<Failure>) {
    let called = called(schedule, run);
    match end {
        End::Exited(Exit { code: 0, oom: false, .. }) => (RunStatus::Succeeded, None),
        End::Exited(Exit { oom: true, .. }) => {
            let failure = Failure::app(
                "cron.out-of-memory",
                format!("{called} was killed"),
                "it used more memory than an instance may have",
                "raise `run.memory` in windlass.toml and deploy, or make the command use less",
            );
            (RunStatus::Failed, Some(failure))
        }
        End::Exited(Exit { code, .. }) => {
            let failure = Failure::app(
                "cron.failed",
                format!("{called} failed"),
                format!("its command ended with status {code}"),
                format!("read what it wrote: windlass cron logs {schedule} {}", run.number),
            );
            (RunStatus::Failed, Some(failure))
        }
        End::TimedOut => {
            let failure = Failure::app(
                "cron.timed-out",
                format!("{called} was ended"),
                format!("it went on for longer than {} s", run.timeout_ms / 1000),
                "find out what it waits for, or set a longer `timeout` for it; `cron.run_s` in the limits \
                 file is the longest",
            );
            (RunStatus::TimedOut, Some(failure))
        }
        End::Asked => (RunStatus::Ended, None),
        End::Lost => (RunStatus::Lost, Some(lost(schedule, run))),
    }
}

/// Nobody knows how a run ended.
pub(super) fn lost(schedule: &str, run: &CronRun) -> Failure {
    Failure::host(
        "cron.lost",
        format!("it is not known how {} ended", called(schedule, run)),
        "the host or the machine went down while it was started or ran, and its container is gone",
        "look at what it did; `windlass cron run` runs it again, which does not happen by itself",
    )
}

/// Nobody knows how a run ended: another one of this number goes on, which was begun since.
pub(super) fn lost_before(schedule: &str, run: &CronRun, number: u64) -> Failure {
    let why = format!(
        "the state is older than its end: by now run #{number} goes on, which was begun after the state was saved"
    );
    Failure { why, ..lost(schedule, run) }
}

fn called(schedule: &str, run: &CronRun) -> String {
    format!("run #{} of the schedule {schedule}", run.number)
}

/// Stores the end of a run, in the end, and tells of a failed one.
async fn settle(
    host: &Host,
    place: &Place,
    schedule: &str,
    run: &CronRun,
    status: RunStatus,
    exit: Option<Exit>,
    failure: Option<Failure>,
) {
    let stored = loop {
        let stored = change(host, place, schedule, |history| {
            if history.run(run.number).is_none() {
                return Ok(None);
            }
            if let Some(exit) = exit {
                history.exited(run.number, exit.code);
            }
            let at = exit.map_or_else(Timestamp::now, |exit| exit.at);
            history.end(run.number, status, failure.clone(), at, "");
            Ok(history.run(run.number).cloned())
        });
        match stored.await {
            Ok(stored) => break stored,
            Err(failure) => {
                tracing::error!(%failure, schedule, "the end of a run could not be stored yet");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    };
    if let (Some(run), Some(deployment)) = (stored, &run.deployment)
        && status.is_failure()
        && let Ok(Some((deployment, _))) = host.deployment(deployment)
    {
        tell(host, &deployment, schedule, &run);
    }
}

/// Tells that a run failed, was lost or was missed.
pub(super) fn tell(host: &Host, deployment: &Deployment, schedule: &str, run: &CronRun) {
    let why = run.failure.as_ref().map_or(run.summary.as_str(), |failure| failure.why.as_str());
    let message = format!("{}: {why}", called(schedule, run));
    host.observe.events.record(Event {
        project: Some(deployment.project.clone()),
        environment: Some(deployment.environment.clone()),
        deployment: Some(deployment.id.clone()),
        number: Some(deployment.number),
        actor: run.actor.clone(),
        ..Event::now(format!("cron.{}", run.status), message)
    });
}

/// Removes the container; what cannot be removed goes at the next start.
async fn remove(host: &Host, schedule: &str, run: &CronRun) {
    let Some(container) = container_of(schedule, run) else { return };
    for _ in 0..REMOVALS {
        match host.runtime.delete(&container).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, container, "a run's container stays for now"),
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// The container of a run that was begun.
pub(super) fn container_of(schedule: &str, run: &CronRun) -> Option<String> {
    let deployment: &DeploymentId = run.deployment.as_ref()?;
    Some(names::cron(deployment, schedule, run.number))
}

/// Removes the logs of runs that nothing tells of any more.
pub(super) async fn forget_logs(host: &Host, runs: &[CronRun]) {
    let log =
        |run: &CronRun| Some(host.logs.instance_dir(run.deployment.as_ref()?, run.log.as_ref()?));
    let dirs: Vec<PathBuf> = runs.iter().filter_map(log).collect();
    if dirs.is_empty() {
        return;
    }
    let removed = tokio::task::spawn_blocking(move || dirs.iter().for_each(|dir| remove_log(dir)));
    if let Err(error) = removed.await {
        tracing::warn!(%error, "the logs of forgotten runs stay until the next start");
    }
}

/// Removes the log of a run. Blocks.
pub(super) fn remove_log(dir: &Path) {
    if let Err(error) = std::fs::remove_dir_all(dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, log = %dir.display(), "the log of a forgotten run stays");
    }
}
