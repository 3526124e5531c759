//! The host: what every part of the control plane shares.
//!
//! The functions here are the pipeline's view of the store, in its words and with its failures; each
//! says what is durable when it returns.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard};
use windlass_build::Builder;
use windlass_containers::runtime::TaskStatus;
use windlass_containers::{Runtime, logs as instance_logs};
use windlass_model::deployment::{Instance, Kind, StoredPlan};
use windlass_model::plan::BuildPlan;
use windlass_model::project::{Intent, Service, StoredIntent};
use windlass_model::running::Running;
use windlass_model::variable::Variable;
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, Digest, EnvironmentName, Failure, LogLine,
    ProjectName, Timestamp,
};
use windlass_proxy::ProxyClient;
use windlass_store::{Brief, Change, HistoryFilter, Phase, Store, StoreError, Versioned};

use crate::config::ServeConfig;
use crate::cron;
use crate::observe::Observe;
use crate::pipeline::{Building, Row, custom, egress, missing};
use crate::plugins::Plugins;
use crate::source;
use crate::steplog::StepLogs;

/// Largest page of a list that the store gives.
const PAGE: usize = 200;
/// Locks that are kept although nobody holds them.
const IDLE_LOCKS_MAX: usize = 64;

/// The parts of a running control plane.
pub struct Host {
    /// What it was started with.
    pub config: ServeConfig,
    /// State.
    pub store: Store,
    /// Containers.
    pub runtime: Arc<dyn Runtime>,
    /// Builds.
    pub builder: Builder,
    /// Plugins.
    pub plugins: Plugins,
    /// The data plane.
    pub proxy: ProxyClient,
    /// Logs of steps.
    pub logs: StepLogs,
    /// Events, and open sessions.
    pub(crate) observe: Observe,
    /// Wakes the queue: something was stored that it should look at.
    pub wake: Notify,
    /// Since when it runs.
    pub since: Timestamp,
    /// One lock for each name; those that nobody holds are dropped now and then.
    pub(crate) locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Turns to look at a source without deploying it.
    pub(crate) looks: tokio::sync::Semaphore,
    /// What the names that applications may reach led to lately.
    pub(crate) lookups: egress::Lookups,
    /// Which steps of builds are being carried out.
    pub(crate) building: Building,
    /// Wakes the keeper of the disk: something was built or released.
    pub(crate) built: Notify,
    /// What the runs of schedules share.
    pub(crate) cron: cron::Cron,
    /// What custom stages share.
    pub(crate) stages: custom::Stages,
    /// The pipeline; tests put rows of their own here.
    pub(crate) table: &'static [Row],
}

impl Host {
    /// The source tree of a deployment, while it is worked on.
    pub fn source_dir(&self, deployment: &DeploymentId) -> PathBuf {
        source::workspace_dir(&self.config.data_dir, deployment)
    }

    /// Removes a deployment's workspace before this returns; none is no error.
    pub(crate) async fn clear_workspace(&self, deployment: &DeploymentId) -> Result<(), Failure> {
        let (data_dir, id) = (self.config.data_dir.clone(), deployment.clone());
        let removed = tokio::task::spawn_blocking(move || {
            source::release(&data_dir, &id)?.map_or(Ok(()), |aside| source::remove_tree(&aside))
        });
        removed.await.map_err(std::io::Error::other).flatten().map_err(|e| workspace_stays(&e))
    }

