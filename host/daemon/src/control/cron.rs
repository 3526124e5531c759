//! The schedules of what is live: shown, and run now.

use std::sync::Arc;

use windlass_model::cron::{Overlap, Schedule};
use windlass_model::running::Running;
use windlass_model::schedule::{
    Asked, CronHistory, CronRun, ScheduleSource, ScheduleView, Suspended,
};
use windlass_model::{Deployment, Failure, Timestamp};

use super::{Target, require, stored};
use crate::cron;
use crate::host::Host;

/// The schedules of the version that is live, by name; none where none is.
///
/// # Errors
/// `project.not-found`, `environment.not-found`.
pub(crate) fn list(host: &Host, target: &Target) -> Result<Vec<ScheduleView>, Failure> {
    require(host, target)?;
    let Some((running, deployment)) = live(host, target)? else { return Ok(Vec::new()) };
    let histories = host.store.cron_histories(&target.project, &target.environment);
    let histories = histories.map_err(stored)?;
    let place = (target.project.clone(), target.environment.clone());
    let preview = cron::is_preview(host, &place)?.then_some(Suspended::Preview);
    let suspended = cron::suspension(&running, &deployment).or(preview);
    let now = Timestamp::now();
    let view = |schedule: Schedule| {
        let history = histories.iter().find(|history| history.schedule == schedule.name);
        // One that was decided upon does not come again, though the clock was put back.
        let counts = history.filter(|history| !history.is_ahead(now));
        let decided = counts.and_then(|history| history.decided_until);
        let from = decided.map_or(now, |decided| decided.max(now));
        let next = schedule.times().ok().and_then(|times| times.after(from));
        ScheduleView {
            source: ScheduleSource::of(&schedule),
            deployment_number: deployment.number,
            next_at: next.filter(|_| suspended.is_none()),
            suspended,
            last_run: history.and_then(|history| history.runs.last().cloned()),
            runs: history.map_or(0, |history| history.started),
            failures: history.map_or(0, |history| history.failed),
            schedule,
        }
    };
    Ok(cron::of_version(&deployment).into_iter().map(view).collect())
}

/// What is kept of the runs of a schedule, newest first; also of one that another version had.
///
/// # Errors
/// `project.not-found`, `environment.not-found`, `cron.not-found`.
pub(crate) fn runs(host: &Host, target: &Target, name: &str) -> Result<Vec<CronRun>, Failure> {
    require(host, target)?;
    let found = host.store.cron_history(&target.project, &target.environment, name);
    match found.map_err(stored)? {
        Some(history) => Ok(history.value.runs.into_iter().rev().collect()),
        None => schedule(host, target, name).map(|_| Vec::new()),
    }
}

/// Asks for a run of a schedule now. What its overlap policy would leave out is refused.
///
/// # Errors
/// `environment.not-found`, `cron.not-found`, `cron.suspended`, `cron.still-running`.
pub(crate) async fn run(
    host: &Arc<Host>,
    target: &Target,
    name: &str,
    actor: &str,
) -> Result<CronRun, Failure> {
    require(host, target)?;
    let (running, deployment, schedule) = schedule(host, target, name)?;
    if let Some(suspended) = cron::suspension(&running, &deployment) {
        return Err(Failure::app(
            "cron.suspended",
            format!("the schedule {name} is not run now"),
            format!("{target} is {}", suspended.as_str()),
            "run it when the environment serves again: `windlass start`, or `windlass maintenance off`",
        ));
    }
    let place = (target.project.clone(), target.environment.clone());
    let asked = cron::change(host, &place, name, |history| {
        refuse_if_left_out(history, schedule.overlap)?;
        let who = Asked::Person(actor.to_owned());
        let number = history.ask(who, schedule.overlap, Timestamp::now());
        Ok(history.run(number).cloned())
    });
    let run = asked.await?.ok_or_else(|| not_found(target, name))?;
    host.cron.wake.notify_one();
    Ok(run)
}

fn refuse_if_left_out(history: &CronHistory, overlap: Overlap) -> Result<(), Failure> {
    let in_the_way = match (history.waiting(), history.running(), overlap) {
        (Some(waiting), ..) => (waiting, "waits already"),
        (None, Some(running), Overlap::Skip) => (running, "is still running"),
        _ => return Ok(()),
    };
    let (run, does) = in_the_way;
    let name = &history.schedule;
    Err(Failure::app(
        "cron.still-running",
        format!("the schedule {name} is not run now"),
        format!("its run #{} {does}", run.number),
        format!(
            "wait for its end (`windlass cron runs {name}`), or set `overlap = \"queue\"` or \"replace\""
        ),
    ))
}

fn live(host: &Host, target: &Target) -> Result<Option<(Running, Deployment)>, Failure> {
    let found = host.running(&target.project, &target.environment)?;
    let Some((running, _)) = found else { return Ok(None) };
    let deployment = host.deployment(&running.deployment)?;
    Ok(deployment.map(|(deployment, _)| (running, deployment)))
}

fn schedule(
    host: &Host,
    target: &Target,
    name: &str,
) -> Result<(Running, Deployment, Schedule), Failure> {
    let found = live(host, target)?.and_then(|(running, deployment)| {
        let schedule = cron::of_version(&deployment).into_iter().find(|it| it.name == name)?;
        Some((running, deployment, schedule))
    });
    found.ok_or_else(|| not_found(target, name))
}

fn not_found(target: &Target, name: &str) -> Failure {
    let Target { project, environment } = target;
    Failure::app(
        "cron.not-found",
        format!("{target} has no schedule {name:?}"),
        "its name is wrong, or the version that is live does not have it",
        format!("`windlass cron list --project {project} -e {environment}` shows them"),
    )
}
