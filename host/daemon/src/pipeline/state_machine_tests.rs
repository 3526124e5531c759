//! The state machine as a whole: any sequence of what people ask for, of failures and of crashes, on
//! scripted steps that go on only when the sequence lets them.
//!
//! Holds at every moment: a record is in a defined state, no environment has two live deployments, and
//! one that had a live deployment has one. At the end everything settles.
//!
//! `WINDLASS_TEST_EXTENT=full` plays many more sequences. A sequence that fails is made smaller by
//! proptest and printed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use windlass_model::deployment::{Artifact, Kind, Source};
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, Digest, EnvironmentName, Failure, Limits,
    ProjectName, StepName, StepStatus,
};
use windlass_store::ListFilter;

use super::{Done, Row, Run, Work, queue};
use crate::control::{Target, deployments, pausing};
use crate::host::Host;
use crate::testing::TestHost;

const SETTLES_WITHIN: Duration = Duration::from_secs(60);
const ENVIRONMENTS: [&str; 2] = ["production", "staging"];

/// What is done to the host. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Command {
    /// A new deployment, which fails in this step of the table, or in none.
    Create {
        environment: usize,
        fails_in: Option<usize>,
    },
    /// The live one again, or nothing when there is none.
    Redeploy {
        environment: usize,
    },
    /// Back to one that was live.
    Rollback {
        environment: usize,
        choice: usize,
    },
    Cancel {
        choice: usize,
    },
    Pause {
        choice: usize,
    },
    Resume {
        choice: usize,
    },
    /// Lets so many steps go on.
    Advance {
        steps: usize,
    },
    /// Drops everything that runs, and starts again from the store.
    Crash,
}

fn command() -> impl Strategy<Value = Command> {
    let environment = 0..ENVIRONMENTS.len();
    prop_oneof![
        4 => (environment.clone(), prop::option::weighted(0.4, 0..StepName::ALL.len()))
            .prop_map(|(environment, fails_in)| Command::Create { environment, fails_in }),
        1 => environment.clone().prop_map(|environment| Command::Redeploy { environment }),
        2 => (environment, 0..8_usize)
            .prop_map(|(environment, choice)| Command::Rollback { environment, choice }),
        2 => (0..8_usize).prop_map(|choice| Command::Cancel { choice }),
        2 => (0..8_usize).prop_map(|choice| Command::Pause { choice }),
        2 => (0..8_usize).prop_map(|choice| Command::Resume { choice }),
        6 => (1..20_usize).prop_map(|steps| Command::Advance { steps }),
        2 => Just(Command::Crash),
    ]
}

/// What the steps do, by deployment.
struct Script {
    /// A step goes on with one of these.
    permits: Semaphore,
    fails_in: Mutex<BTreeMap<DeploymentId, StepName>>,
}

struct Gated {
    step: StepName,
    script: &'static Script,
}

#[async_trait]
impl Work for Gated {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        if let Ok(permit) = self.script.permits.acquire().await {
            permit.forget();
        }
        let id = run.deployment.id.clone();
        if self.script.fails_in.lock().unwrap().get(&id) == Some(&self.step) {
            return Err(Failure::app("test.failed", "it failed", "the sequence says so", "none"));
        }
        if self.step == StepName::Build && run.deployment.outputs.artifact.is_none() {
            run.deployment.outputs.artifact = Some(artifact(&id));
        }
        if self.step == StepName::Switch && run.deployment.outputs.generation.is_none() {
            let (generation, replaced) = run.host.next_generation(&run.deployment).await?;
            run.deployment.outputs.generation = Some(generation);
            run.deployment.outputs.replaced = replaced;
            run.save().await?;
        }
        Ok(Done::new("done"))
    }

    async fn undo(&self, run: &mut Run) -> Result<(), Failure> {
        if self.step == StepName::Build {
            run.deployment.outputs.artifact = None;
        }
        Ok(())
    }
}

fn artifact(id: &DeploymentId) -> Artifact {
    Artifact {
        digest: Digest::of(id.as_str().as_bytes()),
        outputs: Vec::new(),
        processes: Vec::new(),
        bases: Vec::new(),
        toolchains: Vec::new(),
        plan: Digest::of(b"plan"),
    }
}

struct World {
    parts: TestHost,
    script: &'static Script,
    /// What a crash takes away: the queue with everything that it runs.
    epoch: Option<Runtime>,
    /// Environments in which something was live once.
    had_live: [bool; 2],
}

