//! What runs in an environment: shown, scaled, stopped, started, restarted, put into maintenance.
//!
//! The record is changed here; the supervisor does the rest. Only maintenance is told to the proxy at
//! once, because nothing but the route changes.

use std::sync::Arc;

use windlass_model::api::Page;
use windlass_model::deployment::Artifact;
use windlass_model::id::ProcessName;
use windlass_model::plan::ProcessKind;
use windlass_model::running::{
    Action, Asked, By, EnvironmentEvent, EventKind, InstanceState, Maintenance, Running,
    RunningView, Scale, SetMaintenance, SetScale,
};
use windlass_model::{Deployment, DeploymentStatus, Failure, StepName, Timestamp};

use super::deployments::is_ending;
use super::{Target, require, stored};
use crate::host::Host;
use crate::pipeline;

#[cfg(test)]
mod tests;

/// Longest message of a maintenance, in characters.
const MESSAGE_CHARS_MAX: usize = 200;
/// Longest time that a request is held, in milliseconds.
const HOLD_MS_MAX: u64 = 300_000;
/// Events of a page when the query does not say, and at most.
const EVENTS: usize = 50;
const EVENTS_MAX: usize = 500;

/// What runs.
///
/// # Errors
/// `environment.not-found`, `environment.nothing-live`.
pub fn show(host: &Host, target: &Target) -> Result<RunningView, Failure> {
    let (running, deployment) = open(host, target)?;
    Ok(RunningView::new(running, &deployment))
}

/// The record and its deployment.
fn open(host: &Host, target: &Target) -> Result<(Running, Deployment), Failure> {
    require(host, target)?;
    let found = host.running(&target.project, &target.environment)?;
    let Some((running, _)) = found else {
        return Err(nothing_live(target, on_its_way(host, target)?.as_ref()));
    };
    let deployment = host.store.deployment(&running.deployment).map_err(stored)?.value;
    Ok((running, deployment))
}

/// Changes the record, and stores with it what is told of the change.
async fn change(
    host: &Arc<Host>,
    target: &Target,
    change: impl FnMut(&mut Running, &mut Vec<EnvironmentEvent>) -> Result<Option<()>, Failure> + Send,
) -> Result<(), Failure> {
    let changed = host.change_running_and_tell(&target.project, &target.environment, change);
    changed.await.map(drop)
}

/// Asks for the end of every instance; the deployment stays, to be started again.
///
/// # Errors
/// `environment.nothing-live`, `environment.stopped`, `environment.deploying`.
pub async fn stop(host: &Arc<Host>, target: &Target, actor: &str) -> Result<RunningView, Failure> {
    open(host, target)?;
    not_deploying(host, target, "stopped", "then `windlass stop`")?;
    change(host, target, |running, told| {
        match (&running.asked, &running.stopped) {
            (Some(Asked { action: Action::Stop, .. }), _) => return Ok(None),
            (None, Some(by)) => return Err(stopped(target, running, by, "stopped again")),
            _ => {}
        }
        running.asked = Some(Asked { action: Action::Stop, by: By::now(actor) });
        running.failure = None;
        told.push(EnvironmentEvent::now(EventKind::Stop, "the stop was asked for").by(actor));
        Ok(Some(()))
    })
    .await?;
    show(host, target)
}

/// Asks for the stopped deployment to be brought back.
///
/// # Errors
/// `environment.nothing-live`, `environment.serving`, `environment.stopping`, `environment.deploying`.
pub async fn start(host: &Arc<Host>, target: &Target, actor: &str) -> Result<RunningView, Failure> {
    open(host, target)?;
    not_deploying(host, target, "started", "then `windlass start`, if it is still stopped")?;
    change(host, target, |running, told| {
        match (&running.asked, &running.stopped) {
            (Some(Asked { action: Action::Start, .. }), _) => return Ok(None),
            (Some(Asked { action: Action::Stop, .. }), _) => return Err(stopping(target)),
            (_, None) => return Err(serving(target, running)),
            (_, Some(_)) => {}
        }
        running.asked = Some(Asked { action: Action::Start, by: By::now(actor) });
        running.failure = None;
        told.push(EnvironmentEvent::now(EventKind::Start, "the start was asked for").by(actor));
        Ok(Some(()))
    })
    .await?;
    show(host, target)
}

