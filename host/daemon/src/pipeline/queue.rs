//! The queue: which deployments run now, and what people asked of them.
//!
//! One loop takes up intents and starts runners. Per environment one deployment runs at a time and the
//! newest waiting one wins; over all projects at most `deployments_running_max` run, in the order of
//! [`fairness`]. One that a person halted keeps its environment's slot and gives its runner back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use windlass_model::deployment::CancelReason;
use windlass_model::project::Intent;
use windlass_model::settings::Supersede;
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, Failure, StepStatus, Timestamp};
use windlass_store::{Brief, Change};

use super::ticket::Ticket;
use super::{fairness, prune, retire, runner};
use crate::host::Host;

#[cfg(test)]
mod tests;

/// The loop looks at least this often, should a wake-up ever get lost.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Pause before stuck deployments are cleaned up again; it doubles.
const STUCK_AGAIN_AFTER: Duration = Duration::from_secs(30);
const STUCK_AGAIN_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Pause before a deployment whose end could not be stored is taken up again; it doubles.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);
/// Superseded deployments in one commit: it bounds the time that other writers wait.
const CANCELLED_AT_ONCE: usize = 50;

/// Runs until the host stops. Deployments that an earlier host left `running` are taken up first.
pub(crate) async fn work(host: Arc<Host>) {
    let (running, jobs, owed) = (HashMap::new(), JoinSet::new(), prune::Owed::default());
    let mut queue = Queue { host, running, jobs, owed };
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
    brief: Arc<Brief>,
    ticket: Ticket,
}

struct Queue {
    host: Arc<Host>,
    running: HashMap<DeploymentId, Running>,
    jobs: JoinSet<DeploymentId>,
    /// Environments whose retention could not be applied yet.
    owed: prune::Owed,
}

