//! The runner and the queue on scripted steps: order, undo, cancellation, deadlines, crashes.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use windlass_model::deployment::CancelReason;
use windlass_model::project::{Intent, Project};
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, EnvironmentName, Failure, Limits, ProjectName,
    StepName, StepStatus,
};

use super::ticket::Ticket;
use super::{Done, Row, Run, Work, queue, runner};
use crate::testing::{TestHost, queued};

/// What a scripted step does when it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Fail,
    Hang,
    Panic,
}

/// A step that does what its script says, and writes down what was asked of it.
struct Scripted {
    step: StepName,
    script: &'static Script,
}

#[derive(Default)]
struct Script {
    acts: Mutex<Vec<(StepName, Act)>>,
    undo_fails: Mutex<Option<StepName>>,
    calls: Mutex<VecDeque<String>>,
}

impl Script {
    fn act(&self, step: StepName, act: Act) {
        self.acts.lock().unwrap().push((step, act));
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().drain(..).collect()
    }

    fn note(&self, call: String) {
        self.calls.lock().unwrap().push_back(call);
    }
}

#[async_trait]
impl Work for Scripted {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        self.script.note(format!("do {}", self.step));
        let act = {
            let mut acts = self.script.acts.lock().unwrap();
            let place = acts.iter().position(|(step, _)| *step == self.step);
            place.map(|place| acts.remove(place).1)
        };
        match act {
            Some(Act::Fail) => {
                Err(Failure::app("test.failed", "it failed", "the script says so", "change it"))
            }
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Panic) => panic!("the script says so"),
            None => {
                if self.step == StepName::Switch {
                    let (generation, replaced) = run.host.next_generation(&run.deployment).await?;
                    run.deployment.outputs.generation = Some(generation);
                    run.deployment.outputs.replaced = replaced;
                }
                Ok(Done::new("done"))
            }
        }
    }

    async fn undo(&self, _run: &mut Run) -> Result<(), Failure> {
        self.script.note(format!("undo {}", self.step));
        match *self.script.undo_fails.lock().unwrap() {
            Some(step) if step == self.step => {
                Err(Failure::host("test.undo", "it stays", "the script says so", "remove it"))
            }
            _ => Ok(()),
        }
    }
}

struct World {
    parts: TestHost,
    script: &'static Script,
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl World {
    async fn new() -> Self {
        Self::with_deadline(|_| 60).await
    }

    async fn with_deadline(deadline_s: fn(&Limits) -> u64) -> Self {
        let script: &'static Script = leak(Script::default());
        let row = |step| {
            let work: &'static dyn Work = leak(Scripted { step, script });
            Row { step, work, deadline_s }
        };
        let table: &'static [Row; 12] = leak(StepName::ALL.map(row));
        let parts = TestHost::with(Limits::default(), table).await;
        let project: ProjectName = "shop".parse().unwrap();
        parts.host.store.create_project(&Project::new(project)).await.unwrap();
        Self { parts, script }
    }

    async fn queued(&self) -> (Deployment, u64) {
        let deployment = queued(0);
        let stored = self.parts.host.store.create_deployment(deployment).await.unwrap();
        (stored.value, stored.revision)
    }

    async fn run(&self, (deployment, revision): (Deployment, u64)) -> Deployment {
        let id = deployment.id.clone();
        let host = self.parts.host.clone();
        Box::pin(runner::run(host, deployment, revision, Ticket::new())).await;
        self.get(&id)
    }

    fn get(&self, id: &DeploymentId) -> Deployment {
        self.parts.host.deployment(id).unwrap().unwrap().0
    }

    fn live(&self) -> Option<DeploymentId> {
        let environment = EnvironmentName::production();
        let live = self.parts.host.live(&"shop".parse().unwrap(), &environment).unwrap();
        live.map(|(deployment, _)| deployment.id)
    }

    /// Runs until the step has been begun, then drops everything, as a crash does.
    async fn crash_in(&self, (deployment, revision): (Deployment, u64), step: StepName) {
        self.script.act(step, Act::Hang);
        let job =
            tokio::spawn(runner::run(self.parts.host.clone(), deployment, revision, Ticket::new()));
        self.reached(&format!("do {step}")).await;
        job.abort();
        let _ = job.await;
    }

    async fn reached(&self, call: &str) {
        let seen = async {
            while !self.script.calls.lock().unwrap().iter().any(|c| c == call) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), seen).await.expect(call);
    }