/// Asks for every instance to be replaced by a fresh one, which gets the present variables.
///
/// # Errors
/// `environment.nothing-live`, `environment.stopped`, `environment.stopping`, `environment.deploying`,
/// `environment.no-instances`.
pub async fn restart(
    host: &Arc<Host>,
    target: &Target,
    actor: &str,
) -> Result<RunningView, Failure> {
    open(host, target)?;
    not_deploying(host, target, "restarted", "what goes live has fresh instances")?;
    change(host, target, |running, told| {
        match (&running.asked, &running.stopped) {
            (Some(Asked { action: Action::Restart, .. }), _) => return Ok(None),
            (Some(Asked { action: Action::Stop, .. }), _) => return Err(stopping(target)),
            (_, Some(by)) => return Err(stopped(target, running, by, "restarted")),
            _ => {}
        }
        let leaving = InstanceState::Leaving;
        for one in running.instances.iter_mut().filter(|one| one.state != leaving) {
            one.outdated = true;
        }
        if !running.instances.iter().any(|one| one.outdated) {
            return Err(no_instances(target));
        }
        running.asked = Some(Asked { action: Action::Restart, by: By::now(actor) });
        running.failure = None;
        told.push(EnvironmentEvent::now(EventKind::Restart, "a restart was asked for").by(actor));
        Ok(Some(()))
    })
    .await?;
    show(host, target)
}

/// Sets how many instances of a process are wanted, whatever the settings say, until it is set otherwise.
/// The deployment's record stays as it is.
///
/// # Errors
/// `environment.nothing-live`, `scale.unknown-process`, `scale.out-of-range`, `scale.volume-not-shared`,
/// `scale.memory`.
pub async fn scale(
    host: &Arc<Host>,
    target: &Target,
    body: SetScale,
    actor: &str,
) -> Result<RunningView, Failure> {
    let (_, deployment) = open(host, target)?;
    for (process, replicas) in &body.replicas {
        check_scale(host, &deployment, process, *replicas)?;
    }
    check_memory(host, target, &body).await?;
    let at = Timestamp::now();
    change(host, target, |running, told| {
        for (process, replicas) in &body.replicas {
            match replicas {
                Some(replicas) => {
                    let scale = Scale { replicas: *replicas, actor: actor.to_owned(), at };
                    running.scales.insert(process.clone(), scale);
                }
                None => drop(running.scales.remove(process)),
            }
            let wanted = replicas.map_or("as the settings say".to_owned(), |n| n.to_string());
            let message = format!("{process} is scaled: {wanted}");
            told.push(EnvironmentEvent::now(EventKind::Scale, message).by(actor));
        }
        Ok(Some(()))
    })
    .await?;
    show(host, target)
}

fn check_scale(
    host: &Host,
    deployment: &Deployment,
    process: &ProcessName,
    replicas: Option<u32>,
) -> Result<(), Failure> {
    let refused = |code: &str, why: String, fix: String| {
        Err(Failure::app(code, format!("{process} cannot be scaled so"), why, fix))
    };
    let processes = deployment.outputs.artifact.as_ref().map(|artifact: &Artifact| {
        artifact.processes.iter().map(|known| (known.name.clone(), known.kind))
    });
    let processes: Vec<_> = processes.into_iter().flatten().collect();
    let Some((_, kind)) = processes.iter().find(|(name, _)| name == process) else {
        let names: Vec<&str> = processes.iter().map(|(name, _)| name.as_str()).collect();
        let known = if names.is_empty() {
            "it has none: the proxy serves a static site itself".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        };
        return refused(
            "scale.unknown-process",
            format!("deployment #{} has no process of this name; {known}", deployment.number),
            "name one of its processes; `windlass show` lists its instances".to_owned(),
        );
    };
    let Some(replicas) = replicas else { return Ok(()) };
    let min = u32::from(*kind == ProcessKind::Web);
    let max = host.config.limits.replicas_max;
    if !(min..=max).contains(&replicas) {
        return refused(
            "scale.out-of-range",
            format!("{replicas} is not between {min} and {max}"),
            "a web process has at least one instance: `windlass stop` ends it; `replicas_max` in the \
             limits file raises the other end"
                .to_owned(),
        );
    }
    let settings = deployment.outputs.settings.as_ref();
    if let Some(volume) = settings.and_then(|s| s.run.volumes.iter().find(|v| !v.shared))
        && replicas > 1
    {
        return refused(
            "scale.volume-not-shared",
            format!("the volume {} may be mounted by one instance at a time", volume.name),
            "set shared = true for it in windlass.toml if the application can share it, and deploy"
                .to_owned(),
        );
    }
    Ok(())
}