impl Queue {
    /// Takes up what was running or draining when the host went down. What was halted stays so.
    fn resume(&mut self) {
        let unsettled = self.host.unsettled().unwrap_or_else(|failure| {
            tracing::error!(%failure, "the deployments of before could not be read");
            Vec::new()
        });
        for (deployment, revision) in unsettled {
            match deployment.status {
                DeploymentStatus::Running => self.spawn(deployment, revision, Ticket::new()),
                DeploymentStatus::Draining => drop(tokio::spawn(self.retire(deployment))),
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
            self.spawn(deployment, revision, Ticket::new());
            return;
        }
        deployment.status = DeploymentStatus::Draining;
        let (host, retire) = (self.host.clone(), self.retire(deployment.clone()));
        tokio::spawn(async move {
            match host.save_deployment(&deployment, revision).await {
                Ok(_) => retire.await,
                Err(failure) => tracing::error!(%failure, "a stuck deployment stays as it is"),
            }
        });
    }

    /// Retires a draining deployment, and prunes then: it is a target for rollback from here on.
    fn retire(&self, deployment: Deployment) -> impl Future<Output = ()> + Send + use<> {
        let (host, owed) = (self.host.clone(), self.owed.clone());
        async move {
            retire::retire(host.clone(), deployment.id).await;
            let Deployment { project, environment, .. } = deployment;
            prune::environment(host, owed, project, environment).await;
        }
    }

    async fn turn(&mut self) -> Result<(), Failure> {
        self.take_intents().await?;
        let waiting = self.host.briefs(DeploymentStatus::Queued)?;
        self.supersede(&waiting).await?;
        self.supersede_running(&waiting)?;
        let held = self.host.briefs(DeploymentStatus::Paused)?;
        let running: Vec<Arc<Brief>> = self.running.values().map(|r| r.brief.clone()).collect();
        for brief in fairness::order(&waiting, &running, &held).into_iter().take(self.free()) {
            if let Some((deployment, revision)) = self.host.deployment(&brief.id)?
                && deployment.status == DeploymentStatus::Queued
            {
                self.spawn(deployment, revision, Ticket::new());
            }
        }
        Ok(())
    }

    /// Runners that have nothing to do.
    fn free(&self) -> usize {
        self.host.config.limits.deployments_running_max.saturating_sub(self.running.len())
    }

    /// Of several waiting deployments of one environment only the newest stays.
    async fn supersede(&self, waiting: &[Arc<Brief>]) -> Result<(), Failure> {
        let newest = fairness::newest(waiting);
        let mut superseded = Vec::new();
        for brief in waiting {
            let by = newest.get(&fairness::slot(brief));
            if let Some(by) = by.filter(|by| by.id != brief.id) {
                superseded.push((&brief.id, by.id.clone()));
            }
        }
        for some in superseded.chunks(CANCELLED_AT_ONCE) {
            let mut changes = Vec::with_capacity(some.len());
            for (id, by) in some {
                if let Some((mut deployment, revision)) = self.host.deployment(id)?
                    && deployment.status == DeploymentStatus::Queued
                {
                    end_queued(&mut deployment, CancelReason::Superseded { by: by.clone() });
                    changes.push(Change::deployment(deployment, revision));
                }
            }
            self.host.store.commit(changes).await.map_err(|e| e.to_failure())?;
        }
        Ok(())
    }

    /// Where the settings say so, a newer waiting deployment ends the one that runs.
    fn supersede_running(&self, waiting: &[Arc<Brief>]) -> Result<(), Failure> {
        let newest = fairness::newest(waiting);
        for running in self.running.values() {
            let brief = &running.brief;
            let Some(by) = newest.get(&fairness::slot(brief)) else { continue };
            let Some((deployment, _)) = self.host.deployment(&brief.id)? else { continue };
            let settings = deployment.outputs.settings.as_ref();
            if by.number > brief.number
                && settings.is_some_and(|s| s.deploy.supersede == Supersede::Running)
            {
                running.ticket.supersede(by.id.clone());
            }
        }
        Ok(())
    }

    fn spawn(&mut self, deployment: Deployment, revision: u64, ticket: Ticket) {
        let id = deployment.id.clone();
        let brief = Arc::new(Brief::from(&deployment));
        self.running.insert(id.clone(), Running { brief, ticket: ticket.clone() });
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
        if deployment.status == DeploymentStatus::Paused {
            return;
        }
        if deployment.status == DeploymentStatus::Live
            && let Some(old) = &deployment.outputs.replaced
            && let Ok(Some((old, _))) = self.host.deployment(old)
        {
            tokio::spawn(self.retire(old));
        }
        let Deployment { project, environment, .. } = deployment;
        tokio::spawn(prune::environment(
            self.host.clone(),
            self.owed.clone(),
            project,
            environment,
        ));
    }

    /// Does what people asked for. An intent is removed only after its effect is stored: the one to
    /// cancel or halt a running deployment stays until that has ended or halted, so a crash in between
    /// loses nothing.
    async fn take_intents(&mut self) -> Result<(), Failure> {
        let intents = self.host.intents()?;
        for stored in &intents {
            let is_done = match &stored.intent {
                Intent::Cancel { deployment, actor } => {
                    let reason = CancelReason::Person { actor: actor.clone() };
                    self.cancel(deployment, reason).await?
                }
                Intent::Pause { deployment, actor } => {
                    // Taken back by a later wish to go on.
                    let taken_back = intents.iter().any(|later| {
                        later.id > stored.id
                            && matches!(&later.intent, Intent::Resume { deployment: id, .. } if id == deployment)
                    });
                    taken_back || self.pause(deployment, actor)
                }
                Intent::Resume { deployment, .. } => self.go_on(deployment)?,
            };
            if is_done {
                self.host.remove_intent(stored.id).await?;
            }
        }
        Ok(())
    }

    /// Ends a deployment; whether nothing is left to do for it.
    async fn cancel(&mut self, id: &DeploymentId, reason: CancelReason) -> Result<bool, Failure> {
        if let Some(running) = self.running.get(id) {
            running.ticket.cancel(reason);
            return Ok(false);
        }
        match self.host.deployment(id)? {
            Some((mut deployment, revision)) if deployment.status == DeploymentStatus::Queued => {
                end_queued(&mut deployment, reason);
                self.host.save_deployment(&deployment, revision).await?;
                Ok(true)
            }
            // What it has begun is undone by a runner; it waits for no turn.
            Some((deployment, revision)) if deployment.status == DeploymentStatus::Paused => {
                let ticket = Ticket::new();
                ticket.cancel(reason);
                self.spawn(deployment, revision, ticket);
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    fn pause(&self, id: &DeploymentId, actor: &str) -> bool {
        match self.running.get(id) {
            Some(running) => {
                running.ticket.pause(actor.to_owned());
                false
            }
            None => true,
        }
    }

    /// Goes on with one that was halted, as soon as a runner is free.
    fn go_on(&mut self, id: &DeploymentId) -> Result<bool, Failure> {
        let found = self.host.deployment(id)?;
        let is_paused = found.as_ref().is_some_and(|(d, _)| d.status == DeploymentStatus::Paused);
        if let Some(running) = self.running.get(id) {
            running.ticket.go_on();
            return Ok(!is_paused);
        }
        match found {
            Some((deployment, revision)) if is_paused => {
                if self.free() > 0 {
                    self.spawn(deployment, revision, Ticket::new());
                }
                Ok(false)
            }
            _ => Ok(true),
        }
    }
}

/// Ends one that no runner has taken.
fn end_queued(deployment: &mut Deployment, reason: CancelReason) {
    deployment.status = DeploymentStatus::Cancelled;
    deployment.cancelled = Some(reason);
    deployment.ended_at = Some(Timestamp::now());
    for step in &mut deployment.steps {
        step.status = StepStatus::Cancelled;
    }
}

/// Runs a deployment until its end is stored. A run that ends without one (a panic, a store that takes
/// nothing) is followed by another, ever later; meanwhile the environment's slot stays taken.
async fn to_its_end(
    host: Arc<Host>,
    mut deployment: Deployment,
    mut revision: u64,
    ticket: Ticket,
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