    fn stored(&self, id: &DeploymentId) -> (Deployment, u64) {
        self.parts.host.deployment(id).unwrap().unwrap()
    }
}

fn status_of(deployment: &Deployment, step: StepName) -> StepStatus {
    deployment.step(step).unwrap().status
}

#[tokio::test]
async fn the_steps_run_in_table_order_and_the_deployment_goes_live() {
    let world = World::new().await;
    let done = world.run(world.queued().await).await;
    assert_eq!(done.status, DeploymentStatus::Live);
    let expected: Vec<String> = StepName::ALL.iter().map(|step| format!("do {step}")).collect();
    assert_eq!(world.script.calls(), expected);
    assert_eq!(world.live(), Some(done.id));
}

#[tokio::test]
async fn the_deployment_that_is_replaced_drains() {
    let world = World::new().await;
    let first = world.run(world.queued().await).await;
    let second = world.run(world.queued().await).await;
    assert_eq!(second.outputs.replaced, Some(first.id.clone()));
    assert_eq!(world.get(&first.id).status, DeploymentStatus::Draining);
    assert_eq!(world.live(), Some(second.id));
}

#[tokio::test]
async fn a_failed_step_undoes_what_was_begun_last_first_and_leaves_the_live_one_alone() {
    let world = World::new().await;
    let first = world.run(world.queued().await).await;
    world.script.calls();
    world.script.act(StepName::Detect, Act::Fail);
    let second = world.run(world.queued().await).await;
    assert_eq!(second.status, DeploymentStatus::Failed);
    let failure = second.failure.clone().unwrap();
    assert_eq!((failure.code.as_str(), failure.step), ("test.failed", Some(StepName::Detect)));
    assert_eq!(status_of(&second, StepName::Detect), StepStatus::Failed);
    assert_eq!(status_of(&second, StepName::Build), StepStatus::Cancelled);
    let calls = world.script.calls();
    let undone = ["undo detect", "undo preflight", "undo fetch"];
    assert_eq!(calls[3..], undone, "{calls:?}");
    assert_eq!(world.live(), Some(first.id));
}

#[tokio::test]
async fn a_failed_undo_is_stuck_and_says_what_is_left() {
    let world = World::new().await;
    world.script.act(StepName::Build, Act::Fail);
    *world.script.undo_fails.lock().unwrap() = Some(StepName::Plan);
    let done = world.run(world.queued().await).await;
    assert_eq!(done.status, DeploymentStatus::Stuck);
    assert!(done.failure.unwrap().why.contains("it stays"));
    // The steps before it are undone all the same.
    assert!(world.script.calls().contains(&"undo fetch".to_owned()));
}

#[tokio::test]
async fn a_step_over_its_deadline_fails_with_its_own_code() {
    let world = World::with_deadline(|_| 0).await;
    world.script.act(StepName::Fetch, Act::Hang);
    let done = world.run(world.queued().await).await;
    assert_eq!(done.failure.unwrap().code, "fetch.deadline");
}

#[tokio::test]
async fn a_cancelled_step_ends_at_once_and_is_undone() {
    let world = World::new().await;
    world.script.act(StepName::Build, Act::Hang);
    let (deployment, revision) = world.queued().await;
    let id = deployment.id.clone();
    let ticket = Ticket::new();
    let host = world.parts.host.clone();
    let job = tokio::spawn(runner::run(host, deployment, revision, ticket.clone()));
    world.reached("do build").await;
    let reason = CancelReason::Person { actor: "test".into() };
    ticket.cancel(reason.clone());
    job.await.unwrap();
    let done = world.get(&id);
    assert_eq!((done.status, done.cancelled), (DeploymentStatus::Cancelled, Some(reason)));
    assert!(world.script.calls().contains(&"undo build".to_owned()));
}

