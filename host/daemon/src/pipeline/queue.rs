//! The queue: which deployments run now, and what people asked of them.
//!
//! One loop takes up intents and starts runners. Per environment one deployment runs at a time and the
//! newest waiting one wins; over all projects at most `deployments_running_max` run, and the project
//! with the fewest running comes first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use windlass_model::deployment::CancelReason;
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, Failure, StepStatus, Timestamp};

use super::{prune, retire, runner};
use crate::host::Host;

/// The loop looks at least this often, should a wake-up ever get lost.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Pause before stuck deployments are cleaned up again; it doubles.
const STUCK_AGAIN_AFTER: Duration = Duration::from_secs(30);
const STUCK_AGAIN_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Pause before a deployment whose end could not be stored is taken up again; it doubles.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);

/// Runs until the host stops. Deployments that an earlier host left `running` are taken up first.
pub(crate) async fn work(host: Arc<Host>) {
    let mut queue = Queue { host, running: HashMap::new(), jobs: JoinSet::new() };
    queue.resume();
    let (mut stuck_at, mut stuck_pause) = (Instant::now() + STUCK_AGAIN_AFTER, STUCK_AGAIN_AFTER);
    loop {
        if Instant::now() >= stuck_at {
            // What kept it from being cleaned up may be over: a full disk, for instance.
            let any = queue.try_stuck_again();
            let longer = (stuck_pause * 2).min(STUCK_AGAIN_AFTER_MAX);
            stuck_pause = if any { longer } else { STUCK_AGAIN_AFTER };
            stuck_at = Instant::now() + stuck_pause;
        }
        if let Err(failure) = queue.turn().await {
            tracing::error!(%failure, "the queue could not be worked on; it will be tried again");
        }
        tokio::select! {
            () = queue.host.wake.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(ended) = queue.jobs.join_next(), if !queue.jobs.is_empty() => {
                queue.ended(ended);
            }
        }
    }
}

struct Running {
    project: String,
    environment: String,
    ticket: runner::Ticket,
}

struct Queue {
    host: Arc<Host>,
    running: HashMap<DeploymentId, Running>,
    jobs: JoinSet<DeploymentId>,
}

impl Queue {
    /// Takes up what was running or draining when the host went down.
    fn resume(&mut self) {
        let unsettled = self.host.unsettled().unwrap_or_else(|failure| {
            tracing::error!(%failure, "the deployments of before could not be read");
            Vec::new()
        });
        for (deployment, revision) in unsettled {
            match deployment.status {
                DeploymentStatus::Running => self.spawn(deployment, revision),
                DeploymentStatus::Draining => {
                    tokio::spawn(retire::retire(self.host.clone(), deployment.id));
                }
                _ => {}
            }
        }
        self.try_stuck_again();
    }

    /// Whether there was one.
    fn try_stuck_again(&mut self) -> bool {
        let stuck = self.host.stuck().unwrap_or_default();
        let any = !stuck.is_empty();
        for (deployment, revision) in stuck {
            self.try_again(deployment, revision);
        }
        any
    }

    /// A stuck deployment is cleaned up again at each start and at intervals: by its undo, or by its retirement if it was
    /// live once.
    fn try_again(&mut self, mut deployment: Deployment, revision: u64) {
        if deployment.live_at.is_none() {
            deployment.status = DeploymentStatus::Running;
            self.spawn(deployment, revision);
            return;
        }
        let host = self.host.clone();
        tokio::spawn(async move {
            deployment.status = DeploymentStatus::Draining;
            match host.save_deployment(&deployment, revision).await {
                Ok(_) => retire::retire(host, deployment.id).await,
                Err(failure) => tracing::error!(%failure, "a stuck deployment stays as it is"),
            }
        });
    }

    async fn turn(&mut self) -> Result<(), Failure> {
        self.take_intents().await?;
        let mut waiting: Vec<(Deployment, u64)> = self.host.queued()?;
        // Oldest first. Numbers are given in order within a project; ids sort by time across projects.
        waiting.sort_by_key(|(deployment, _)| (deployment.number, deployment.id.clone()));
        let waiting = self.supersede(waiting).await?;
        let free =
            self.host.config.limits.deployments_running_max.saturating_sub(self.running.len());
        for (deployment, revision) in self.choose(waiting, free) {
            self.spawn(deployment, revision);
        }
        Ok(())
    }

    /// Of several waiting deployments of one environment only the newest stays.
    async fn supersede(
        &self,
        waiting: Vec<(Deployment, u64)>,
    ) -> Result<Vec<(Deployment, u64)>, Failure> {
        let mut newest: HashMap<(String, String), DeploymentId> = HashMap::new();
        for (deployment, _) in &waiting {
            newest.insert(slot(deployment), deployment.id.clone());
        }
        let mut kept = Vec::new();
        for (deployment, revision) in waiting {
            match newest.get(&slot(&deployment)) {
                Some(by) if *by != deployment.id => {
                    let reason = CancelReason::Superseded { by: by.clone() };
                    self.cancel_queued(deployment, revision, reason).await?;
                }
                _ => kept.push((deployment, revision)),
            }
        }
        Ok(kept)
    }

