//! The keeper of one environment: its jobs, and the only writer of how its instances stand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windlass_model::deployment::Instance;
use windlass_model::running::{
    Action, Asked, EnvironmentEvent, EventKind, InstanceState, LiveInstance, Running,
};
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, Failure, Timestamp};

use super::exits::{self, End};
use super::jobs::{self, Outcome};
use super::{Place, life, plan};
use crate::host::Host;
use crate::routes;

/// A turn that could not be done is tried again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The key of the job that does what a person asked for; instances' ids are never empty.
const LIFE: &str = "";

/// Keeps an environment until it has no record any more.
pub(super) async fn keep(host: Arc<Host>, place: Place, notify: Arc<Notify>) {
    let mut keeper = Keeper {
        host,
        place,
        deployment: None,
        jobs: JoinSet::new(),
        busy: HashMap::new(),
        last: HashMap::new(),
        unpublished: false,
    };
    loop {
        let again = match keeper.turn().await {
            Ok(true) => None,
            Ok(false) => return,
            Err(failure) => {
                tracing::error!(%failure, place = ?keeper.place, "an environment could not be kept");
                Some(AGAIN_AFTER)
            }
        };
        tokio::select! {
            () = notify.notified() => {}
            () = tokio::time::sleep(again.unwrap_or(Duration::MAX)), if again.is_some() => {}
            Some(ended) = keeper.jobs.join_next_with_id(), if !keeper.jobs.is_empty() => {
                let (job, outcome) = match ended {
                    Ok((job, outcome)) => (job, Some(outcome)),
                    Err(panic) => (panic.id(), None),
                };
                keeper.job_ended(job, outcome).await;
            }
        }
    }
}

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Watch,
    Rest,
    Start,
    Leave,
    Life(Action),
}

struct Busy {
    job: tokio::task::Id,
    kind: Kind,
    cancel: CancellationToken,
}

struct Keeper {
    host: Arc<Host>,
    place: Place,
    /// Whose jobs these are.
    deployment: Option<DeploymentId>,
    jobs: JoinSet<Outcome>,
    /// By instance.
    busy: HashMap<String, Busy>,
    /// What an outcome that could not be stored was, by instance: it is stored first.
    last: HashMap<String, Outcome>,
    /// The proxy was not told of the last change.
    unpublished: bool,
}

impl Keeper {
    /// Looks at the record and begins what is to be done; false when there is no record any more.
    async fn turn(&mut self) -> Result<bool, Failure> {
        let unstored: Vec<(String, Outcome)> = self.last.drain().collect();
        let mut failed = None;
        for (id, outcome) in unstored {
            failed = self.settle(id, outcome).await.err().or(failed);
        }
        if let Some(failure) = failed {
            return Err(failure);
        }
        if self.unpublished {
            self.publish().await?;
        }
        let (project, environment) = self.place.clone();
        let Some((running, _)) = self.host.running(&project, &environment)? else {
            self.cancel_all();
            return Ok(false);
        };
        if self.deployment.as_ref() != Some(&running.deployment) {
            self.cancel_all();
            self.deployment = Some(running.deployment.clone());
        }
        let Some((deployment, _)) = self.host.deployment(&running.deployment)? else {
            return Ok(true);
        };
        let ours = matches!(deployment.status, DeploymentStatus::Live | DeploymentStatus::Stopped);
        if !ours || running.recreating.is_some() {
            self.cancel_all();
            return Ok(true);
        }
        match &running.asked {
            Some(Asked { action: action @ (Action::Stop | Action::Start), .. }) => {
                self.live_up_to(*action, deployment);
            }
            // What was asked for is recorded as done before its job has told everybody: it ends by itself.
            _ if self.busy.contains_key(LIFE) => {}
            _ if running.stopped.is_some() => self.cancel_all(),
            _ => self.keep_instances(deployment).await?,
        }
        Ok(true)
    }

    /// Does what a person asked for, once nothing else is done.
    fn live_up_to(&mut self, action: Action, deployment: Deployment) {
        let kind = Kind::Life(action);
        for busy in self.busy.values().filter(|busy| busy.kind != kind) {
            busy.cancel.cancel();
        }
        if self.busy.is_empty() {
            let (host, cancel) = (self.host.clone(), CancellationToken::new());
            let work = life::carry_out(host, deployment, action, cancel.clone());
            self.begin(LIFE.to_owned(), kind, cancel, work);
        }
    }

