//! Which steps of builds are being carried out now. It is shown, and kept in memory alone: a host that starts
//! again carries them out again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use windlass_model::build::RunningStep;
use windlass_model::{DeploymentId, Timestamp};

/// The running steps of all builds.
#[derive(Debug, Clone)]
pub(crate) struct Building {
    steps: Arc<Mutex<HashMap<DeploymentId, Vec<RunningStep>>>>,
    changed: watch::Sender<()>,
}

impl Default for Building {
    fn default() -> Self {
        Self { steps: Arc::default(), changed: watch::Sender::new(()) }
    }
}

impl Building {
    /// The build of a deployment, which begins.
    pub(super) fn of(&self, deployment: &DeploymentId) -> OneBuild {
        OneBuild { building: self.clone(), deployment: deployment.clone() }
    }

    /// The steps of a deployment that are being carried out, in the order in which they began.
    pub(crate) fn now(&self, deployment: &DeploymentId) -> Vec<RunningStep> {
        self.all().get(deployment).cloned().unwrap_or_default()
    }

    /// Hears of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns when other steps of the deployment run than those that were shown.
    pub(crate) async fn others_than(
        &self,
        shown: &[RunningStep],
        deployment: &DeploymentId,
        changes: &mut watch::Receiver<()>,
    ) {
        while self.now(deployment) == shown {
            // The sender is this one, so it is there.
            let _ = changes.changed().await;
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<DeploymentId, Vec<RunningStep>>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running steps of one build. However it ends, none of them runs any more.
pub(super) struct OneBuild {
    building: Building,
    deployment: DeploymentId,
}

impl OneBuild {
    pub(super) fn begun(&self, id: String, name: String) {
        let step = RunningStep { id, name, since: Timestamp::now() };
        self.change(|steps| steps.push(step));
    }

    pub(super) fn ended(&self, id: &str) {
        self.change(|steps| steps.retain(|step| step.id != id));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<RunningStep>)) {
        let mut all = self.building.all();
        let steps = all.entry(self.deployment.clone()).or_default();
        let before = steps.len();
        change(steps);
        if steps.len() != before {
            self.building.changed.send_replace(());
        }
    }
}

impl Drop for OneBuild {
    fn drop(&mut self) {
        self.building.all().remove(&self.deployment);
        self.building.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_shown_while_they_run_and_none_behind_the_build() {
        let (building, deployment) = (Building::default(), DeploymentId::generate());
        let shown = || -> Vec<String> {
            building.now(&deployment).into_iter().map(|step| step.id).collect()
        };
        let build = building.of(&deployment);
        build.begun("deps".into(), "install".into());
        build.begun("assets".into(), "bundle".into());
        assert_eq!(shown(), ["deps", "assets"]);
        assert_eq!(building.now(&DeploymentId::generate()), []);
        build.ended("deps");
        assert_eq!(shown(), ["assets"]);
        drop(build);
        assert!(shown().is_empty(), "it was cut off");
    }

    #[tokio::test]
    async fn who_watches_hears_of_other_steps_and_not_of_other_builds() {
        let (building, deployment) = (Building::default(), DeploymentId::generate());
        let (build, other) = (building.of(&deployment), building.of(&DeploymentId::generate()));
        let mut changes = building.changes();
        build.begun("deps".into(), "install".into());
        building.others_than(&[], &deployment, &mut changes).await;
        let shown = building.now(&deployment);
        let mut watching = std::pin::pin!(building.others_than(&shown, &deployment, &mut changes));
        other.begun("deps".into(), "install".into());
        tokio::select! {
            biased;
            () = &mut watching => panic!("the other build's step is none of this one"),
            () = tokio::task::yield_now() => {}
        }
        build.ended("deps");
        watching.await;
        assert_eq!(building.now(&deployment), []);
    }
}
