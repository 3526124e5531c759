//! Commands at their times: the schedules of what is live, each run in a container of its own.
//!
//! A schedule belongs to a version: to its settings (`[[cron]]`), or registered by its custom stages. What counts is
//! the version that is live now; after a switch or a rollback that is another one, and what still runs of the one
//! before ends by itself.
//!
//! **Invariants**
//! - A run is stored as running before its container is made, and what is stored so is never begun again: a run
//!   happens at most once. A restarted host waits for a run that goes on, and says so of one that is lost.
//! - Of a schedule at most one run runs and at most one waits ([`windlass_model::schedule`] has the rules).
//! - Nothing is begun in an environment that is stopped, in maintenance or being replaced: that is looked at under
//!   the lock under which instances are made.
//! - A run's record, its log and its container go together: the container as soon as its end is stored, the log
//!   when the record leaves the history.
//!
//! Reading order: this file (when), [`run`] (one run from its begin to its end), [`recover`] (after a start).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use windlass_model::cron::Schedule;
use windlass_model::deployment::ArtifactKind;
use windlass_model::running::{Action, Running};
use windlass_model::schedule::{CronHistory, RunStatus, Suspended};
use windlass_model::{
    Deployment, DeploymentStatus, EnvironmentName, Failure, Limits, ProjectName, Timestamp,
};
use windlass_store::StoreError;

use crate::host::Host;

pub(crate) mod recover;
pub(crate) mod run;
#[cfg(test)]
mod tests;

/// It is looked at least this often: the machine's clock may be set, or stand still while it sleeps.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Changes that come together are looked at once.
const TOGETHER: Duration = Duration::from_millis(100);

/// An environment.
pub(crate) type Place = (ProjectName, EnvironmentName);

/// What the runs of a host share.
pub(crate) struct Cron {
    places: Arc<Semaphore>,
    /// A run was asked for, or ended.
    pub(crate) wake: Notify,
    /// What ends the runs that are waited for, by container.
    ends: Mutex<HashMap<String, CancellationToken>>,
    /// Schedules of which a run is being begun or watched.
    claimed: Mutex<HashSet<(Place, String)>>,
}

impl Cron {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.cron.running_max.max(1))),
            wake: Notify::new(),
            ends: Mutex::default(),
            claimed: Mutex::default(),
        }
    }

    /// What ends the run in this container.
    fn end_of(&self, container: &str) -> CancellationToken {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.entry(container.to_owned()).or_default().clone()
    }

    fn forget(&self, container: &str) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(container);
    }
}

/// The right to begin and to watch the run of a schedule, which one alone has.
struct Claim {
    host: Arc<Host>,
    of: (Place, String),
}

impl Claim {
    /// `None` while somebody else has it.
    fn of(host: &Arc<Host>, place: &Place, schedule: &str) -> Option<Self> {
        let of = (place.clone(), schedule.to_owned());
        let mut claimed = host.cron.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.insert(of.clone()).then(|| Self { host: host.clone(), of })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let claimed = &self.host.cron.claimed;
        claimed.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.of);
    }
}

/// Runs until the host stops.
pub(crate) async fn work(host: Arc<Host>) {
    let mut changes = host.store.watch_running();
    let mut suspended = HashSet::new();
    loop {
        let next = match turn(&host, &mut suspended).await {
            Ok(next) => next,
            Err(failure) => {
                tracing::error!(%failure, "the schedules could not be looked at");
                None
            }
        };
        let until = next.map(|next| next.duration_since(Timestamp::now()));
        // Never before the moment itself, which has no fraction of a second.
        let until = until.map(|it| Duration::try_from(it).unwrap_or_default());
        tokio::select! {
            () = tokio::time::sleep(until.map_or(LOOK_EVERY, |it| it.min(LOOK_EVERY))) => {}
            () = host.cron.wake.notified() => {}
            change = changes.next() => {
                if change.is_none() {
                    return;
                }
                tokio::time::sleep(TOGETHER).await;
            }
        }
    }
}

/// Looks at every environment; returns when the next schedule is due.
async fn turn(
    host: &Arc<Host>,
    suspended: &mut HashSet<Place>,
) -> Result<Option<Timestamp>, Failure> {
    let mut first = None;
    for running in host.store.all_running().map_err(|e| e.to_failure())? {
        let running = running.value;
        match look(host, &running, suspended).await {
            Ok(next) => first = first.into_iter().chain(next).min(),
            Err(failure) => {
                let place = format!("{}/{}", running.project, running.environment);
                tracing::error!(%failure, place, "its schedules could not be looked at");
            }
        }
    }
    Ok(first)
}

/// Decides upon what is due in one environment, and begins what waits; returns when the next is due.
async fn look(
    host: &Arc<Host>,
    running: &Running,
    suspended: &mut HashSet<Place>,
) -> Result<Option<Timestamp>, Failure> {
    let place = (running.project.clone(), running.environment.clone());
    let Some((deployment, _)) = host.deployment(&running.deployment)? else { return Ok(None) };
    let schedules = of_version(&deployment);
    look_after(host, &place, &schedules).await?;
    if schedules.is_empty() {
        return Ok(None);
    }
    if let Some(why) = suspension(running, &deployment) {
        let why = match why {
            Suspended::Maintenance => "the environment was in maintenance",
            Suspended::Recreating => "the environment was being replaced",
            Suspended::Stopped | Suspended::Preview => "the environment was stopped",
        };
        leave_out(host, &place, |_| true, why).await?;
        suspended.insert(place);
        return Ok(None);
    }
    let is_back = suspended.remove(&place);
    let is_preview = is_preview(host, &place)?;
    let now = Timestamp::now();
    let since = deployment.live_at.unwrap_or(now);
    let late_s_max = host.config.limits.cron.late_s_max;
    let mut first: Option<Timestamp> = None;
    for schedule in &schedules {
        let Ok(times) = schedule.times() else { continue };
        let history = change(host, &place, &schedule.name, |history| {
            if is_back {
                // What was due meanwhile was not to run.
                history.decided_until = Some(now);
                return Ok(Some(history.clone()));
            }
            if history.is_ahead(now) {
                tracing::warn!(
                    schedule = schedule.name,
                    "the clock was far ahead: it counts from now"
                );
                history.decided_until = Some(now);
                return Ok(Some(history.clone()));
            }
            let times = (&times, schedule.overlap);
            let due = !is_preview && history.decide(times, since, late_s_max, now);
            Ok((due || history.waiting().is_some()).then(|| history.clone()))
        });
        if let Some(history) = history.await? {
            tell_missed(host, &deployment, &history, now);
            run::proceed(host, &deployment, schedule, &history);
        }
        first = first.into_iter().chain(times.after(now).filter(|_| !is_preview)).min();
    }
    Ok(first)
}