fn project() -> ProjectName {
    "shop".parse().unwrap()
}

fn environment(n: usize) -> EnvironmentName {
    ENVIRONMENTS[n].parse().unwrap()
}

impl World {
    async fn new() -> Self {
        let script: &'static Script =
            Box::leak(Box::new(Script { permits: Semaphore::new(0), fails_in: Mutex::default() }));
        let row = |step| {
            let work: &'static dyn Work = Box::leak(Box::new(Gated { step, script }));
            Row { step, work, deadline_s: |_| 3600 }
        };
        let table: &'static [Row; 12] = Box::leak(Box::new(StepName::ALL.map(row)));
        let parts = TestHost::with(Limits::default(), table).await;
        parts.host.store.ensure_project(&project()).await.unwrap();
        let mut world = Self { parts, script, epoch: None, had_live: [false; 2] };
        world.start();
        world
    }

    fn host(&self) -> &Arc<Host> {
        &self.parts.host
    }

    fn start(&mut self) {
        let epoch = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        epoch.spawn(queue::work(self.host().clone()));
        self.epoch = Some(epoch);
    }

    /// Ends the queue and every runner wherever they are, and waits until they are gone.
    async fn crash(&mut self) {
        let epoch = self.epoch.take().unwrap();
        let gone = move || epoch.shutdown_timeout(Duration::from_secs(10));
        tokio::task::spawn_blocking(gone).await.unwrap();
    }

    fn all(&self) -> Vec<Deployment> {
        let filter = ListFilter { limit: 10_000, ..ListFilter::default() };
        let (found, _) = self.host().store.list_deployments(&filter).unwrap();
        found.into_iter().map(|found| found.value).collect()
    }

    fn chosen(&self, choice: usize) -> Option<Deployment> {
        let all = self.all();
        all.get(choice % all.len().max(1)).cloned()
    }

    async fn create(&self, n: usize, kind: Kind) -> DeploymentId {
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let made = Deployment::queued(project(), environment(n), 0, kind, source, "test".into());
        let id = made.id.clone();
        self.host().store.create_deployment(made).await.unwrap();
        self.host().wake.notify_one();
        id
    }

    fn live(&self, n: usize) -> Option<Deployment> {
        self.host().live(&project(), &environment(n)).unwrap().map(|(live, _)| live)
    }

    async fn play(&mut self, command: &Command) {
        let host = self.host().clone();
        match *command {
            Command::Create { environment, fails_in } => {
                let step = fails_in.map(|n| StepName::ALL[n]);
                let id = self.create(environment, Kind::Deploy).await;
                self.script.fails_in.lock().unwrap().extend(step.map(|step| (id, step)));
            }
            Command::Redeploy { environment: n } => {
                let target = Target { project: project(), environment: environment(n) };
                let request = deployments::Request::by("test");
                let _ = deployments::redeploy(&host, &target, &request).await;
            }
            Command::Rollback { environment: n, choice } => {
                let (project, environment) = (project(), environment(n));
                let found = host.store.deployments_with_artifact(&project, &environment).unwrap();
                let targets: Vec<_> =
                    found.into_iter().filter(|found| found.value.live_at.is_some()).collect();
                if let Some(to) = targets.get(choice % targets.len().max(1)) {
                    let to = to.value.id.clone();
                    let kind = Kind::Rollback { to, with_its_env: false, rebuild: false };
                    self.create(n, kind).await;
                }
            }
            // Refusals are part of the sequence.
            Command::Cancel { choice } => {
                if let Some(one) = self.chosen(choice) {
                    let _ = deployments::cancel(&host, &one.id, "test").await;
                }
            }
            Command::Pause { choice } => {
                if let Some(one) = self.chosen(choice) {
                    let _ = pausing::pause(&host, &one.id, "test").await;
                }
            }
            Command::Resume { choice } => {
                if let Some(one) = self.chosen(choice) {
                    let _ = pausing::resume(&host, &one.id, "test").await;
                }
            }
            Command::Advance { steps } => {
                self.script.permits.add_permits(steps);
                self.let_go_on().await;
            }
            Command::Crash => {
                self.crash().await;
                self.start();
            }
        }
    }