#[tokio::test]
async fn after_a_crash_a_deployment_goes_on_at_the_step_it_was_in() {
    let world = World::new().await;
    for step in StepName::ALL {
        let queued = world.queued().await;
        let id = queued.0.id.clone();
        world.crash_in(queued, step).await;
        world.script.calls();
        let done = world.run(world.stored(&id)).await;
        assert_eq!(done.status, DeploymentStatus::Live, "{step}");
        assert_eq!(world.script.calls()[0], format!("do {step}"));
        assert_eq!(world.live(), Some(id));
    }
}

#[tokio::test]
async fn after_a_crash_in_the_undo_the_undo_goes_on() {
    let world = World::new().await;
    let queued = world.queued().await;
    let id = queued.0.id.clone();
    world.crash_in(queued, StepName::Start).await;
    world.script.calls();
    // The record as it is once the failure has been stored and nothing has been undone.
    let (mut deployment, revision) = world.stored(&id);
    deployment.failure = Some(Failure::app("test.failed", "a", "b", "c"));
    let revision = world.parts.host.save_deployment(&deployment, revision).await.unwrap();
    let done = world.run((deployment, revision)).await;
    assert_eq!(done.status, DeploymentStatus::Failed);
    let calls = world.script.calls();
    assert_eq!(calls.first().map(String::as_str), Some("undo start"));
    assert!(calls.iter().all(|call| call.starts_with("undo")), "{calls:?}");
}

