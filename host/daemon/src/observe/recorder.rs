//! Changes of deployments as events.
//!
//! **Invariant: what changed while no host ran, or between a change and its event, is told at the next start**:
//! what the events said last is compared with what is stored.

use std::collections::HashMap;
use std::sync::Arc;

use windlass_model::event::Event;
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, Failure, StepName, StepStatus, Timestamp,
};
use windlass_store::DeploymentEvent;

use crate::host::Host;

/// What the events said of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    status: Option<DeploymentStatus>,
    steps: HashMap<StepName, StepStatus>,
}

/// Records until the store is closed.
pub(crate) async fn record(host: Arc<Host>) {
    // Subscribed first: a change between reading and subscribing is not missed.
    let mut changes = host.store.watch_deployments();
    let reading = host.clone();
    let told = tokio::task::spawn_blocking(move || told_before(&reading)).await;
    let (told, since) = told.unwrap_or_else(|_| (HashMap::new(), Timestamp::now()));
    for (file, failure) in host.plugins.problems() {
        let text = format!("{file}: {}", failure.what);
        host.observe.events.record(Event::now("plugin.problem", text));
    }
    let mut recorder = Recorder { host, told, since };
    recorder.catch_up();
    while let Some(change) = changes.next().await {
        match change {
            DeploymentEvent::Changed(id) => recorder.look(&id),
            DeploymentEvent::Missed => recorder.catch_up(),
        }
    }
}

/// What was told of each deployment, and until when.
fn told_before(host: &Host) -> (HashMap<DeploymentId, Told>, Timestamp) {
    let mut told: HashMap<DeploymentId, Told> = HashMap::new();
    let mut since = None;
    for event in host.observe.events.after(0) {
        since = Some(event.at);
        let Some(id) = event.deployment else { continue };
        let Some((about, word)) = event.kind.split_once('.') else { continue };
        let of_it = told.entry(id).or_default();
        let word = serde_json::Value::String(word.to_owned());
        match (about, event.step) {
            ("deployment", _) => of_it.status = serde_json::from_value(word).ok(),
            ("step", Some(step)) => {
                if let Ok(status) = serde_json::from_value(word) {
                    of_it.steps.insert(step, status);
                }
            }
            _ => {}
        }
    }
    (told, since.unwrap_or_else(Timestamp::now))
}

struct Recorder {
    host: Arc<Host>,
    told: HashMap<DeploymentId, Told>,
    /// What is older and unknown was told of long ago.
    since: Timestamp,
}

impl Recorder {
    /// Looks at everything that may have changed unseen.
    fn catch_up(&mut self) {
        let is_open = |told: &Told| {
            told.status.is_none_or(|s| !s.is_settled() || s == DeploymentStatus::Live)
        };
        let mut ids: Vec<DeploymentId> =
            self.told.iter().filter(|(_, told)| is_open(told)).map(|(id, _)| id.clone()).collect();
        ids.extend(self.present().into_iter().filter(|id| !self.told.contains_key(id)));
        ids.sort();
        ids.iter().for_each(|id| self.look(id));
    }

    fn present(&self) -> Vec<DeploymentId> {
        let unsettled = self.host.unsettled().unwrap_or_default();
        let live = self.host.all_live().unwrap_or_default();
        unsettled.into_iter().chain(live).map(|(deployment, _)| deployment.id).collect()
    }

    /// Tells what is new of a deployment.
    fn look(&mut self, id: &DeploymentId) {
        let Ok(Some((deployment, _))) = self.host.deployment(id) else {
            self.told.remove(id);
            return;
        };
        let known = self.told.get(id).cloned();
        let is_old = deployment.created_at < self.since && deployment.status.is_settled();
        let now = told_of(&deployment);
        match known {
            None if is_old => {}
            before => {
                for event in news(&before.unwrap_or_default(), &deployment) {
                    self.host.observe.events.record(event);
                }
            }
        }
        self.told.insert(id.clone(), now);
    }
}

fn told_of(deployment: &Deployment) -> Told {
    Told {
        status: Some(deployment.status),
        steps: deployment.steps.iter().map(|step| (step.name, step.status)).collect(),
    }
}

/// What happened to a deployment since it was told of.
fn news(before: &Told, deployment: &Deployment) -> Vec<Event> {
    let of_it = |kind: String, message: String, at: Option<Timestamp>| Event {
        at: at.unwrap_or_else(Timestamp::now),
        project: Some(deployment.project.clone()),
        environment: Some(deployment.environment.clone()),
        deployment: Some(deployment.id.clone()),
        number: Some(deployment.number),
        actor: Some(deployment.actor.clone()),
        ..Event::now(kind, message)
    };
    let mut events = Vec::new();
    if before.status.is_none() && deployment.status != DeploymentStatus::Queued {
        let queued = DeploymentStatus::Queued;
        events.push(of_it(
            format!("deployment.{queued}"),
            String::new(),
            Some(deployment.created_at),
        ));
    }
    for step in &deployment.steps {
        let told = before.steps.get(&step.name).copied().unwrap_or(StepStatus::Pending);
        if told == step.status || step.status == StepStatus::Pending {
            continue;
        }
        let word = word(&step.status);
        let at = step.ended_at.or(step.started_at);
        let event = of_it(format!("step.{word}"), step.summary.clone(), at);
        events.push(Event { step: Some(step.name), ..event });
    }
    if before.status != Some(deployment.status) {
        let message = deployment.failure.as_ref().map(Failure::to_string).unwrap_or_default();
        events.push(of_it(format!("deployment.{}", deployment.status), message, None));
    }
    events
}

/// The word under which a status is stored.
fn word(status: &StepStatus) -> String {
    let value = serde_json::to_value(status).ok();
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::queued;

    fn kinds(events: &[Event]) -> Vec<String> {
        events.iter().map(|event| event.kind.clone()).collect()
    }

    #[test]
    fn every_change_is_told_once_and_in_order() {
        let mut deployment = queued(1);
        let first = news(&Told::default(), &deployment);
        assert_eq!(kinds(&first), ["deployment.queued"]);
        let queued = told_of(&deployment);
        assert!(news(&queued, &deployment).is_empty());
        deployment.status = DeploymentStatus::Failed;
        deployment.steps[0].status = StepStatus::Succeeded;
        deployment.steps[1].status = StepStatus::Failed;
        let next = news(&queued, &deployment);
        assert_eq!(kinds(&next), ["step.succeeded", "step.failed", "deployment.failed"]);
        assert_eq!(next[1].step, Some(StepName::Preflight));
        let unseen = news(&Told::default(), &deployment);
        assert_eq!(unseen.len(), 4, "one that was never seen begins with its creation");
    }
}