    /// Gives what can go on the time to; nothing that is asserted depends on how far it comes.
    async fn let_go_on(&self) {
        for _ in 0..50 {
            if self.script.permits.available_permits() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// What must hold now. Records are read one after another while others write: a look that sees a
    /// change half is repeated, and what is really wrong stays so.
    async fn holds(&mut self) {
        for tries in 0.. {
            match self.looks_right() {
                Ok(()) => break,
                Err(_) if tries < 100 => tokio::time::sleep(Duration::from_millis(2)).await,
                Err(why) => panic!("{why}\n{:#?}", self.shown()),
            }
        }
    }

    fn looks_right(&mut self) -> Result<(), String> {
        let all = self.all();
        for deployment in &all {
            defined(deployment)?;
        }
        for n in 0..ENVIRONMENTS.len() {
            let of = |d: &&Deployment| d.environment == environment(n);
            let live: Vec<&Deployment> =
                all.iter().filter(of).filter(|d| d.status == DeploymentStatus::Live).collect();
            if live.len() > 1 {
                return Err(format!("{} deployments are live in {}", live.len(), ENVIRONMENTS[n]));
            }
            if self.had_live[n] && live.is_empty() {
                return Err(format!("nothing is live any more in {}", ENVIRONMENTS[n]));
            }
            if self.live(n).map(|d| d.id) != live.first().map(|d| d.id.clone()) {
                return Err(format!("{} points at another deployment", ENVIRONMENTS[n]));
            }
            self.had_live[n] |= !live.is_empty();
        }
        Ok(())
    }

    fn shown(&self) -> Vec<String> {
        let one = |d: Deployment| {
            let step = d.current_step();
            format!("#{} {} {:?} {} {step:?}", d.number, d.environment, d.kind, d.status)
        };
        self.all().into_iter().map(one).collect()
    }

    /// Lets everything go on, and waits until nothing is left to do.
    async fn settles(&mut self) {
        self.script.permits.add_permits(100_000);
        let settled = async {
            loop {
                for paused in
                    self.all().into_iter().filter(|d| d.status == DeploymentStatus::Paused)
                {
                    let _ = pausing::resume(self.host(), &paused.id, "test").await;
                }
                let over = self.all().iter().all(|d| d.status.is_over());
                if over && self.host().store.intents().unwrap().is_empty() {
                    return;
                }
                self.host().wake.notify_one();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(SETTLES_WITHIN, settled).await.is_err() {
            let intents = self.host().store.intents().unwrap();
            panic!("it does not settle: {:#?}\n{intents:#?}", self.shown());
        }
        self.holds().await;
    }
}

/// Whether a record is one that the state machine knows.
fn defined(deployment: &Deployment) -> Result<(), String> {
    use DeploymentStatus as S;
    let is_done = |status: StepStatus| status.is_done();
    let steps = || deployment.steps.iter().map(|step| step.status);
    let fits = match deployment.status {
        S::Queued => steps().all(|s| s == StepStatus::Pending) && deployment.started_at.is_none(),
        S::Running => deployment.started_at.is_some() && deployment.live_at.is_none(),
        S::Paused => deployment.paused.as_ref().is_some_and(|pause| {
            let (done, left) = deployment.steps.split_at(
                deployment.steps.iter().position(|s| s.name == pause.before).unwrap_or(0),
            );
            done.iter().all(|s| is_done(s.status))
                && left.iter().all(|s| s.status == StepStatus::Pending)
        }),
        S::Live | S::Draining | S::Retired => {
            steps().all(is_done) && deployment.live_at.is_some() && deployment.failure.is_none()
        }
        S::Failed => deployment.failure.is_some() && deployment.live_at.is_none(),
        S::Cancelled => deployment.cancelled.is_some() && deployment.live_at.is_none(),
        // No sequence stops anything, and no undo fails.
        S::Stopped | S::Stuck => false,
    };
    let halted = deployment.paused.is_some() == (deployment.status == S::Paused);
    if fits && halted { Ok(()) } else { Err(format!("undefined: {deployment:#?}")) }
}

fn cases() -> u32 {
    match std::env::var("WINDLASS_TEST_EXTENT") {
        Ok(extent) if extent == "full" => 400,
        _ => 16,
    }
}

#[test]
fn no_sequence_of_commands_and_crashes_reaches_an_undefined_state_or_loses_what_is_live() {
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() };
    proptest!(config, |(commands in prop::collection::vec(command(), 1..40))| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for command in &commands {
                world.play(command).await;
                world.holds().await;
            }
            world.settles().await;
            world.crash().await;
        });
    });
}
