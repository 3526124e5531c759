//! Runs of which a restarted host finds traces, and those that have to make way.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_containers::Labels;
use windlass_containers::runtime::TaskStatus;
use windlass_model::schedule::{CronHistory, RunStatus};
use windlass_model::{Deployment, DeploymentId, Failure, Timestamp};
use windlass_store::Store;

use super::{Claim, Place, change, run};
use crate::commands;
use crate::host::Host;
use crate::pipeline::names;

/// Beyond what ending a run may take, for writing it down.
const ENDED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks whether runs have ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Between two tries to take up a run.
const AGAIN_EVERY: Duration = Duration::from_secs(10);

/// A run whose container was found.
#[derive(Debug)]
struct Found {
    place: Place,
    schedule: String,
    number: u64,
    deployment: DeploymentId,
}

/// After a start: a run that goes on, or has ended meanwhile, is waited for again; one whose container is gone is
/// lost, and is not run again. Where the state is older than a run that goes on, that one is taken up. Containers and logs
/// that no run names any more are removed, but not before every run was taken up.
///
/// # Errors
/// The store's, the container runtime's.
pub(crate) async fn reconcile(host: &Arc<Host>) -> Result<(), Failure> {
    let containers = commands::find(host, names::is_cron).await;
    let mut all_taken_up = containers.is_ok();
    for found in newest(containers.as_deref().unwrap_or_default()) {
        if let Err(failure) = take_up(host, &found).await {
            let Found { schedule, number, .. } = &found;
            tracing::error!(%failure, schedule, number, "a run that may go on could not be taken up yet");
            all_taken_up = false;
            take_up_later(host, found);
        }
    }
    if let Err(failure) = miss_waiting(host).await {
        tracing::error!(%failure, "it is not known which runs wait for too long");
    }
    if all_taken_up && let Err(failure) = sweep_logs(host).await {
        tracing::error!(%failure, "it is not known which logs of runs are to be kept");
    }
    let mut known = HashSet::new();
    for history in host.store.all_cron_histories().map_err(|e| e.to_failure())? {
        let Some(one) = history.running() else { continue };
        known.extend(run::container_of(&history.schedule, one));
        let place: Place = (history.project.clone(), history.environment.clone());
        if let Err(failure) = run::adopt(host, &place, &history.schedule) {
            // It is tried again whenever the schedules are looked at.
            tracing::error!(%failure, schedule = history.schedule, "a run is not watched yet");
        }
    }
    for (container, _) in containers? {
        if all_taken_up
            && !known.contains(&container)
            && let Err(failure) = commands::remove(host, &container).await
        {
            tracing::warn!(%failure, container, "the container of a run stays until the next start");
        }
    }
    Ok(())
}

/// Of each schedule the newest run that has a container: the others have ended, and only wait for their removal.
fn newest(containers: &[(String, Labels)]) -> Vec<Found> {
    let mut newest: BTreeMap<(Place, String), (u64, DeploymentId)> = BTreeMap::new();
    for (container, labels) in containers {
        let place = names::labelled_environment(labels);
        let Some((place, (schedule, number))) = place.zip(names::labelled_cron(labels)) else {
            continue;
        };
        let Some(deployment) = names::of_instance(container) else { continue };
        let one = newest.entry((place, schedule)).or_insert((number, deployment.clone()));
        if one.0 < number {
            *one = (number, deployment);
        }
    }
    let found = newest.into_iter();
    found
        .map(|((place, schedule), (number, deployment))| Found {
            place,
            schedule,
            number,
            deployment,
        })
        .collect()
}

/// Takes up a run that was begun after the state was saved, which is from a backup or was found again. That of a
/// version which it does not know is not: nobody could say what it is.
async fn take_up(host: &Host, found: &Found) -> Result<(), Failure> {
    let Found { place, schedule, number, deployment } = found;
    let number = *number;
    let Some((deployment, _)) = host.deployment(deployment)? else { return Ok(()) };
    if (&deployment.project, &deployment.environment) != (&place.0, &place.1) {
        return Ok(());
    }
    let schedules = super::of_version(&deployment);
    let known = schedules.iter().find(|known| known.name == *schedule);
    let (timeout_ms, now) = (run::timeout_ms(host, known), Timestamp::now());
    let taken_up = change(host, place, schedule, |history| {
        if history.has_begun(number) {
            return Ok(None);
        }
        // It came before, or this one would not go on.
        let before = history.running().cloned();
        if let Some(before) = &before {
            let lost = run::lost_before(schedule, before, number);
            history.end(before.number, RunStatus::Lost, Some(lost), now, "");
        }
        let lost = before.and_then(|before| history.run(before.number).cloned());
        let of = (deployment.id.clone(), deployment.number);
        Ok(history.take_up(number, of, timeout_ms, now).map(|_| lost))
    });
    let Some(lost) = taken_up.await? else { return Ok(()) };
    tracing::warn!(schedule, number, "a run goes on that was begun after the state was saved");
    if let Some(lost) = lost
        && let Some(of) = &lost.deployment
        && let Ok(Some((deployment, _))) = host.deployment(of)
    {
        run::tell(host, &deployment, schedule, &lost);
    }
    Ok(())
}

/// Takes up a run in the end. Until then nothing is begun of its schedule: it would run beside this one.
fn take_up_later(host: &Arc<Host>, found: Found) {
    let Some(claim) = Claim::of(host, &found.place, &found.schedule) else { return };
    let host = host.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(AGAIN_EVERY).await;
            match take_up(&host, &found).await {
                Ok(()) => break,
                Err(failure) => {
                    let Found { schedule, number, .. } = &found;
                    tracing::warn!(%failure, schedule, number, "a run is not taken up yet");
                }
            }
        }
        drop(claim);
        // It is watched from now on, like every run that nobody watches.
        host.cron.wake.notify_one();
    });
}

