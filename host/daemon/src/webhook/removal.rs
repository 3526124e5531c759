//! The end of a preview: what runs is stopped, what it kept is deleted, its environment goes.
//!
//! **Invariant: a removal that was begun is carried through**, also across restarts: its reason is in the
//! preview's record, and the record goes last, with the environment. Each turn does what can be done and
//! comes back for the rest; nothing that another environment needs is touched.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use windlass_model::project::Intent;
use windlass_model::webhook::{Preview, PreviewSettings};
use windlass_model::{
    Deployment, DeploymentStatus, EnvironmentName, Failure, ProjectName, Timestamp,
};
use windlass_store::{Change, StoreError, Versioned};

use crate::control::stored;
use crate::host::Host;
use crate::pipeline::{names, prune, retire};
use crate::{failpoint, routes};

/// Looked at least this often for previews that have expired.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Between two turns of a removal that waits for something.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The lock of a project's previews: who makes one, deploys to one or marks one to be removed holds it.
pub(super) async fn lock(host: &Host, project: &ProjectName) -> OwnedMutexGuard<()> {
    host.named_lock(format!("previews:{project}")).await
}

/// Marks a preview to be removed; durable when it returns. One that is gone already is no error.
pub(crate) async fn begin(
    host: &Arc<Host>,
    project: &ProjectName,
    environment: &EnvironmentName,
    why: &str,
) -> Result<(), Failure> {
    mark(host, project, environment, why, |_| true).await
}

/// The same, if the record as it is now wants it.
async fn mark(
    host: &Arc<Host>,
    project: &ProjectName,
    environment: &EnvironmentName,
    why: &str,
    wanted: impl FnOnce(&Preview) -> bool,
) -> Result<(), Failure> {
    let _lock = lock(host, project).await;
    let found = host.store.preview(project, environment).map_err(stored)?;
    let Some(mut preview) = found.filter(|one| one.removing.is_none() && wanted(one)) else {
        return Ok(());
    };
    preview.removing = Some(why.to_owned());
    host.store.put_preview(&preview).await.map_err(stored)
}