#[tokio::test]
async fn the_newest_waiting_deployment_wins_and_a_queued_one_can_be_cancelled() {
    let world = World::new().await;
    let (first, _) = world.queued().await;
    let (second, _) = world.queued().await;
    let (third, _) = world.queued().await;
    let actor = "test".to_owned();
    let intent = Intent::Cancel { deployment: first.id.clone(), actor: actor.clone() };
    world.parts.host.store.put_intent(intent).await.unwrap();
    let queue = tokio::spawn(queue::work(world.parts.host.clone()));
    let settled = async {
        while world.live() != Some(third.id.clone()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled).await.unwrap();
    queue.abort();
    assert_eq!(world.get(&first.id).cancelled, Some(CancelReason::Person { actor }));
    assert_eq!(
        world.get(&second.id).cancelled,
        Some(CancelReason::Superseded { by: third.id.clone() })
    );
    assert!(world.parts.host.store.intents().unwrap().is_empty());
}

/// Runs the queue until a deployment has settled.
async fn queue_until_settled(world: &World, id: &DeploymentId) -> Deployment {
    let queue = tokio::spawn(queue::work(world.parts.host.clone()));
    let settled = async {
        while !world.get(id).status.is_settled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled).await.unwrap();
    queue.abort();
    world.get(id)
}

#[tokio::test]
async fn a_step_that_panics_fails_its_deployment_and_is_undone() {
    let world = World::new().await;
    world.script.act(StepName::Plan, Act::Panic);
    let (queued, _) = world.queued().await;
    let done = queue_until_settled(&world, &queued.id).await;
    assert_eq!(done.status, DeploymentStatus::Failed);
    let failure = done.failure.unwrap();
    assert_eq!((failure.code.as_str(), failure.step), ("internal.panic", Some(StepName::Plan)));
    assert!(world.script.calls().contains(&"undo fetch".to_owned()));
}

#[tokio::test]
async fn a_cancel_that_a_crash_cut_off_is_carried_out_after_it() {
    let world = World::new().await;
    let queued = world.queued().await;
    let id = queued.0.id.clone();
    world.crash_in(queued, StepName::Build).await;
    world.script.act(StepName::Build, Act::Hang);
    let intent = Intent::Cancel { deployment: id.clone(), actor: "test".into() };
    world.parts.host.store.put_intent(intent).await.unwrap();
    let done = queue_until_settled(&world, &id).await;
    assert_eq!(done.status, DeploymentStatus::Cancelled);
}

#[tokio::test]
async fn a_stuck_deployment_is_cleaned_up_at_the_next_start() {
    let world = World::new().await;
    world.script.act(StepName::Build, Act::Fail);
    *world.script.undo_fails.lock().unwrap() = Some(StepName::Plan);
    let stuck = world.run(world.queued().await).await;
    assert_eq!(stuck.status, DeploymentStatus::Stuck);
    let failure = stuck.failure.unwrap();
    assert!(failure.why.contains("test.failed"), "the first failure is lost: {}", failure.why);
    *world.script.undo_fails.lock().unwrap() = None;
    let queue = tokio::spawn(queue::work(world.parts.host.clone()));
    let settled = async {
        while world.get(&stuck.id).status != DeploymentStatus::Failed {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled).await.unwrap();
    queue.abort();
}

#[tokio::test]
async fn a_cancelled_deployment_that_was_stuck_is_cancelled_once_it_is_cleaned_up() {
    let world = World::new().await;
    world.script.act(StepName::Build, Act::Hang);
    *world.script.undo_fails.lock().unwrap() = Some(StepName::Plan);
    let (deployment, revision) = world.queued().await;
    let (id, ticket) = (deployment.id.clone(), Ticket::new());
    let host = world.parts.host.clone();
    let job = tokio::spawn(runner::run(host, deployment, revision, ticket.clone()));
    world.reached("do build").await;
    let reason = CancelReason::Person { actor: "test".into() };
    ticket.cancel(reason.clone());
    job.await.unwrap();
    let stuck = world.get(&id);
    assert_eq!(
        (stuck.status, stuck.failure.unwrap().code.as_str()),
        (DeploymentStatus::Stuck, runner::STUCK)
    );
    *world.script.undo_fails.lock().unwrap() = None;
    let queue = tokio::spawn(queue::work(world.parts.host.clone()));
    let done = until_status(&world, &id, DeploymentStatus::Cancelled).await;
    assert_eq!((done.cancelled, done.failure), (Some(reason), None));
    queue.abort();
}

#[tokio::test]
async fn nothing_is_taken_away_while_the_route_may_lead_to_it() {
    let world = World::new().await;
    world.script.act(StepName::Switch, Act::Fail);
    *world.script.undo_fails.lock().unwrap() = Some(StepName::Switch);
    let done = world.run(world.queued().await).await;
    assert_eq!(done.status, DeploymentStatus::Stuck);
    let calls = world.script.calls();
    assert_eq!(calls.last().map(String::as_str), Some("undo switch"), "{calls:?}");
}

/// Waits until a deployment has a status, while the queue works.
async fn until_status(world: &World, id: &DeploymentId, status: DeploymentStatus) -> Deployment {
    let reached = async {
        while world.get(id).status != status {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), reached).await;
    waited.unwrap_or_else(|_| panic!("it is {}, not {status}", world.get(id).status));
    world.get(id)
}

async fn ask(world: &World, intent: Intent) {
    world.parts.host.store.put_intent(intent).await.unwrap();
    world.parts.host.wake.notify_one();
}

#[tokio::test]
async fn a_halted_deployment_keeps_its_slot_through_a_crash_until_it_goes_on() {
    let world = World::new().await;
    let (first, _) = world.queued().await;
    let (deployment, actor) = (first.id.clone(), "ann".to_owned());
    ask(&world, Intent::Pause { deployment: deployment.clone(), actor: actor.clone() }).await;
    // A wish to halt what waits is not kept; it is asked for again while it runs.
    world.script.act(StepName::Detect, Act::Hang);
    let crashed = tokio::spawn(queue::work(world.parts.host.clone()));
    world.reached("do detect").await;
    ask(&world, Intent::Pause { deployment: deployment.clone(), actor: actor.clone() }).await;
    crashed.abort();
    let _ = crashed.await;
    world.script.acts.lock().unwrap().clear();

    // What was hanging is detached from the queue in this test, so the next run is of the store alone.
    let queue = tokio::spawn(queue::work(world.parts.host.clone()));
    let paused = until_status(&world, &deployment, DeploymentStatus::Paused).await;
    assert_eq!(paused.paused.as_ref().map(|pause| pause.actor.as_str()), Some("ann"));
    let (second, _) = world.queued().await;
    world.parts.host.wake.notify_one();
    let intent = Intent::Resume { deployment: deployment.clone(), actor: actor.clone() };
    assert_eq!(world.get(&second.id).status, DeploymentStatus::Queued, "the slot is taken");
    ask(&world, intent).await;
    until_status(&world, &second.id, DeploymentStatus::Live).await;
    queue.abort();
    assert!(world.get(&deployment).live_at.is_some(), "it went on before the newer one began");
}

#[tokio::test]
async fn a_halted_deployment_can_be_cancelled_and_is_undone() {
    let world = World::new().await;
    let (first, revision) = world.queued().await;
    let ticket = Ticket::new();
    ticket.pause("ann".into());
    Box::pin(runner::run(world.parts.host.clone(), first.clone(), revision, ticket)).await;
    assert_eq!(world.get(&first.id).status, DeploymentStatus::Paused);
    let intent = Intent::Cancel { deployment: first.id.clone(), actor: "ann".into() };
    world.parts.host.store.put_intent(intent).await.unwrap();
    let queue = tokio::spawn(queue::work(world.parts.host.clone()));
    let done = until_status(&world, &first.id, DeploymentStatus::Cancelled).await;
    queue.abort();
    assert!(done.paused.is_none());
}

#[tokio::test]
async fn a_newer_deployment_never_cuts_a_migration_and_ends_everything_else() {
    let by = DeploymentId::generate();
    for step in StepName::ALL.into_iter().filter(|step| step.cancellable()) {
        let ticket = Ticket::new();
        ticket.supersede(by.clone());
        assert_eq!(ticket.cuts(step), step != StepName::Migrate, "{step}");
        ticket.cancel(CancelReason::Person { actor: "ann".into() });
        assert!(ticket.cuts(step), "a person may: {step}");
    }
    let world = World::new().await;
    let (queued, revision) = world.queued().await;
    let id = queued.id.clone();
    let ticket = Ticket::new();
    let (host, watched) = (world.parts.host.clone(), ticket.clone());
    world.script.act(StepName::Start, Act::Hang);
    let job = tokio::spawn(runner::run(host, queued, revision, ticket));
    world.reached("do start").await;
    watched.supersede(by.clone());
    job.await.unwrap();
    let done = world.get(&id);
    assert_eq!(done.cancelled, Some(CancelReason::Superseded { by }));
    assert_eq!(status_of(&done, StepName::Migrate), StepStatus::Succeeded);
}

/// Any sequence of good deployments, failures and crashes: never two live ones, and never none
/// where there was one.
#[tokio::test]
async fn no_sequence_of_failures_and_crashes_loses_the_live_deployment() {
    let seed = std::env::var("WINDLASS_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(7);
    println!("seed: {seed}");
    let mut random = Lcg(seed);
    let world = World::new().await;
    let mut had_live = false;
    for _ in 0..60 {
        let queued = world.queued().await;
        let id = queued.0.id.clone();
        let step = StepName::ALL[random.below(12)];
        match random.below(3) {
            0 => {
                world.run(queued).await;
            }
            1 => {
                world.script.act(step, Act::Fail);
                world.run(queued).await;
            }
            _ => {
                world.crash_in(queued, step).await;
                world.run(world.stored(&id)).await;
            }
        }
        world.script.calls();
        let store = &world.parts.host.store;
        let live = store.deployments_with_status(DeploymentStatus::Live).unwrap();
        assert!(live.len() <= 1, "seed {seed}: {} are live", live.len());
        assert!(!had_live || live.len() == 1, "seed {seed}: nothing is live any more");
        assert_eq!(world.live(), live.first().map(|doc| doc.value.id.clone()), "seed {seed}");
        had_live |= !live.is_empty();
        let running = store.deployments_with_status(DeploymentStatus::Running).unwrap();
        assert!(running.is_empty(), "seed {seed}: something is left running");
    }
}

/// A linear congruential generator (Knuth's constants): enough to choose cases, repeatable by seed.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}