/// Whether an environment is a preview: what its schedules do, such as writing to customers, is done by the original.
pub(crate) fn is_preview(host: &Host, (project, environment): &Place) -> Result<bool, Failure> {
    let found = host.store.preview(project, environment).map_err(|e| e.to_failure())?;
    Ok(found.is_some())
}

/// What runs and is watched by nobody is watched, and what waits of a schedule that the version does not have is left
/// out.
async fn look_after(
    host: &Arc<Host>,
    place: &Place,
    schedules: &[Schedule],
) -> Result<(), Failure> {
    let histories = host.store.cron_histories(&place.0, &place.1).map_err(|e| e.to_failure())?;
    for history in histories.iter().filter(|history| history.running().is_some()) {
        run::adopt(host, place, &history.schedule)?;
    }
    let is_orphan = |history: &CronHistory| !schedules.iter().any(|it| it.name == history.schedule);
    let why = "the version that is live now has no such schedule";
    leave_out(host, place, is_orphan, why).await
}

/// What waits of these schedules of an environment is left out.
async fn leave_out(
    host: &Host,
    place: &Place,
    is_one: impl Fn(&CronHistory) -> bool + Send,
    why: &str,
) -> Result<(), Failure> {
    let histories = host.store.cron_histories(&place.0, &place.1).map_err(|e| e.to_failure())?;
    let waits = |history: &CronHistory| history.waiting().is_some() && is_one(history);
    let waiting: Vec<String> =
        histories.into_iter().filter(waits).map(|history| history.schedule).collect();
    for schedule in waiting {
        let left_out = change(host, place, &schedule, |history| {
            let Some(number) = history.waiting().map(|run| run.number) else { return Ok(None) };
            history.end(number, RunStatus::Skipped, None, Timestamp::now(), why);
            Ok(Some(()))
        });
        left_out.await?;
    }
    Ok(())
}

fn tell_missed(host: &Host, deployment: &Deployment, history: &CronHistory, now: Timestamp) {
    let missed = history.runs.last().filter(|run| run.status == RunStatus::Missed);
    if let Some(run) = missed.filter(|run| run.asked_at == now) {
        run::tell(host, deployment, &history.schedule, run);
    }
}

/// The schedules of a version, by name; none where it runs nothing.
pub(crate) fn of_version(deployment: &Deployment) -> Vec<Schedule> {
    let has_image = deployment.outputs.artifact.as_ref().is_some_and(|artifact| {
        let is_image = |output: &str| {
            let output = artifact.output(output);
            output.is_some_and(|output| matches!(output.kind, ArtifactKind::Image { .. }))
        };
        artifact.processes.iter().any(|process| is_image(&process.output))
    });
    if !has_image {
        return Vec::new();
    }
    let of_settings = deployment.outputs.settings.iter().flat_map(|settings| &settings.cron);
    let mut all: Vec<Schedule> =
        of_settings.chain(&deployment.outputs.schedules).cloned().collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Why nothing is begun in an environment now.
pub(crate) fn suspension(running: &Running, deployment: &Deployment) -> Option<Suspended> {
    let stops = running.asked.as_ref().is_some_and(|asked| asked.action != Action::Restart);
    if running.recreating.is_some() {
        return Some(Suspended::Recreating);
    }
    if running.stopped.is_some() || stops || deployment.status != DeploymentStatus::Live {
        return Some(Suspended::Stopped);
    }
    running.maintenance.as_ref().map(|_| Suspended::Maintenance)
}

/// Changes what is kept of a schedule and stores it, if `change` gives a value; it may be called more than once. What
/// leaves the history then leaves its logs, too. `None` as well where the environment is gone.
pub(crate) async fn change<T: Send>(
    host: &Host,
    place: &Place,
    schedule: &str,
    mut change: impl FnMut(&mut CronHistory) -> Result<Option<T>, Failure> + Send,
) -> Result<Option<T>, Failure> {
    let (project, environment) = place;
    loop {
        let found = host.store.cron_history(project, environment, schedule);
        let found = found.map_err(|e| e.to_failure())?;
        let revision = found.as_ref().map(|found| found.revision);
        let new = || CronHistory::new(project.clone(), environment.clone(), schedule.to_owned());
        let mut history = found.map_or_else(new, |found| found.value);
        let before = history.clone();
        let Some(value) = change(&mut history)? else { return Ok(None) };
        if history == before {
            return Ok(Some(value));
        }
        let gone = history.forget_beyond(host.config.limits.cron.runs_kept_max);
        match host.store.put_cron_history(&history, revision).await {
            Ok(_) => {
                run::forget_logs(host, &gone).await;
                return Ok(Some(value));
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.to_failure()),
        }
    }
}