/// Refuses more instances than there is memory for. What one needs is what the present ones use.
async fn check_memory(host: &Host, target: &Target, body: &SetScale) -> Result<(), Failure> {
    let Some((running, _)) = host.running(&target.project, &target.environment)? else {
        return Ok(());
    };
    let mut needed_bytes = 0;
    for (process, replicas) in &body.replicas {
        let present = running.instances.iter().filter(|one| one.instance.process == *process);
        let present: Vec<_> = present.filter(|one| one.state == InstanceState::Running).collect();
        let count = present.len() as u64;
        let more = u64::from(replicas.unwrap_or(0)).saturating_sub(count);
        let mut used_bytes = 0;
        for one in present.iter().filter(|_| more > 0) {
            // What cannot be asked is not counted.
            let usage = host.runtime.usage(&one.instance.id).await.ok().flatten();
            used_bytes += usage.map_or(0, |usage| usage.memory_bytes);
        }
        needed_bytes += used_bytes / count.max(1) * more;
    }
    let floor_bytes = host.config.limits.memory_free_bytes_min;
    let available = pipeline::available_memory().filter(|_| needed_bytes > 0);
    match available.filter(|available| *available < needed_bytes + floor_bytes) {
        None => Ok(()),
        Some(available) => Err(Failure::host(
            "scale.memory",
            "the memory is too little for so many instances",
            format!(
                "{} MiB are available; the further instances need about {} MiB, as the present ones \
                 do, and {} MiB must stay free. Nothing was changed",
                available >> 20,
                needed_bytes >> 20,
                floor_bytes >> 20
            ),
            "scale to fewer, stop something else, or add memory",
        )),
    }
}

/// Keeps visitors away: they are held, then refused with the message, while the instances go on.
///
/// # Errors
/// `environment.nothing-live`, `environment.stopped`, `environment.deploying`, `maintenance.invalid`; the
/// proxy's.
pub async fn maintenance_on(
    host: &Arc<Host>,
    target: &Target,
    body: SetMaintenance,
    actor: &str,
) -> Result<RunningView, Failure> {
    let (before, _) = open(host, target)?;
    if before.stopped.is_some() {
        // The start that would have to come first is refused meanwhile.
        not_deploying(host, target, "put into maintenance", "then `windlass maintenance on`")?;
    }
    let message = body.message.unwrap_or_else(|| "it is in maintenance".to_owned());
    let is_text = (1..=MESSAGE_CHARS_MAX).contains(&message.chars().count())
        && !message.chars().any(char::is_control);
    if !is_text || body.hold_ms.is_some_and(|ms| ms > HOLD_MS_MAX) {
        return Err(Failure::app(
            "maintenance.invalid",
            "maintenance cannot be set so",
            format!(
                "the message has 1 to {MESSAGE_CHARS_MAX} characters in one line, and a request is \
                 held for at most {HOLD_MS_MAX} ms"
            ),
            "shorten the message or the time",
        ));
    }
    let maintenance =
        Maintenance { message: message.clone(), hold_ms: body.hold_ms, by: By::now(actor) };
    change(host, target, |running, told| {
        if let Some(by) = &running.stopped {
            return Err(stopped(target, running, by, "put into maintenance"));
        }
        running.maintenance = Some(maintenance.clone());
        told.push(EnvironmentEvent::now(EventKind::MaintenanceOn, message.as_str()).by(actor));
        Ok(Some(()))
    })
    .await?;
    host.routes_changed(&target.project, &target.environment).await?;
    show(host, target)
}

/// Lets visitors in again. Without maintenance nothing changes.
///
/// # Errors
/// `environment.nothing-live`; the proxy's.
pub async fn maintenance_off(
    host: &Arc<Host>,
    target: &Target,
    actor: &str,
) -> Result<RunningView, Failure> {
    open(host, target)?;
    change(host, target, |running, told| {
        if running.maintenance.take().is_some() {
            let message = "visitors are let in again";
            told.push(EnvironmentEvent::now(EventKind::MaintenanceOff, message).by(actor));
        }
        Ok(Some(()))
    })
    .await?;
    host.routes_changed(&target.project, &target.environment).await?;
    show(host, target)
}

/// What happened to an environment, newest first.
///
/// # Errors
/// `environment.not-found`.
pub fn events(
    host: &Host,
    target: &Target,
    before: Option<u64>,
    limit: Option<usize>,
) -> Result<Page<EnvironmentEvent>, Failure> {
    require(host, target)?;
    let limit = limit.unwrap_or(EVENTS).clamp(1, EVENTS_MAX);
    let found = host.store.events(&target.project, &target.environment, before, limit + 1);
    let mut items = found.map_err(stored)?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Page { items, next })
}

