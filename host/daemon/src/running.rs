//! The host's view of what runs: the record [`Running`] of an environment, and its events.
//!
//! **Invariant: the record changes by compare-and-set**, so that the supervisor, the handlers and the
//! runner never overwrite one another.

use windlass_model::deployment::Instance;
use windlass_model::event::Event;
use windlass_model::running::{EnvironmentEvent, Running};
use windlass_model::{Deployment, EnvironmentName, Failure, ProjectName};
use windlass_store::StoreError;

use crate::host::Host;

impl Host {
    /// What runs in an environment, with its revision; none before its first live deployment.
    pub(crate) fn running(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Option<(Running, u64)>, Failure> {
        let found = self.store.running(project, environment).map_err(|e| e.to_failure())?;
        Ok(found.map(|doc| (doc.value, doc.revision)))
    }

    /// The present instances of a deployment: those that run now when it is live, else those that its
    /// step `start` made. An instance that was never started is not among them.
    ///
    /// # Errors
    /// The store's.
    pub fn instances(&self, deployment: &Deployment) -> Result<Vec<Instance>, Failure> {
        let running = self.running(&deployment.project, &deployment.environment)?;
        Ok(match running {
            Some((running, _)) if running.deployment == deployment.id => {
                let started = running.instances.into_iter().map(|one| one.instance);
                started.filter(|instance| instance.pid != 0).collect()
            }
            _ => deployment.outputs.instances.clone(),
        })
    }

    /// Changes what runs in an environment and stores it, if there is a record and `change` gives a
    /// value. It may be called more than once: the record may change under it.
    pub(crate) async fn change_running<T: Send>(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        mut change: impl FnMut(&mut Running) -> Result<Option<T>, Failure> + Send,
    ) -> Result<Option<T>, Failure> {
        self.change_running_and_tell(project, environment, |running, _| change(running)).await
    }

    /// The same, with what is to be told of the change: both are stored, or neither is. An event is of the
    /// deployment that is live unless it names another.
    pub(crate) async fn change_running_and_tell<T: Send>(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        mut change: impl FnMut(&mut Running, &mut Vec<EnvironmentEvent>) -> Result<Option<T>, Failure>
        + Send,
    ) -> Result<Option<T>, Failure> {
        loop {
            let Some((before, revision)) = self.running(project, environment)? else {
                return Ok(None);
            };
            let (mut running, mut events) = (before.clone(), Vec::new());
            let Some(value) = change(&mut running, &mut events)? else {
                return Ok(None);
            };
            if running == before && events.is_empty() {
                return Ok(Some(value));
            }
            for event in &mut events {
                event.deployment.get_or_insert_with(|| running.deployment.clone());
            }
            let told = events.clone();
            match self.store.put_running_and_events(&running, Some(revision), events).await {
                Ok(_) => {
                    for event in &told {
                        self.tell(project, environment, event);
                    }
                    return Ok(Some(value));
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.to_failure()),
            }
        }
    }

    /// Stores an event of an environment. One that cannot be stored is logged: it stops nothing.
    pub(crate) async fn note(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        event: EnvironmentEvent,
    ) {
        self.tell(project, environment, &event);
        if let Err(error) = self.store.put_event(project, environment, event).await {
            tracing::warn!(%error, %project, %environment, "an event could not be stored");
        }
    }

    /// Logs an event, and hands it to who watches.
    fn tell(&self, project: &ProjectName, environment: &EnvironmentName, event: &EnvironmentEvent) {
        tracing::info!(%project, %environment, kind = %event.kind, "{}", event.message);
        self.observe.events.record(Event {
            project: Some(project.clone()),
            environment: Some(environment.clone()),
            deployment: event.deployment.clone(),
            actor: event.actor.clone(),
            ..Event::now(format!("environment.{}", event.kind), event.message.clone())
        });
    }

    /// The record of a live deployment; made from the deployment's own when an earlier version of
    /// Windlass left none.
    pub(crate) async fn ensure_running(&self, deployment: &Deployment) -> Result<Running, Failure> {
        loop {
            let found = self.running(&deployment.project, &deployment.environment)?;
            let revision = match found {
                Some((running, _)) if running.deployment == deployment.id => return Ok(running),
                Some((_, revision)) => Some(revision),
                None => None,
            };
            let running = Running::of(deployment);
            match self.store.put_running(&running, revision).await {
                Ok(_) => return Ok(running),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.to_failure()),
            }
        }
    }
}