/// Removes what is marked, and marks what has expired, until the host stops.
pub(super) async fn run(host: Arc<Host>) {
    let mut watch = host.store.watch_previews();
    loop {
        let wait = match turn(&host).await {
            Ok(true) => LOOK_EVERY,
            Ok(false) => AGAIN_AFTER,
            Err(failure) => {
                tracing::warn!(%failure, "a preview could not be removed yet; it is tried again");
                LOOK_EVERY
            }
        };
        tokio::select! {
            changed = watch.changed(), if wait == LOOK_EVERY => if changed.is_none() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Whether nothing is left to be done now.
pub(super) async fn turn(host: &Arc<Host>) -> Result<bool, Failure> {
    let (mut done, mut first) = (true, None);
    for preview in host.store.all_previews().map_err(stored)? {
        let settings = host.store.preview_settings(&preview.project).map_err(stored)?;
        let outcome = match &preview.removing {
            Some(_) => Box::pin(remove(host, &preview)).await,
            None if has_expired(&preview, &settings, Timestamp::now()) => {
                let expired = |now: &Preview| has_expired(now, &settings, Timestamp::now());
                let why = "nothing was deployed to it for long";
                mark(host, &preview.project, &preview.environment, why, expired)
                    .await
                    .map(|()| false)
            }
            None => Ok(true),
        };
        match outcome {
            Ok(removed) => done &= removed,
            Err(failure) => {
                first.get_or_insert(failure);
            }
        }
    }
    first.map_or(Ok(done), Err)
}

fn has_expired(preview: &Preview, settings: &PreviewSettings, now: Timestamp) -> bool {
    let age_s = now.as_second() - preview.deployed_at.as_second();
    u64::try_from(age_s).is_ok_and(|age_s| age_s >= settings.expires_after_s)
}

/// One turn of a removal; true when nothing is left of the preview.
async fn remove(host: &Arc<Host>, preview: &Preview) -> Result<bool, Failure> {
    let (project, environment) = (&preview.project, &preview.environment);
    if host.store.find_environment(project, environment).map_err(stored)?.is_none() {
        host.store.delete_preview(project, environment).await.map_err(stored)?;
        return Ok(true);
    }
    let history = host.history(project, environment)?;
    if cancel(host, &history).await? {
        return Ok(false);
    }
    if let Some((live, _)) = host.live(project, environment)? {
        take_down(host, preview, live).await?;
        return Ok(false);
    }
    // Also after a crash in between: while the proxy leads visitors there, nothing drains.
    let route = names::route(project, environment);
    host.proxy.remove_route(&route).await.map_err(|e| routes::failed(&e))?;
    failpoint::reached("preview:down");
    // A drain that was begun ends by itself, or was taken up by this start.
    if history.iter().any(|(one, _)| one.status == DeploymentStatus::Draining) {
        return Ok(false);
    }
    if !prune::all_of(host, &history).await? {
        return Ok(false);
    }
    let network = names::network(project, environment);
    if host.runtime.list_networks().await.is_ok_and(|all| all.contains(&network)) {
        let removed = host.runtime.remove_network(&network).await;
        removed.map_err(|e| e.failure("a preview's network could not be removed"))?;
    }
    failpoint::reached("preview:pruned");
    match host.store.delete_environment(project, environment).await {
        Ok(()) => {}
        // Somebody deployed to it meanwhile: that is cancelled in the next turn.
        Err(StoreError::Busy { .. }) => return Ok(false),
        Err(error) => return Err(stored(error)),
    }
    // Nobody is there to ask for them: a preview's volumes go with it.
    crate::volumes::remove(crate::volumes::environment_dir(
        &host.config.data_dir,
        project,
        environment,
    ))
    .await?;
    tracing::info!(%project, %environment, "a preview is removed");
    Ok(true)
}

/// Asks for the end of what is at work; true when there is something to wait for.
async fn cancel(host: &Arc<Host>, history: &[(Deployment, u64)]) -> Result<bool, Failure> {
    use DeploymentStatus as S;
    let at_work = |status| matches!(status, S::Queued | S::Running | S::Paused);
    let asked: Vec<_> = host.cancel_intents()?.into_iter().map(|(_, id, _)| id).collect();
    let mut waits = false;
    for (deployment, _) in history.iter().filter(|(one, _)| at_work(one.status)) {
        waits = true;
        let cancellable = deployment.current_step().is_none_or(|step| step.cancellable());
        if cancellable && !asked.contains(&deployment.id) {
            let actor = "preview".to_owned();
            let intent = Intent::Cancel { deployment: deployment.id.clone(), actor };
            host.store.put_intent(intent).await.map_err(stored)?;
            host.wake.notify_one();
        }
    }
    Ok(waits)
}

/// Nothing serves in the environment any more, in one write; then visitors are led nowhere, and what ran
/// is retired as any superseded deployment.
async fn take_down(host: &Arc<Host>, preview: &Preview, live: Deployment) -> Result<(), Failure> {
    let (project, environment) = (&preview.project, &preview.environment);
    let id = live.id.clone();
    {
        let _route = host.environment_lock(&live, "route").await;
        let mut record = host.store.environment(project, environment).map_err(stored)?;
        let Some((mut deployment, revision)) = host.deployment(&id)? else { return Ok(()) };
        if record.value.live.as_ref() != Some(&id) {
            return Ok(());
        }
        record.value.live = None;
        record.value.generation += 1;
        deployment.status = DeploymentStatus::Draining;
        let draining = Change::Deployment(Box::new(Versioned { value: deployment, revision }));
        let changes = vec![Change::Environment(record), draining];
        host.store.commit(changes).await.map_err(stored)?;
        let route = names::route(project, environment);
        host.proxy.remove_route(&route).await.map_err(|e| routes::failed(&e))?;
    }
    failpoint::reached("preview:draining");
    retire::retire(host.clone(), id).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use windlass_model::webhook::PreviewOf;

    use super::*;

    #[test]
    fn a_preview_expires_after_its_last_deployment() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let preview = Preview {
            project: "shop".parse().unwrap(),
            environment: "pr-1".parse().unwrap(),
            origin: PreviewOf::PullRequest(1),
            from_fork: false,
            created_at: at(0),
            deployed_at: at(1000),
            removing: None,
            inherited: Vec::new(),
        };
        let settings = PreviewSettings { expires_after_s: 60, ..PreviewSettings::default() };
        assert!(!has_expired(&preview, &settings, at(1059)));
        assert!(has_expired(&preview, &settings, at(1060)));
        assert!(!has_expired(&preview, &settings, at(0)), "a clock that was set back");
    }
}