    /// Adds and removes instances by the number that is wanted, and gives each its job.
    async fn keep_instances(&mut self, deployment: Deployment) -> Result<(), Failure> {
        let (project, environment) = self.place.clone();
        let changed = self.host.change_running_and_tell(&project, &environment, |running, told| {
            let ours = running.deployment == deployment.id && running.stopped.is_none();
            if !ours || running.recreating.is_some() {
                return Ok(None);
            }
            plan::apply(running, &deployment);
            if let Some(asked) = restarted(running) {
                let event =
                    EnvironmentEvent::now(EventKind::Restarted, "every instance was replaced");
                told.push(event.by(asked.by.actor));
            }
            Ok(Some(running.clone()))
        });
        let Some(running) = changed.await? else {
            return Ok(());
        };
        for one in &running.instances {
            self.mind(&deployment, one);
        }
        let known = |id: &String| running.instances.iter().any(|one| one.instance.id == *id);
        for (_, busy) in self.busy.iter().filter(|(id, _)| !known(id)) {
            busy.cancel.cancel();
        }
        Ok(())
    }

    /// Begins the job that an instance needs in its state, unless it is being done.
    fn mind(&mut self, deployment: &Deployment, one: &LiveInstance) {
        let id = one.instance.id.clone();
        let kind = match one.state {
            InstanceState::Starting => Kind::Start,
            InstanceState::Running => Kind::Watch,
            InstanceState::BackingOff | InstanceState::CrashLooping => Kind::Rest,
            InstanceState::Leaving => Kind::Leave,
        };
        if let Some(busy) = self.busy.get(&id) {
            if busy.kind != kind {
                // Its end is the next turn.
                busy.cancel.cancel();
            }
            return;
        }
        let (host, deployment) = (self.host.clone(), deployment.clone());
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        match kind {
            Kind::Watch => {
                self.begin(
                    id,
                    kind,
                    cancel,
                    jobs::watch(host, deployment, one.instance.clone(), stop),
                );
            }
            Kind::Rest => {
                let now = Timestamp::now();
                let left = one.retry_at.map(|at| at.duration_since(now));
                let left = left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default();
                self.begin(id, kind, cancel, jobs::rest(left, stop));
            }
            Kind::Start => {
                self.begin(id, kind, cancel, jobs::start(host, deployment, one.clone(), stop));
            }
            Kind::Leave | Kind::Life(_) => {
                self.begin(id.clone(), kind, cancel, jobs::leave(host, deployment, id, stop));
            }
        }
    }

