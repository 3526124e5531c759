//! `deploy.supersede`, from the request for a newer deployment to the end of the one that runs: the queue with
//! scripted steps.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use windlass_model::api::CreateDeployment;
use windlass_model::settings::Settings;
use windlass_model::{EnvironmentName, Limits, StepName};

use super::*;
use crate::control::deployments::{Request, from_git};
use crate::control::{Target, ensure};
use crate::pipeline::{Done, Row, Run, Work};
use crate::testing::TestHost;

const WITHIN: Duration = Duration::from_secs(20);

/// What the steps of a world do. The first deployment stays in one step until it is let go, every other one
/// goes through.
struct Script {
    supersede: Supersede,
    holds: StepName,
    is_held: AtomicBool,
    go: AtomicBool,
    undone: Mutex<Vec<(u64, StepName)>>,
}

struct Scripted(StepName, &'static Script);

#[async_trait]
impl Work for Scripted {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        let Self(step, script) = self;
        if *step == StepName::Preflight {
            let mut settings = Settings::default();
            settings.deploy.supersede = script.supersede;
            run.deployment.outputs.settings = Some(settings);
        }
        if *step == script.holds && run.deployment.number == 1 {
            script.is_held.store(true, Ordering::SeqCst);
            while !script.go.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        if *step == StepName::Switch {
            let (generation, replaced) = run.host.next_generation(&run.deployment).await?;
            run.deployment.outputs.generation = Some(generation);
            run.deployment.outputs.replaced = replaced;
        }
        Ok(Done::new("done"))
    }

    async fn undo(&self, run: &mut Run) -> Result<(), Failure> {
        self.1.undone.lock().unwrap().push((run.deployment.number, self.0));
        Ok(())
    }
}

struct World {
    parts: TestHost,
    script: &'static Script,
    target: Target,
    queue: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.queue.abort();
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl World {
    /// A queue at work, and a first deployment that is held in a step.
    async fn holding(supersede: Supersede, holds: StepName) -> (Self, Deployment) {
        let (is_held, go) = (AtomicBool::new(false), AtomicBool::new(false));
        let script: &'static Script =
            leak(Script { supersede, holds, is_held, go, undone: Mutex::default() });
        let row = |step| {
            let work: &'static dyn Work = leak(Scripted(step, script));
            Row { step, work, deadline_s: |_| 60 }
        };
        let table: &'static [Row; 12] = leak(StepName::ALL.map(row));
        let parts = TestHost::with(Limits::default(), table).await;
        let project = "shop".parse().unwrap();
        let target = Target { project, environment: EnvironmentName::production() };
        ensure(&parts.host, &target).await.unwrap();
        let queue = tokio::spawn(work(parts.host.clone()));
        let world = Self { parts, script, target, queue };
        let first = world.deploy().await;
        world.until("the first is held", || script.is_held.load(Ordering::SeqCst)).await;
        (world, first)
    }

    /// Asks for a deployment, as a push does.
    async fn deploy(&self) -> Deployment {
        let git_url = Some("https://example.org/shop".to_owned());
        let body = CreateDeployment { git_url, ..CreateDeployment::default() };
        let (host, request) = (&self.parts.host, Request::by("push"));
        Box::pin(from_git(host, &self.target, body, &request)).await.unwrap().deployment
    }

    fn get(&self, of: &Deployment) -> Deployment {
        self.parts.host.deployment(&of.id).unwrap().unwrap().0
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let seen = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(WITHIN, seen).await.is_ok(), "{what}");
    }

    async fn goes_live(&self, of: &Deployment) {
        let what = format!("#{} goes live", of.number);
        self.until(&what, || self.get(of).status == DeploymentStatus::Live).await;
    }

    /// Waits until the queue has looked at everything that is there now: it takes up intents first, so the
    /// second one is done with after a whole look.
    async fn looked(&self) {
        for _ in 0..2 {
            let (deployment, actor) = (DeploymentId::generate(), "test".to_owned());
            let host = &self.parts.host;
            host.store.put_intent(Intent::Cancel { deployment, actor }).await.unwrap();
            host.wake.notify_one();
            self.until("the queue looks", || host.intents().unwrap().is_empty()).await;
        }
    }

    fn let_go(&self) {
        self.script.go.store(true, Ordering::SeqCst);
    }

    fn assert_superseded(&self, first: &Deployment, by: &Deployment) -> Deployment {
        let first = self.get(first);
        assert_eq!(first.status, DeploymentStatus::Cancelled, "{first:#?}");
        assert_eq!(first.cancelled, Some(CancelReason::Superseded { by: by.id.clone() }));
        assert!(first.live_at.is_none(), "{first:#?}");
        first
    }
}

#[tokio::test]
async fn a_push_ends_the_deployment_that_runs_where_the_settings_say_so() {
    use StepName::{Build, Check, Detect, Start, Validate};
    for step in [Detect, Build, Validate, Start, Check] {
        let (world, first) = Box::pin(World::holding(Supersede::Running, step)).await;
        let second = world.deploy().await;
        world.goes_live(&second).await;
        let first = world.assert_superseded(&first, &second);
        for row in &first.steps {
            let ended = if row.name < step { StepStatus::Succeeded } else { StepStatus::Cancelled };
            assert_eq!(row.status, ended, "{}, held in {step}", row.name);
        }
        let undone = world.script.undone.lock().unwrap().clone();
        let begun = StepName::ALL.into_iter().filter(|one| *one <= step);
        let expected: Vec<_> = begun.rev().map(|one| (1, one)).collect();
        assert_eq!(
            undone, expected,
            "everything of the first is undone, and nothing of the second"
        );
    }
}

#[tokio::test]
async fn without_the_setting_a_push_waits_for_the_deployment_that_runs() {
    let (world, first) = Box::pin(World::holding(Supersede::Queued, StepName::Build)).await;
    let second = world.deploy().await;
    world.looked().await;
    assert_eq!(world.get(&first).status, DeploymentStatus::Running);
    assert_eq!(world.get(&second).status, DeploymentStatus::Queued);
    world.let_go();
    world.goes_live(&second).await;
    assert!(world.get(&first).live_at.is_some(), "{:#?}", world.get(&first));
}

#[tokio::test]
async fn a_push_waits_for_a_migration_and_ends_the_deployment_behind_it() {
    let (world, first) = Box::pin(World::holding(Supersede::Running, StepName::Migrate)).await;
    let second = world.deploy().await;
    world.looked().await;
    assert_eq!(world.get(&first).status, DeploymentStatus::Running, "the migration is awaited");
    assert_eq!(world.get(&second).status, DeploymentStatus::Queued);
    world.let_go();
    world.goes_live(&second).await;
    let first = world.assert_superseded(&first, &second);
    assert_eq!(first.step(StepName::Migrate).unwrap().status, StepStatus::Succeeded);
    assert!(first.step(StepName::Start).unwrap().started_at.is_none(), "{first:#?}");
}

#[tokio::test]
async fn a_push_does_not_end_the_deployment_whose_switch_has_begun() {
    let (world, first) = Box::pin(World::holding(Supersede::Running, StepName::Switch)).await;
    let second = world.deploy().await;
    world.looked().await;
    assert_eq!(world.get(&first).status, DeploymentStatus::Running);
    world.let_go();
    world.goes_live(&second).await;
    let first = world.get(&first);
    assert!(first.live_at.is_some() && first.cancelled.is_none(), "{first:#?}");
}

#[tokio::test]
async fn a_push_just_before_a_crash_ends_the_deployment_that_runs_after_it() {
    let (mut world, first) = Box::pin(World::holding(Supersede::Running, StepName::Build)).await;
    world.queue.abort();
    let second = world.deploy().await;
    assert_eq!(world.get(&first).status, DeploymentStatus::Running);
    world.queue = tokio::spawn(work(world.parts.host.clone()));
    world.goes_live(&second).await;
    world.assert_superseded(&first, &second);
}