/// Fails while a deployment of the environment waits or runs: its end would undo what was asked. `then` says
/// what becomes of the wish afterwards.
pub(super) fn not_deploying(
    host: &Host,
    target: &Target,
    verb: &str,
    then: &str,
) -> Result<(), Failure> {
    let Some(busy) = on_its_way(host, target)? else { return Ok(()) };
    let why = if is_ending(&busy) {
        format!(
            "deployment #{} is being cleaned up, and what ran before it comes back",
            busy.number
        )
    } else {
        format!("deployment #{} is {}, and would take over afterwards", busy.number, busy.status)
    };
    Err(Failure::app(
        "environment.deploying",
        format!("{target} cannot be {verb} now"),
        why,
        format!("{}; {then}", way_out(&busy)),
    ))
}

/// The deployment that may change what runs in the environment: one that waits, runs or is halted. A build
/// changes nothing there.
fn on_its_way(host: &Host, target: &Target) -> Result<Option<Deployment>, Failure> {
    use DeploymentStatus as S;
    let unsettled = host.store.unsettled_deployments().map_err(stored)?;
    Ok(unsettled.into_iter().map(|found| found.value).find(|deployment| {
        deployment.project == target.project
            && deployment.environment == target.environment
            && !deployment.kind.is_build()
            && matches!(deployment.status, S::Queued | S::Running | S::Paused)
    }))
}

/// What can be done about a deployment that is on its way. What is possible at once stands before what has to
/// be waited for.
fn way_out(busy: &Deployment) -> String {
    let number = busy.number;
    let step = busy.current_step().unwrap_or(StepName::Finish);
    match busy.status {
        DeploymentStatus::Paused => format!(
            "go on with `windlass resume {number}`, or end it with `windlass cancel {number}`"
        ),
        DeploymentStatus::Running if is_ending(busy) => {
            format!("wait until it is cleaned up, as `windlass show {number}` tells")
        }
        DeploymentStatus::Running if !step.cancellable() => format!(
            "wait until it is live, as `windlass show {number}` tells: it is in {step}, too late to \
             cancel it"
        ),
        _ => format!("end it with `windlass cancel {number}`, or wait until it is live"),
    }
}

fn nothing_live(target: &Target, busy: Option<&Deployment>) -> Failure {
    let (why, fix) = match busy {
        Some(busy) => (format!("; #{} is {}", busy.number, busy.status), way_out(busy)),
        None => (String::new(), "deploy something: `windlass deploy`".to_owned()),
    };
    Failure::app(
        "environment.nothing-live",
        format!("nothing runs in {target}"),
        format!("no deployment has gone live there yet{why}"),
        fix,
    )
}

fn stopped(target: &Target, running: &Running, by: &By, verb: &str) -> Failure {
    let (also, fix) = match running.asked {
        Some(Asked { action: Action::Start, .. }) => {
            (", and is being started again", "wait until it serves, as `windlass status` tells")
        }
        _ => ("", "bring it back first: `windlass start`"),
    };
    Failure::app(
        "environment.stopped",
        format!("{target} cannot be {verb}"),
        format!("it was stopped by {} at {}{also}", by.actor, by.at),
        fix,
    )
}

fn stopping(target: &Target) -> Failure {
    Failure::app(
        "environment.stopping",
        format!("{target} is being stopped"),
        "its last requests are being finished",
        "wait until it is stopped (`windlass status`), then `windlass start`",
    )
}

fn serving(target: &Target, running: &Running) -> Failure {
    let (why, fix) = if running.maintenance.is_some() {
        (
            "its instances run, and its visitors are kept away",
            "let them in again with `windlass maintenance off`",
        )
    } else if running.instances.is_empty() {
        (
            "the proxy serves a static site itself, or every process is scaled to 0",
            "for another version use `windlass redeploy`; for another number `windlass scale`",
        )
    } else {
        (
            "its instances run, or are started again by themselves",
            "for fresh instances use `windlass restart`; for the newest source `windlass redeploy`",
        )
    };
    Failure::app("environment.serving", format!("{target} is not stopped"), why, fix)
}

fn no_instances(target: &Target) -> Failure {
    Failure::app(
        "environment.no-instances",
        format!("{target} has no instances to restart"),
        "the proxy serves a static site itself, or every process is scaled to 0",
        "to serve another version use `windlass redeploy`; to change a number `windlass scale`",
    )
}
