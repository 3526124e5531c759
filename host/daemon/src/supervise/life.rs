//! `stop` and `start`: what a person asked for, carried out by the environment's keeper.
//!
//! Both can be begun again at any point: the record says what was asked until it is done. The deployment's
//! status and the record change in one write, under the route's lock, and never while a deployment takes
//! the route over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;
use windlass_containers::runtime::TaskStatus;
use windlass_model::deployment::Instance;
use windlass_model::running::{
    Action, EnvironmentEvent, EventKind, InstanceState, LiveInstance, Running,
};
use windlass_model::{Deployment, DeploymentStatus, Failure};
use windlass_store::{Change, StoreError};

use super::jobs::{self, Outcome};
use crate::host::Host;
use crate::pipeline::{self, Run, names, retire};
use crate::{failpoint, routes};

/// Between two tries of what must succeed in the end, and two looks whether the route is free.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Does it, until it is done, given up, or cancelled.
pub(super) async fn carry_out(
    host: Arc<Host>,
    deployment: Deployment,
    action: Action,
    cancel: CancellationToken,
) -> Outcome {
    let life = Life { host, deployment };
    let work = async {
        match action {
            Action::Stop => {
                while let Err(failure) = life.stop().await {
                    tracing::error!(%failure, deployment = %life.deployment.id, "not stopped yet");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
            Action::Start => life.start_or_say_why().await,
            // The keeper does it, instance by instance.
            Action::Restart => {}
        }
    };
    tokio::select! {
        () = cancel.cancelled() => Outcome::Cancelled,
        () = work => Outcome::Done,
    }
}

struct Life {
    host: Arc<Host>,
    deployment: Deployment,
}

impl Life {
    async fn stop(&self) -> Result<(), Failure> {
        failpoint::reached("begun:stop");
        // What was just being started is there before the containers are listed.
        drop(self.host.environment_lock(&self.deployment, "instances").await);
        let stopped = {
            let Some(_lock) = self.free_route().await? else { return Ok(()) };
            let stopped = self.turn_over(|deployment, running| {
                let Some(asked) = running.asked.clone().filter(|a| a.action == Action::Stop) else {
                    return false;
                };
                deployment.status = DeploymentStatus::Stopped;
                running.stopped.get_or_insert(asked.by);
                for one in &mut running.instances {
                    one.enter(InstanceState::Leaving);
                }
                true
            });
            let Some(stopped) = stopped.await? else { return Ok(()) };
            routes::publish(&self.host, &stopped.project, &stopped.environment).await?;
            stopped
        };
        failpoint::reached("published:stop");
        self.end_instances().await?;
        failpoint::reached("deleted:stop");
        let (project, environment) = (&stopped.project, &stopped.environment);
        let done = self.host.change_running_and_tell(project, environment, |running, told| {
            let asked = running.asked.clone().filter(|asked| asked.action == Action::Stop);
            if running.deployment != self.deployment.id || asked.is_none() {
                return Ok(None);
            }
            running.instances.clear();
            running.asked = None;
            running.failure = None;
            told.push(EnvironmentEvent::now(EventKind::Stopped, "no instance is left"));
            Ok(Some(()))
        });
        done.await.map(drop)
    }

    /// What is in flight is finished, then every container goes. Who asked for a stop does not wait an
    /// hour for a websocket: what is open after the deadline of plain requests is cut.
    async fn end_instances(&self) -> Result<(), Failure> {
        let (project, environment) = (&self.deployment.project, &self.deployment.environment);
        let running = self.host.running(project, environment)?;
        let instances = running.map(|(running, _)| running.instances).unwrap_or_default();
        if let Some((from, until)) = pipeline::recreate::routed(&instances) {
            let settings = self.deployment.outputs.settings.as_ref();
            let plain_ms = settings.map(|s| s.deploy.drain).unwrap_or_default().plain_ms;
            let route = names::route(project, environment);
            let drained = routes::drained(&self.host, &route, from..=until);
            let _ = tokio::time::timeout(Duration::from_millis(plain_ms), drained).await;
        }
        failpoint::reached("drained:stop");
        let grace = Duration::from_secs(self.host.config.limits.stop_grace_s);
        retire::stop(self.host.runtime.as_ref(), &self.deployment.id, grace).await?;
        retire::delete_instances(&self.host, &self.deployment.id).await
    }

    async fn start_or_say_why(&self) {
        let Err(failure) = self.start().await else { return };
        let undone = retire::delete_instances(&self.host, &self.deployment.id).await;
        if let Err(left) = undone {
            tracing::error!(%left, deployment = %self.deployment.id, "a start left something");
        }
        let (project, environment) = (&self.deployment.project, &self.deployment.environment);
        let given_up = self.host.change_running_and_tell(project, environment, |running, told| {
            let asked = running.asked.clone().filter(|asked| asked.action == Action::Start);
            if running.deployment != self.deployment.id || asked.is_none() {
                return Ok(None);
            }
            running.asked = None;
            running.failure = Some(failure.clone());
            let event = EnvironmentEvent::now(EventKind::StartFailed, failure.to_string());
            told.push(event.because(failure.clone()));
            Ok(Some(()))
        });
        match given_up.await {
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, %failure, "a failed start could not be stored");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }

    /// The steps preflight, start and check of the pipeline, then the route.
    async fn start(&self) -> Result<(), Failure> {
        failpoint::reached("begun:start-again");
        let mut deployment = self.deployment.clone();
        // As the steps see it, it brings its artifact along.
        deployment.status = DeploymentStatus::Stopped;
        let mut run = jobs::run_of(&self.host, deployment)?;
        pipeline::preflight_again(&mut run).await?;
        let (mut run, instances) = start_all(run).await?;
        failpoint::reached("started:start-again");
        if !instances.is_empty() {
            let (plugin, policy) = pipeline::health_policy(&mut run).await?;
            let mut seen = Vec::new();
            pipeline::check_instances(&mut run, &plugin, &policy, &instances, &mut seen).await?;
        }
        failpoint::reached("checked:start-again");
        let Some(_lock) = self.free_route().await? else { return Ok(()) };
        let started = self.turn_over(|deployment, running| {
            if running.asked.as_ref().is_none_or(|asked| asked.action != Action::Start) {
                return false;
            }
            deployment.status = DeploymentStatus::Live;
            let healthy = instances.iter().cloned();
            running.instances = healthy.map(|one| LiveInstance::healthy(one, None)).collect();
            running.stopped = None;
            running.asked = None;
            running.failure = None;
            true
        });
        let Some(started) = started.await? else { return Ok(()) };
        failpoint::reached("stored:start-again");
        // It is live by now; a proxy that does not answer is being started again.
        let (project, environment) = (&started.project, &started.environment);
        while let Err(failure) = routes::publish(&self.host, project, environment).await {
            tracing::error!(%failure, %project, %environment, "the proxy was not told of a start");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        failpoint::reached("published:start-again");
        self.note(EnvironmentEvent::now(EventKind::Started, "it answers again")).await;
        Ok(())
    }

    /// The route's lock, once no deployment takes it over; none when another deployment is live by then.
    async fn free_route(&self) -> Result<Option<OwnedMutexGuard<()>>, Failure> {
        let (project, environment) = (&self.deployment.project, &self.deployment.environment);
        let route = names::route(project, environment);
        loop {
            let lock = self.host.environment_lock(&self.deployment, "route").await;
            let running = self.host.running(project, environment)?;
            if running.is_none_or(|(running, _)| running.deployment != self.deployment.id) {
                return Ok(None);
            }
            if !routes::taken_over(&self.host)?.contains(&route) {
                return Ok(Some(lock));
            }
            drop(lock);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Changes the deployment and the record in one write, if the record is still this deployment's.
    async fn turn_over(
        &self,
        change: impl Fn(&mut Deployment, &mut Running) -> bool + Send + Sync,
    ) -> Result<Option<Running>, Failure> {
        let (project, environment) = (&self.deployment.project, &self.deployment.environment);
        loop {
            let found = self.host.deployment(&self.deployment.id)?;
            let running = self.host.running(project, environment)?;
            let (Some((mut deployment, at)), Some((mut running, revision))) = (found, running)
            else {
                return Ok(None);
            };
            if running.deployment != deployment.id || !change(&mut deployment, &mut running) {
                return Ok(None);
            }
            let changes = vec![
                Change::deployment(deployment, at),
                Change::Running(Box::new(running.clone()), Some(revision)),
            ];
            match self.host.store.commit(changes).await {
                Ok(_) => return Ok(Some(running)),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.to_failure()),
            }
        }
    }

    async fn note(&self, mut event: EnvironmentEvent) {
        event.deployment = Some(self.deployment.id.clone());
        self.host.note(&self.deployment.project, &self.deployment.environment, event).await;
    }
}

/// Starts what is wanted, in a task of its own: what the runtime was asked for is not cut off half way
/// when the start is cancelled.
async fn start_all(run: Run) -> Result<(Run, Vec<Instance>), Failure> {
    let work = async move {
        let _lock = run.host.environment_lock(&run.deployment, "instances").await;
        let running = run.host.running(&run.deployment.project, &run.deployment.environment)?;
        let wanted = running.and_then(|(running, _)| running.asked);
        if wanted.is_none_or(|asked| asked.action != Action::Start) {
            return Ok((run, Vec::new()));
        }
        // What an earlier try left running is adopted by its name; what ended is made anew.
        let left = run.host.runtime.list(&names::deployment_labels(&run.deployment.id)).await;
        for container in left.map_err(|e| e.failure("the containers could not be listed"))? {
            if !matches!(container.status, TaskStatus::Running { .. }) {
                let deleted = run.host.runtime.delete(&container.id).await;
                deleted.map_err(|e| e.failure("a container could not be deleted"))?;
            }
        }
        let instances = pipeline::start_all(&run, run.artifact()?).await?;
        Ok((run, instances))
    };
    tokio::spawn(work).await.unwrap_or_else(|panic| Err(jobs::defect(&panic)))
}