/// Removes the logs of runs that no history tells of: the host went down before it did.
async fn sweep_logs(host: &Host) -> Result<(), Failure> {
    let mut kept = HashSet::new();
    for history in host.store.all_cron_histories().map_err(|e| e.to_failure())? {
        let runs = history.runs.into_iter();
        kept.extend(runs.filter_map(|run| Some((run.deployment?, run.log?))));
    }
    let logs = host.logs.clone();
    let swept = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        for deployment in logs.deployments()? {
            for (name, dir) in logs.cron_dirs(&deployment) {
                if !kept.contains(&(deployment.clone(), name)) {
                    run::remove_log(&dir);
                }
            }
        }
        Ok(())
    });
    if let Err(error) = swept.await.map_err(std::io::Error::other).flatten() {
        tracing::warn!(%error, "logs of forgotten runs may be left until the next start");
    }
    Ok(())
}

/// What could have begun long ago, if the host had not been down, is missed.
async fn miss_waiting(host: &Host) -> Result<(), Failure> {
    let late_s_max = i64::try_from(host.config.limits.cron.late_s_max).unwrap_or(i64::MAX);
    let now = Timestamp::now();
    for history in host.store.all_cron_histories().map_err(|e| e.to_failure())? {
        if history.waiting().is_none() {
            continue;
        }
        let Some(free_since) = free_since(host, &history).await else { continue };
        let place: Place = (history.project, history.environment);
        let missed = change(host, &place, &history.schedule, |history| {
            let Some(run) = history.waiting() else { return Ok(None) };
            let (number, could_begin) = (run.number, run.asked_at.max(free_since));
            if now.duration_since(could_begin).as_secs() <= late_s_max {
                return Ok(None);
            }
            let why = "the host did not run when it could have begun, and it is too long ago";
            history.end(number, RunStatus::Missed, None, now, why);
            Ok(history.run(number).cloned())
        });
        if let Some(run) = missed.await?
            && let Some((live, _)) = host.live(&place.0, &place.1)?
        {
            run::tell(host, &live, &history.schedule, &run);
        }
    }
    Ok(())
}

/// Since when no run of a schedule has been in the way of the one that waits; `None` when one goes on.
async fn free_since(host: &Host, history: &CronHistory) -> Option<Timestamp> {
    let Some(one) = history.running() else { return Some(Timestamp::UNIX_EPOCH) };
    let container = run::container_of(&history.schedule, one)?;
    match host.runtime.status(&container).await {
        Ok(Some(TaskStatus::Running { .. })) | Err(_) => None,
        Ok(Some(TaskStatus::Exited(exit))) => Some(exit.at),
        Ok(_) => Some(Timestamp::UNIX_EPOCH),
    }
}

/// In a state from a backup nothing waits: whether it ran since, nobody knows.
///
/// # Errors
/// The store's.
pub(crate) async fn forgo(store: &Store) -> Result<(), Failure> {
    let why = "it waited when the backup was made that the state is from";
    store.forgo_schedules(Timestamp::now(), why).await.map_err(|e| e.to_failure())
}

/// The schedules of a version that was found again count from now, and not from when it went live: nobody knows what
/// ran since.
///
/// # Errors
/// The store's.
pub(crate) async fn begin_anew(store: &Store, deployment: &Deployment) -> Result<(), Failure> {
    let (project, environment) = (&deployment.project, &deployment.environment);
    for schedule in super::of_version(deployment) {
        let found = store.cron_history(project, environment, &schedule.name);
        if found.map_err(|e| e.to_failure())?.is_some() {
            // It was in the backup, and is settled.
            continue;
        }
        let mut history =
            CronHistory::new(project.clone(), environment.clone(), schedule.name.clone());
        history.decided_until = Some(Timestamp::now());
        store.put_cron_history(&history, None).await.map_err(|e| e.to_failure())?;
    }
    Ok(())
}

/// Ends every run of an environment that must not go on beside another version, and waits for it.
///
/// # Errors
/// The store's; `cron.still-running` when one does not end although it was killed.
pub(crate) async fn make_way(host: &Arc<Host>, place: &Place, why: &str) -> Result<(), Failure> {
    let histories = || host.store.cron_histories(&place.0, &place.1).map_err(|e| e.to_failure());
    for history in histories()? {
        let ended = change(host, place, &history.schedule, |history| {
            if history.end_for(why).is_none() {
                return Ok(None);
            }
            Ok(history.running().cloned())
        });
        if let Some(one) = ended.await?
            && let Some(container) = run::container_of(&history.schedule, &one)
        {
            host.cron.end_of(&container).cancel();
            run::adopt(host, place, &history.schedule)?;
        }
    }
    let grace = Duration::from_secs(host.config.limits.stop_grace_s);
    let until = Instant::now() + grace + run::KILLED_WITHIN + ENDED_WITHIN;
    loop {
        let histories = histories()?;
        let goes_on = histories.iter().find_map(|it| Some((it, it.running()?.number)));
        let Some((history, number)) = goes_on else { return Ok(()) };
        if Instant::now() >= until {
            return Err(still_running(&history.schedule, number));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn still_running(schedule: &str, number: u64) -> Failure {
    Failure::app(
        "cron.still-running",
        "two versions must not run at once, because a volume is not shared",
        format!("run #{number} of the schedule {schedule} was ended and is still there"),
        format!("wait until it is over (`windlass cron runs {schedule}`), then deploy again"),
    )
}
