//! Builds that are not deployed, on scripted steps: where they end, and that they take nobody's turn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use windlass_model::deployment::{Kind, Source};
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, EnvironmentName, Failure, Limits, StepName,
    StepStatus, Timestamp,
};

use super::ticket::Ticket;
use super::{Done, Row, Run, Work, queue, runner};
use crate::testing::TestHost;

const WITHIN: Duration = Duration::from_secs(20);

/// A step that succeeds; deployments hang in their build until they are let go.
struct Step(StepName, &'static AtomicBool);

#[async_trait]
impl Work for Step {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        let hangs = self.0 == StepName::Build && !run.deployment.kind.is_build();
        while hangs && !self.1.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Done::new("done"))
    }
}

struct World {
    parts: TestHost,
    go: &'static AtomicBool,
}

impl World {
    async fn new() -> Self {
        let go: &'static AtomicBool = Box::leak(Box::default());
        let row = |step| {
            let work: &'static dyn Work = Box::leak(Box::new(Step(step, go)));
            Row { step, work, deadline_s: |_| 60 }
        };
        let table: &'static [Row; 12] = Box::leak(Box::new(StepName::ALL.map(row)));
        let limits = Limits { deployments_running_max: 4, ..Limits::default() };
        let parts = TestHost::with(limits, table).await;
        parts.host.store.ensure_project(&"shop".parse().unwrap()).await.unwrap();
        Self { parts, go }
    }

    async fn queued(&self, kind: Kind) -> (Deployment, u64) {
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let (project, environment) = ("shop".parse().unwrap(), EnvironmentName::production());
        let one = Deployment::queued(project, environment, 0, kind, source, "test".into());
        let stored = self.parts.host.store.create_deployment(one).await.unwrap();
        (stored.value, stored.revision)
    }

    fn get(&self, id: &DeploymentId) -> Deployment {
        self.parts.host.deployment(id).unwrap().unwrap().0
    }

    async fn comes_to(&self, id: &DeploymentId, status: DeploymentStatus) {
        let there = async {
            while self.get(id).status != status {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let there = tokio::time::timeout(WITHIN, there).await;
        assert!(there.is_ok(), "{:#?}", self.get(id));
    }
}

fn build() -> Kind {
    Kind::Build { image: "shop:1".to_owned() }
}

fn assert_built(deployment: &Deployment) {
    assert_eq!(deployment.status, DeploymentStatus::Built, "{deployment:#?}");
    assert!(deployment.live_at.is_none() && deployment.ended_at.is_some(), "{deployment:#?}");
    for step in &deployment.steps {
        let skipped = step.status == StepStatus::Skipped;
        assert_eq!(skipped, step.name > StepName::Build, "{step:?}");
        assert_eq!(step.started_at.is_some(), step.name <= StepName::Build, "{step:?}");
    }
}

#[tokio::test]
async fn a_build_ends_behind_its_step_also_after_a_crash() {
    let world = World::new().await;
    let host = world.parts.host.clone();
    let (one, revision) = world.queued(build()).await;
    Box::pin(runner::run(host.clone(), one.clone(), revision, Ticket::new())).await;
    assert_built(&world.get(&one.id));
    let environment = host.store.environment(&one.project, &one.environment).unwrap().value;
    assert_eq!(environment.live, None);
    assert!(host.running(&one.project, &one.environment).unwrap().is_none());

    // Killed after the build was recorded, before its end was.
    let (mut cut, revision) = world.queued(build()).await;
    cut.status = DeploymentStatus::Running;
    for step in cut.steps.iter_mut().filter(|step| step.name <= StepName::Build) {
        step.status = StepStatus::Succeeded;
        step.started_at = Some(Timestamp::now());
    }
    let revision = host.save_deployment(&cut, revision).await.unwrap();
    Box::pin(runner::run(host.clone(), cut.clone(), revision, Ticket::new())).await;
    assert_built(&world.get(&cut.id));
}

#[tokio::test]
async fn a_build_waits_for_no_deployment_of_its_environment_and_supersedes_none() {
    use DeploymentStatus::{Built, Live, Queued, Running};
    let world = World::new().await;
    let host = world.parts.host.clone();
    let work = tokio::spawn(queue::work(host.clone()));
    let (running, _) = world.queued(Kind::Deploy).await;
    host.wake.notify_one();
    world.comes_to(&running.id, Running).await;
    let (waiting, _) = world.queued(Kind::Deploy).await;
    let (first, _) = world.queued(build()).await;
    let (second, _) = world.queued(build()).await;
    host.wake.notify_one();
    // Both builds: the newer one does not take the place of the older.
    world.comes_to(&first.id, Built).await;
    world.comes_to(&second.id, Built).await;
    assert_eq!(world.get(&running.id).status, Running);
    assert_eq!(
        world.get(&waiting.id).status,
        Queued,
        "the builds are newer, and not its successors"
    );
    world.go.store(true, Ordering::SeqCst);
    world.comes_to(&waiting.id, Live).await;
    work.abort();
}