    fn begin<F>(&mut self, id: String, kind: Kind, cancel: CancellationToken, work: F)
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let job = self.jobs.spawn(work).id();
        self.busy.insert(id, Busy { job, kind, cancel });
    }

    fn cancel_all(&mut self) {
        self.last.clear();
        for busy in self.busy.values() {
            busy.cancel.cancel();
        }
    }

    async fn job_ended(&mut self, job: tokio::task::Id, outcome: Option<Outcome>) {
        let found = self.busy.iter().find(|(_, busy)| busy.job == job).map(|(id, _)| id.clone());
        let Some(id) = found else { return };
        let busy = self.busy.remove(&id);
        let Some(outcome) = outcome else {
            // A defect; the state asks for the job again.
            tracing::error!(instance = id, "a job of the supervisor ended by a defect");
            tokio::time::sleep(AGAIN_AFTER).await;
            return;
        };
        if busy.is_some_and(|busy| busy.cancel.is_cancelled()) {
            return;
        }
        if let Err(failure) = self.settle(id, outcome).await {
            tracing::error!(%failure, "how an instance ended could not be stored; it is tried again");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    /// Stores how a job ended, and tells the proxy.
    async fn settle(&mut self, id: String, outcome: Outcome) -> Result<(), Failure> {
        let settled = match &outcome {
            Outcome::Cancelled | Outcome::Done => Ok(()),
            Outcome::Ended(end) => self.ended(&id, None, end).await,
            Outcome::Lost => self.lost(&id).await,
            Outcome::Rested => self.again(&id).await,
            Outcome::Started(Some(instance), Ok(())) => self.started(instance).await,
            Outcome::Started(instance, Err(end)) => self.ended(&id, instance.clone(), end).await,
            Outcome::Started(None, Ok(())) => Ok(()),
            Outcome::Left => self
                .change(|running, _| {
                    running.instances.retain(|one| one.instance.id != id);
                    Some(())
                })
                .await
                .map(drop),
        };
        if settled.is_err() {
            self.last.insert(id, outcome);
        }
        settled
    }

    /// Changes the record, unless it is another deployment's by now.
    async fn change<T: Send>(
        &self,
        mut change: impl FnMut(&mut Running, &mut Vec<EnvironmentEvent>) -> Option<T> + Send,
    ) -> Result<Option<T>, Failure> {
        let (project, environment) = &self.place;
        let ours = self.deployment.clone();
        self.host
            .change_running_and_tell(project, environment, |running, told| {
                let is_ours = ours.as_ref() == Some(&running.deployment);
                Ok(if is_ours { change(running, told) } else { None })
            })
            .await
    }

    async fn publish(&mut self) -> Result<(), Failure> {
        let (project, environment) = &self.place;
        self.unpublished = true;
        routes::publish_unless_taken(&self.host, project, environment).await?;
        self.unpublished = false;
        Ok(())
    }

    /// The next turn tries it again.
    async fn publish_or_say(&mut self) {
        if let Err(failure) = self.publish().await {
            tracing::error!(%failure, place = ?self.place, "the proxy was not told of an instance");
        }
    }

    /// An instance ended, or does not answer: it leaves the route at once, and its pause begins.
    async fn ended(
        &mut self,
        id: &str,
        started: Option<Instance>,
        end: &End,
    ) -> Result<(), Failure> {
        let Some(deployment) = self.deployment.clone() else { return Ok(()) };
        let limits = self.host.config.limits.clone();
        let settings = self.host.deployment(&deployment)?.and_then(|(d, _)| d.outputs.settings);
        let memory = settings.and_then(|settings| settings.run.memory_bytes);
        let memory = memory.unwrap_or(limits.instance.memory_bytes_max);
        let at = match end {
            End::Exited(exit) => exit.at,
            End::Unwell(_) => Timestamp::now(),
        };
        let changed = self.change(|running, told| {
            let rolling = running.asked.clone().filter(|asked| asked.action == Action::Restart);
            let one = running.instance_mut(id)?;
            if let Some(started) = &started {
                one.instance = started.clone();
            }
            let was_starting = one.state == InstanceState::Starting;
            exits::ended(one, end, at, &limits);
            let lines = self.host.instance_tail(&deployment, &one.name());
            let failure = exits::failure(one, end, memory, lines);
            one.failure = Some(failure.clone());
            told.push(exits::event(one, end, failure.clone()));
            let fresh = !one.outdated;
            if let Some(asked) = rolling.filter(|_| was_starting && fresh) {
                let message = "the restart was given up; see the failure";
                let event = EnvironmentEvent::now(EventKind::RestartFailed, message);
                told.push(event.by(asked.by.actor).because(failure.clone()));
                give_up_restart(running, id, failure);
            }
            Some(())
        });
        if changed.await?.is_some() {
            self.publish_or_say().await;
        }
        Ok(())
    }

    /// The machine was started anew: that is no fault of the application, and it is started at once.
    async fn lost(&mut self, id: &str) -> Result<(), Failure> {
        let changed = self.change(|running, _| {
            let one = running.instance_mut(id)?;
            one.healthy_since = None;
            one.restarts += 1;
            one.enter(InstanceState::Starting);
            Some(())
        });
        if changed.await?.is_some() {
            self.publish_or_say().await;
        }
        Ok(())
    }

    async fn again(&self, id: &str) -> Result<(), Failure> {
        let changed = self.change(|running, _| {
            let one = running.instance_mut(id)?;
            one.restarts += 1;
            one.retry_at = None;
            one.enter(InstanceState::Starting);
            Some(())
        });
        changed.await.map(drop)
    }

    async fn started(&mut self, instance: &Instance) -> Result<(), Failure> {
        let changed = self.change(|running, told| {
            let one = running.instance_mut(&instance.id)?;
            if one.state != InstanceState::Starting {
                return None;
            }
            one.instance = instance.clone();
            one.healthy_since = Some(Timestamp::now());
            one.failure = None;
            one.routed_from = None;
            one.routed_until = None;
            one.enter(InstanceState::Running);
            if one.restarts > 0 {
                let message = format!("{} runs again", one.name());
                told.push(EnvironmentEvent::now(EventKind::Recovered, message).of(one.name()));
            }
            Some(())
        });
        if changed.await?.is_some() {
            self.publish_or_say().await;
        }
        Ok(())
    }
}

/// A fresh instance did not start. With old ones still there they go on, and the fresh one goes; without,
/// it is started again and again like any other.
fn give_up_restart(running: &mut Running, id: &str, failure: Failure) {
    let process = running.instance_mut(id).map(|one| one.instance.process.clone());
    let has_old = running.instances.iter().any(|one| {
        one.outdated && Some(&one.instance.process) == process.as_ref() && one.instance.pid != 0
    });
    if has_old && let Some(one) = running.instance_mut(id) {
        one.enter(InstanceState::Leaving);
    }
    for one in &mut running.instances {
        one.outdated = false;
    }
    running.asked = None;
    running.failure = Some(failure);
}

/// Ends a restart of which nothing is left to do.
fn restarted(running: &mut Running) -> Option<Asked> {
    running.asked.as_ref().filter(|asked| asked.action == Action::Restart)?;
    let open = |one: &LiveInstance| {
        one.outdated || matches!(one.state, InstanceState::Starting | InstanceState::Leaving)
    };
    if running.instances.iter().any(open) {
        return None;
    }
    running.asked.take()
}