    /// The same, with most of the work behind the caller. What is left of it when the host stops goes at the
    /// next start.
    pub(crate) async fn release_workspace(&self, deployment: &DeploymentId) -> Result<(), Failure> {
        let (data_dir, id) = (self.config.data_dir.clone(), deployment.clone());
        let released = tokio::task::spawn_blocking(move || source::release(&data_dir, &id)).await;
        let aside = released.map_err(std::io::Error::other).flatten();
        if let Some(aside) = aside.map_err(|e| workspace_stays(&e))? {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = source::remove_tree(&aside) {
                    tracing::warn!(%error, "a workspace is left until the next start");
                }
            });
        }
        Ok(())
    }

    /// Where installed plugins lie; bundled ones are beside the binary.
    pub fn installed_plugins(&self) -> PathBuf {
        self.config.data_dir.join("plugins")
    }

    /// The domains of an environment have changed: the proxy is told, before this returns.
    ///
    /// # Errors
    /// `switch.proxy-unreachable` or `switch.proxy-refused`; the change itself is stored.
    pub async fn routes_changed(
        self: &Arc<Self>,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<(), Failure> {
        crate::routes::republish(self, project, environment).await
    }

    /// Waits for the lock of this name. Locks are held in memory: the process is the only host of its
    /// data directory.
    pub(crate) async fn named_lock(&self, name: String) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            if locks.len() >= IDLE_LOCKS_MAX {
                // Who holds or awaits a lock has a reference of its own, taken under this mutex.
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            locks.entry(name).or_default().clone()
        };
        lock.lock_owned().await
    }

    /// The lock of something of the deployment's environment.
    pub(crate) async fn environment_lock(
        &self,
        deployment: &Deployment,
        what: &str,
    ) -> OwnedMutexGuard<()> {
        self.named_lock(format!("{what}:{}/{}", deployment.project, deployment.environment)).await
    }

    pub(crate) fn deployment(
        &self,
        id: &DeploymentId,
    ) -> Result<Option<(Deployment, u64)>, Failure> {
        let found = self.store.find_deployment(id).map_err(|e| e.to_failure())?;
        Ok(found.map(pair))
    }

    /// Durable when it returns; a deployment that someone else changed is a failure.
    pub(crate) async fn save_deployment(
        &self,
        deployment: &Deployment,
        revision: u64,
    ) -> Result<u64, Failure> {
        self.store.update_deployment(deployment, revision).await.map_err(|e| e.to_failure())
    }

    /// Those that a restarted host takes up again.
    pub(crate) fn unsettled(&self) -> Result<Vec<(Deployment, u64)>, Failure> {
        let found = self.store.unsettled_deployments().map_err(|e| e.to_failure())?;
        Ok(found.into_iter().map(pair).collect())
    }

    /// Who is of this status, oldest first.
    pub(crate) fn briefs(&self, status: DeploymentStatus) -> Result<Vec<Arc<Brief>>, Failure> {
        self.store.briefs_with_status(status).map_err(|e| e.to_failure())
    }

    /// Those whose clean-up failed.
    pub(crate) fn stuck(&self) -> Result<Vec<(Deployment, u64)>, Failure> {
        let found = self.store.deployments_with_status(DeploymentStatus::Stuck);
        Ok(found.map_err(|e| e.to_failure())?.into_iter().map(pair).collect())
    }

    /// Every live deployment of this host.
    pub(crate) fn all_live(&self) -> Result<Vec<(Deployment, u64)>, Failure> {
        let found = self.store.deployments_with_status(DeploymentStatus::Live);
        Ok(found.map_err(|e| e.to_failure())?.into_iter().map(pair).collect())
    }

    /// Every deployment that a person stopped: it is still its environment's live one.
    pub(crate) fn all_stopped(&self) -> Result<Vec<(Deployment, u64)>, Failure> {
        let found = self.store.deployments_with_status(DeploymentStatus::Stopped);
        Ok(found.map_err(|e| e.to_failure())?.into_iter().map(pair).collect())
    }

    /// The deployment that serves an environment.
    pub(crate) fn live(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Option<(Deployment, u64)>, Failure> {
        let found =
            self.store.find_environment(project, environment).map_err(|e| e.to_failure())?;
        match found.and_then(|environment| environment.value.live) {
            Some(id) => self.deployment(&id),
            None => Ok(None),
        }
    }

    /// An environment's whole history, newest first. For short ones: what it costs grows with it.
    pub(crate) fn history(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Vec<(Deployment, u64)>, Failure> {
        let mut filter = HistoryFilter {
            project: project.clone(),
            environment: Some(environment.clone()),
            before: None,
            limit: PAGE,
        };
        let mut history = Vec::new();
        loop {
            let page = self.store.deployments_versioned(&filter);
            let (page, next) = page.map_err(|e| e.to_failure())?;
            history.extend(page.into_iter().map(pair));
            filter.before = next;
            if filter.before.is_none() {
                return Ok(history);
            }
        }
    }

    /// Whether another deployment that keeps its artifact, or is still at work, has the same one.
    pub(crate) fn artifact_in_use(
        &self,
        artifact: &Digest,
        except: &DeploymentId,
    ) -> Result<bool, Failure> {
        let same = |deployment: &Deployment| {
            deployment.id != *except
                && deployment.outputs.artifact.as_ref().is_some_and(|a| a.digest == *artifact)
        };
        for project in self.store.projects().map_err(|e| e.to_failure())? {
            for environment in self.store.environments(&project.name).map_err(|e| e.to_failure())? {
                let kept = self
                    .store
                    .deployments_with_artifact(&project.name, &environment.name)
                    .map_err(|e| e.to_failure())?;
                if kept.iter().any(|deployment| same(&deployment.value)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Takes the next generation of the deployment's environment, durably, and says which deployment
    /// is live now. A generation that is taken and not used is skipped.
    pub(crate) async fn next_generation(
        &self,
        deployment: &Deployment,
    ) -> Result<(u64, Option<DeploymentId>), Failure> {
        loop {
            let mut environment = self
                .store
                .environment(&deployment.project, &deployment.environment)
                .map_err(|e| e.to_failure())?;
            environment.value.generation += 1;
            let taken = (environment.value.generation, environment.value.live.clone());
            match self.store.commit(vec![Change::Environment(environment)]).await {
                Ok(_) => return Ok(taken),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.to_failure()),
            }
        }
    }

    /// In one write: this deployment is live with its instances, the one that it replaced drains, and
    /// the environment points here. What people said about the number of instances stays, and so does
    /// maintenance.
    pub(crate) async fn go_live(
        &self,
        deployment: &Deployment,
        revision: u64,
    ) -> Result<(), Failure> {
        loop {
            let mut environment = self
                .store
                .environment(&deployment.project, &deployment.environment)
                .map_err(|e| e.to_failure())?;
            environment.value.live = Some(deployment.id.clone());
            environment.value.generation += 1;
            let mut changes = vec![
                Change::Environment(environment),
                Change::Deployment(Box::new(Versioned { value: deployment.clone(), revision })),
            ];
            let before = self.running(&deployment.project, &deployment.environment)?;
            let mut running = Running::of(deployment);
            let expected = before.map(|(before, revision)| {
                running.scales = before.scales;
                running.maintenance = before.maintenance;
                revision
            });
            changes.push(Change::Running(Box::new(running), expected));
            if let Some(old) = &deployment.outputs.replaced
                && let Some((mut old, revision)) = self.deployment(old)?
                && matches!(old.status, DeploymentStatus::Live | DeploymentStatus::Stopped)
            {
                old.status = DeploymentStatus::Draining;
                let until = deployment.outputs.generation.map(|generation| generation - 1);
                old.outputs.last_generation = until.max(old.outputs.generation);
                changes.push(Change::Deployment(Box::new(Versioned { value: old, revision })));
            }
            match self.store.commit(changes).await {
                Ok(_) => return Ok(()),
                // The environment or the old deployment was changed meanwhile: read them again.
                Err(StoreError::Conflict { .. })
                    if self.deployment(&deployment.id)?.is_some_and(|(_, now)| now == revision) => {
                }
                Err(error) => return Err(error.to_failure()),
            }
        }
    }

    /// Changes a draining deployment; nothing happens to one that is not.
    pub(crate) async fn settle_draining(
        &self,
        id: &DeploymentId,
        change: impl FnOnce(&mut Deployment),
    ) {
        let Ok(Some((mut deployment, revision))) = self.deployment(id) else {
            return;
        };
        if deployment.status != DeploymentStatus::Draining {
            return;
        }
        change(&mut deployment);
        if let Err(failure) = self.save_deployment(&deployment, revision).await {
            tracing::error!(%failure, deployment = %id, "the end of the drain could not be stored");
        }
    }

    /// Deletes a settled deployment's record, logs and what its stages left.
    pub(crate) async fn forget_deployment(&self, id: &DeploymentId) -> Result<(), Failure> {
        self.store.delete_deployment(id).await.map_err(|e| e.to_failure())?;
        self.forget_files(vec![id.clone()]).await;
        Ok(())
    }

    /// Removes the logs of deployments and what their stages left. Of those without a record the sweep
    /// removes what cannot be removed now.
    pub(crate) async fn forget_files(&self, ids: Vec<DeploymentId>) {
        let (logs, data_dir) = (self.logs.clone(), self.config.data_dir.clone());
        let removed = tokio::task::spawn_blocking(move || {
            for id in ids {
                if let Err(error) = custom::record::Folder::of(&data_dir, &id).remove() {
                    tracing::warn!(%error, deployment = %id, "what its stages left could not be removed");
                }
                if let Err(error) = logs.remove(&id) {
                    tracing::warn!(%error, deployment = %id, "the logs could not be removed");
                }
            }
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "files of deleted deployments are left to the sweep");
        }
    }

    #[cfg(test)]
    pub(crate) fn queued(&self) -> Result<Vec<(Deployment, u64)>, Failure> {
        let found = self.store.deployments_with_status(DeploymentStatus::Queued);
        Ok(found.map_err(|e| e.to_failure())?.into_iter().map(pair).collect())
    }

    /// What people asked to be cancelled: the intent's id, the deployment, who asked.
    pub(crate) fn cancel_intents(&self) -> Result<Vec<(u64, DeploymentId, String)>, Failure> {
        let cancels = self.intents()?.into_iter().filter_map(|stored| match stored.intent {
            Intent::Cancel { deployment, actor } => Some((stored.id, deployment, actor)),
            Intent::Pause { .. } | Intent::Resume { .. } => None,
        });
        Ok(cancels.collect())
    }

    /// What people asked for, oldest first.
    pub(crate) fn intents(&self) -> Result<Vec<StoredIntent>, Failure> {
        self.store.intents().map_err(|e| e.to_failure())
    }

    pub(crate) async fn remove_intent(&self, id: u64) -> Result<(), Failure> {
        self.store.remove_intent(id).await.map_err(|e| e.to_failure())
    }

    /// All variables of an environment, with their values.
    pub(crate) fn variables(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Vec<Variable>, Failure> {
        self.store.variable_values(project, environment, Phase::Any).map_err(|e| e.to_failure())
    }

    /// The variables that a deployment gets: those that it was begun with, else those that it will be
    /// begun with.
    pub(crate) fn variables_of(&self, deployment: &Deployment) -> Result<Vec<Variable>, Failure> {
        match self.store.env_snapshot(&deployment.id) {
            Ok(Some(kept)) => return Ok(kept),
            Ok(None) => {}
            // The key was lost, and the environment's own may have been set again since.
            Err(error @ StoreError::KeyLost { .. }) => tracing::error!(%error, "not restored"),
            Err(error) => return Err(error.to_failure()),
        }
        if let Kind::Rollback { to, with_its_env: true, .. } = &deployment.kind
            && let Some(kept) = self.store.env_snapshot(to).map_err(|e| e.to_failure())?
        {
            return Ok(kept);
        }
        self.variables(&deployment.project, &deployment.environment)
    }

    /// Stores a deployment that is taken up, with the variables that it gets.
    pub(crate) async fn take_up(
        &self,
        deployment: &Deployment,
        revision: u64,
        variables: Vec<Variable>,
    ) -> Result<u64, Failure> {
        let snapshot = Change::EnvSnapshot(deployment.id.clone(), variables);
        let taken = Change::deployment(deployment.clone(), revision);
        self.store.commit(vec![taken, snapshot]).await.map_err(|e| e.to_failure())
    }

    pub(crate) fn services(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Vec<Service>, Failure> {
        self.store.services(project, environment).map_err(|e| e.to_failure())
    }

    /// Host names of an environment; `*` is the default route.
    pub(crate) fn domains(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Vec<String>, Failure> {
        let domains = self.store.domains(project, environment).map_err(|e| e.to_failure())?;
        Ok(domains.into_iter().map(|domain| domain.host).collect())
    }

    pub(crate) async fn put_plan(&self, digest: &Digest, plan: StoredPlan) -> Result<(), Failure> {
        self.store.put_plan(digest, &plan).await.map_err(|e| e.to_failure())
    }

    /// The plan of a deployment.
    pub(crate) async fn plan(&self, deployment: &Deployment) -> Result<BuildPlan, Failure> {
        let stored = match &deployment.outputs.plan {
            Some(digest) => self.store.plan(digest).map_err(|e| e.to_failure())?,
            None => None,
        };
        stored.map(|stored| stored.plan).ok_or_else(|| missing("plan"))
    }

    /// Whether an instance still runs as it was started: its container does, with the same process.
    pub(crate) async fn still_runs(&self, instance: &Instance) -> Result<bool, Failure> {
        let status = self.runtime.status(&instance.id).await;
        let status = status.map_err(|e| e.failure("the state of a container could not be read"))?;
        Ok(matches!(status, Some(TaskStatus::Running { pid }) if pid == instance.pid))
    }

    /// The last lines of an instance, as many as are shown with a failure.
    pub(crate) fn instance_tail(&self, deployment: &DeploymentId, instance: &str) -> Vec<LogLine> {
        let dir = self.logs.instance_dir(deployment, instance);
        instance_logs::tail(&dir, self.config.limits.failure_log_lines_max)
    }

    /// All that a command in a container of its own has written so far.
    pub(crate) fn instance_lines(&self, deployment: &DeploymentId, instance: &str) -> Vec<LogLine> {
        instance_logs::read(&self.logs.instance_dir(deployment, instance))
    }
}

fn pair(doc: Versioned<Deployment>) -> (Deployment, u64) {
    (doc.value, doc.revision)
}

fn workspace_stays(error: &std::io::Error) -> Failure {
    Failure::host(
        "fetch.workspace",
        "the workspace could not be removed",
        error.to_string(),
        "check the data directory's disk and permissions",
    )
}