    /// Those that may start now: their environment is free, and their project has its turn.
    fn choose(&self, waiting: Vec<(Deployment, u64)>, free: usize) -> Vec<(Deployment, u64)> {
        let mut per_project: HashMap<String, usize> = HashMap::new();
        for running in self.running.values() {
            *per_project.entry(running.project.clone()).or_default() += 1;
        }
        let busy = |deployment: &Deployment| {
            let (project, environment) = slot(deployment);
            self.running.values().any(|r| r.project == project && r.environment == environment)
        };
        let mut candidates: Vec<(Deployment, u64)> =
            waiting.into_iter().filter(|(deployment, _)| !busy(deployment)).collect();
        let mut chosen = Vec::new();
        while chosen.len() < free && !candidates.is_empty() {
            let load = |d: &Deployment| per_project.get(d.project.as_str()).copied().unwrap_or(0);
            let next = (0..candidates.len())
                .min_by_key(|n| (load(&candidates[*n].0), candidates[*n].0.id.clone()))
                .unwrap_or(0);
            let taken = candidates.remove(next);
            *per_project.entry(taken.0.project.to_string()).or_default() += 1;
            chosen.push(taken);
        }
        chosen
    }

    fn spawn(&mut self, deployment: Deployment, revision: u64) {
        let id = deployment.id.clone();
        let ticket = runner::Ticket::new();
        let (project, environment) = slot(&deployment);
        self.running.insert(id.clone(), Running { project, environment, ticket: ticket.clone() });
        let host = self.host.clone();
        self.jobs.spawn(async move {
            to_its_end(host, deployment, revision, ticket).await;
            id
        });
    }

    fn ended(&mut self, ended: Result<DeploymentId, tokio::task::JoinError>) {
        let Ok(id) = ended else { return };
        self.running.remove(&id);
        let Ok(Some((deployment, _))) = self.host.deployment(&id) else {
            return;
        };
        if deployment.status == DeploymentStatus::Live
            && let Some(old) = deployment.outputs.replaced
        {
            tokio::spawn(retire::retire(self.host.clone(), old));
        }
        tokio::spawn(prune::environment(
            self.host.clone(),
            deployment.project,
            deployment.environment,
        ));
    }

    /// Does what people asked for. An intent is removed only after its effect is stored: the one to
    /// cancel a running deployment stays until that has ended, so a crash in between loses nothing.
    async fn take_intents(&self) -> Result<(), Failure> {
        for (key, id, actor) in self.host.cancel_intents()? {
            let reason = CancelReason::Person { actor };
            if let Some(running) = self.running.get(&id) {
                running.ticket.cancel(reason);
                continue;
            }
            if let Some((deployment, revision)) = self.host.deployment(&id)?
                && deployment.status == DeploymentStatus::Queued
            {
                self.cancel_queued(deployment, revision, reason).await?;
            }
            self.host.remove_intent(key).await?;
        }
        Ok(())
    }

    async fn cancel_queued(
        &self,
        mut deployment: Deployment,
        revision: u64,
        reason: CancelReason,
    ) -> Result<(), Failure> {
        deployment.status = DeploymentStatus::Cancelled;
        deployment.cancelled = Some(reason);
        deployment.ended_at = Some(Timestamp::now());
        for step in &mut deployment.steps {
            step.status = StepStatus::Cancelled;
        }
        self.host.save_deployment(&deployment, revision).await.map(|_| ())
    }
}

/// Runs a deployment until its end is stored. A run that ends without one (a panic, a store that takes
/// nothing) is followed by another, ever later; meanwhile the environment's slot stays taken.
async fn to_its_end(
    host: Arc<Host>,
    mut deployment: Deployment,
    mut revision: u64,
    ticket: runner::Ticket,
) {
    let id = deployment.id.clone();
    let mut pause = AGAIN_AFTER;
    loop {
        // A task of its own: a panic in a step ends that run, not the bookkeeping.
        let run = runner::run(host.clone(), deployment.clone(), revision, ticket.clone());
        let panic = tokio::spawn(run).await.err();
        match host.deployment(&id) {
            Ok(Some((now, at))) => {
                if !matches!(now.status, DeploymentStatus::Queued | DeploymentStatus::Running) {
                    return;
                }
                (deployment, revision) = (now, at);
            }
            Ok(None) => return,
            Err(failure) => tracing::error!(%failure, deployment = %id, "it cannot be read"),
        }
        if let Some(panic) = panic {
            tracing::error!(%panic, deployment = %id, "a step ended by a defect");
            runner::panicked(&mut deployment, &panic.to_string());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_AFTER_MAX);
    }
}

fn slot(deployment: &Deployment) -> (String, String) {
    (deployment.project.to_string(), deployment.environment.to_string())
}
