//! `strategy = "recreate"`: the old instances end before the new ones start, and visitors are held
//! meanwhile. A part of the step start.
//!
//! **Invariant: the old version comes back when the new one fails.** The record says that this deployment
//! has taken the instances' place until it is live, or gives it back; then the supervisor starts the old
//! ones again. Both can be repeated.

use std::time::Duration;

use windlass_model::running::{EnvironmentEvent, EventKind, InstanceState, LiveInstance};
use windlass_model::settings::Strategy;
use windlass_model::{Deployment, DeploymentStatus, Failure};

use super::{Run, names, retire};
use crate::{cron, failpoint, routes};

/// Holds visitors and ends the live deployment's instances, if this deployment replaces it so.
pub(super) async fn make_way(run: &Run) -> Result<(), Failure> {
    let (host, deployment) = (&run.host, &run.deployment);
    if run.settings()?.strategy() != Strategy::Recreate {
        return Ok(());
    }
    let (project, environment) = (&deployment.project, &deployment.environment);
    let Some((live, _)) = host.live(project, environment)? else {
        return Ok(());
    };
    if live.id == deployment.id {
        return Ok(());
    }
    if live.status != DeploymentStatus::Live {
        // It was stopped, which lets runs of its schedules go on.
        return end_schedules(run, &live).await;
    }
    host.ensure_running(&live).await?;
    let instances = host.change_running(project, environment, |running| {
        if running.deployment != live.id {
            return Ok(None);
        }
        running.recreating = Some(deployment.id.clone());
        for one in running.instances.iter_mut().filter(|i| i.state != InstanceState::Leaving) {
            one.enter(InstanceState::Leaving);
        }
        Ok(Some(running.instances.len()))
    });
    let Some(instances) = instances.await? else { return Ok(()) };
    run.log.say(format!(
        "strategy recreate: visitors are held while #{} is replaced ({instances} instances)",
        live.number
    ));
    // What the supervisor was just starting is there before the containers are listed.
    drop(host.environment_lock(deployment, "instances").await);
    {
        let _lock = host.environment_lock(deployment, "route").await;
        routes::publish(host, project, environment).await?;
    }
    failpoint::reached("held:start");
    drain(run).await?;
    let grace = Duration::from_secs(host.config.limits.stop_grace_s);
    retire::stop(host.runtime.as_ref(), &live.id, grace).await?;
    retire::delete_instances(host, &live.id).await?;
    end_schedules(run, &live).await?;
    failpoint::reached("ended:start");
    let ended = host.change_running_and_tell(project, environment, |running, told| {
        if running.recreating.as_ref() != Some(&deployment.id) {
            return Ok(None);
        }
        running.instances.clear();
        let message = format!("#{} ended to make way for #{}", live.number, deployment.number);
        let mut event = EnvironmentEvent::now(EventKind::Recreate, message);
        event.deployment = Some(deployment.id.clone());
        told.push(event);
        Ok(Some(()))
    });
    ended.await.map(drop)
}

/// Ends the runs of schedules, where they must not meet the new version.
async fn end_schedules(run: &Run, live: &Deployment) -> Result<(), Failure> {
    if !is_exclusive(run) && !has_exclusive_volume(live) {
        return Ok(());
    }
    let place = (run.deployment.project.clone(), run.deployment.environment.clone());
    let why = format!("#{} made way, and has a volume that is not shared", live.number);
    cron::recover::make_way(&run.host, &place, &why).await
}

/// What is in flight is finished first.
async fn drain(run: &Run) -> Result<(), Failure> {
    let (project, environment) = (&run.deployment.project, &run.deployment.environment);
    let running = run.host.running(project, environment)?;
    let instances = running.map(|(running, _)| running.instances).unwrap_or_default();
    if let Some((from, until)) = routed(&instances) {
        routes::drained(&run.host, &names::route(project, environment), from..=until).await;
    }
    Ok(())
}

/// The generations that led to any of these instances.
pub(crate) fn routed(instances: &[LiveInstance]) -> Option<(u64, u64)> {
    let from = instances.iter().filter_map(|one| one.routed_from).min()?;
    let until = instances.iter().filter_map(|one| one.routed_until).max()?;
    Some((from, until))
}

/// Whether two versions must never run at once, because a volume is not shared.
pub(super) fn is_exclusive(run: &Run) -> bool {
    has_exclusive_volume(&run.deployment)
}

fn has_exclusive_volume(deployment: &Deployment) -> bool {
    let settings = deployment.outputs.settings.as_ref();
    settings.is_some_and(|settings| settings.run.volumes.iter().any(|volume| !volume.shared))
}

/// Gives the environment back to the deployment that made way: the supervisor starts its instances again.
pub(super) async fn give_back(run: &Run) -> Result<(), Failure> {
    let deployment = &run.deployment;
    let back = run.host.change_running(&deployment.project, &deployment.environment, |running| {
        if running.recreating.as_ref() != Some(&deployment.id) {
            return Ok(None);
        }
        running.recreating = None;
        Ok(Some(()))
    });
    if back.await?.is_some() {
        run.log.say("the version before is started again");
    }
    Ok(())
}
