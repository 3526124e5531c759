//! Stages after the switch: they run when the deployment is over, and change nothing of what became of it.
//!
//! **Invariants.** One task works on a deployment. A stage that fails for now is tried again, with pauses that
//! double, a bounded number of times; each try has a limit of its own. How each stands is on the disk, so a host
//! that was killed goes on after its next start; what was running then runs again.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use windlass_model::plugin::Hook;
use windlass_model::{Deployment, Failure, StepName};

use super::record::Folder;
use super::work::{self, Job, Patience};
use crate::host::Host;
use crate::pipeline::{Run, plan};

/// Begins, unless a task is at work on the deployment already.
pub(super) fn begin(host: &Arc<Host>, deployment: &Deployment) {
    let id = &deployment.id;
    let mut at_work = host.stages.in_background.lock().unwrap_or_else(PoisonError::into_inner);
    if !at_work.insert(id.clone()) {
        return;
    }
    drop(at_work);
    let (host, deployment) = (host.clone(), deployment.clone());
    tokio::spawn(async move {
        let id = deployment.id.clone();
        if let Err(failure) = run(&host, deployment).await {
            tracing::error!(%failure, deployment = %id, "its stages in the background were not run");
        }
        host.stages.in_background.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    });
}

async fn run(host: &Arc<Host>, deployment: Deployment) -> Result<(), Failure> {
    let variables = host.variables_of(&deployment)?;
    let log = host.logs.open(&deployment.id, StepName::Finish, Run::masker(&variables));
    let log = log.map_err(|error| {
        Failure::host(
            "logs.not-writable",
            "the log of the stages after the switch could not be opened",
            error.to_string(),
            "check the data directory's disk and permissions",
        )
    })?;
    let settings = deployment.outputs.settings.clone().unwrap_or_default();
    let (project, environment) = (&deployment.project, &deployment.environment);
    let context = plan::context_of(host, project, environment, &settings, &variables)?;
    let limits = &host.config.limits.stages;
    let patience = Patience {
        tries_max: limits.tries_max.max(2),
        pause_ms: limits.pause_ms,
        pause_ms_max: limits.pause_ms_max,
    };
    let job = Job {
        host: host.clone(),
        variables,
        context,
        source: None,
        log,
        folder: Folder::of(&host.config.data_dir, &deployment.id),
        plugins: host.plugins.of_project(Some(project)),
        deployment,
    };
    work::all(&Arc::new(job), Hook::AfterSwitch, patience).await.map(drop)
}

/// Why a try failed whose time was over.
pub(super) fn too_long(limit: Duration) -> Failure {
    Failure::app(
        "stages.deadline",
        "a stage in the background took too long",
        format!(
            "one try took longer than {} s, and was ended with everything that it had started",
            limit.as_secs()
        ),
        "`windlass logs --step finish` says what it did; find out what it waits for, or raise \
         `stages.background_s` in the limits file",
    )
}
