//! The state machine as a whole: any sequence of what people ask for, of failures and of crashes, on
//! scripted steps that go on only when the sequence lets them.
//!
//! Holds at every moment: a record is in a defined state, no environment has two live deployments, and
//! one that had a live deployment has one, be it stopped. At the end everything settles: nothing is stuck,
//! what people asked for is done, and exactly the live deployments' instances are there.
//!
//! `WINDLASS_TEST_EXTENT=full` plays many more sequences. A sequence that fails is made smaller by
//! proptest and printed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use windlass_containers::{Labels, Runtime as _};
use windlass_model::deployment::{Kind, Source};
use windlass_model::queue::CreatePromotion;
use windlass_model::running::{InstanceState, LiveInstance};
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, EnvironmentName, Limits, ProjectName, StepName,
    StepStatus,
};
use windlass_store::ListFilter;

use commands::{Command, ENVIRONMENTS, command};
use steps::{Gated, ROOTFS, Script};

use super::{Row, Work, queue, runner};
use crate::control::{Target, deployments, pausing, promote, running};
use crate::host::Host;
use crate::supervise;
use crate::testing::TestHost;

mod commands;
mod steps;

const SETTLES_WITHIN: Duration = Duration::from_secs(60);

struct World {
    parts: TestHost,
    script: &'static Script,
    /// What a crash takes away: the queue with everything that it runs, and the supervisor.
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

fn target(n: usize) -> Target {
    Target { project: project(), environment: environment(n) }
}

impl World {
    async fn new() -> Self {
        let script: &'static Script = Box::leak(Box::new(Script {
            permits: Semaphore::new(0),
            fails_in: Mutex::default(),
            undo_fails_in: Mutex::default(),
            with_process: Mutex::default(),
        }));
        let row = |step| {
            let work: &'static dyn Work = Box::leak(Box::new(Gated { step, script }));
            Row { step, work, deadline_s: |_| 3600 }
        };
        let table: &'static [Row; 12] = Box::leak(Box::new(StepName::ALL.map(row)));
        let limits = Limits {
            restart_pause_ms: 5,
            settle_ms: 2,
            disk_free_bytes_min: 1,
            memory_free_bytes_min: 1,
            ..Limits::default()
        };
        let parts = TestHost::with(limits, table).await;
        parts.runtime.add_rootfs(ROOTFS, &[("/etc/passwd", b"")]).unwrap();
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
        epoch.spawn(supervise::work(self.host().clone()));
        self.epoch = Some(epoch);
    }

    /// Ends the queue, every runner and every keeper wherever they are, and waits until they are gone.
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
            Command::Create { environment, fails_in, undo_fails_in, has_process } => {
                let id = self.create(environment, Kind::Deploy).await;
                let step = |n: Option<usize>| n.map(|n| (id.clone(), StepName::ALL[n]));
                self.script.fails_in.lock().unwrap().extend(step(fails_in));
                self.script.undo_fails_in.lock().unwrap().extend(step(undo_fails_in));
                self.script.with_process.lock().unwrap().extend(has_process.then_some(id));
            }
            Command::Redeploy { environment: n } => {
                let request = deployments::Request::by("test");
                let _ = deployments::redeploy(&host, &target(n), &request).await;
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
            Command::Promote { into } => {
                let request = deployments::Request::by("test");
                let body = CreatePromotion { from: environment(1 - into) };
                let _ = promote::promote(&host, &target(into), body, &request).await;
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
            Command::Stop { environment } => {
                let _ = running::stop(&host, &target(environment), "test").await;
            }
            Command::Start { environment } => {
                let _ = running::start(&host, &target(environment), "test").await;
            }
            Command::Restart { environment } => {
                let _ = running::restart(&host, &target(environment), "test").await;
            }
            Command::Mend => self.script.undo_fails_in.lock().unwrap().clear(),
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

    /// Gives what can go on the time to; nothing that is asserted depends on how far it comes. What
    /// nobody took is taken back: the next deployment waits for its own.
    async fn let_go_on(&self) {
        for tries in 0..50 {
            let is_idle = tries > 4 && self.is_idle();
            if is_idle || self.script.permits.available_permits() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.script.permits.forget_permits(usize::MAX);
    }

    /// Whether nothing waits, runs or was asked for.
    fn is_idle(&self) -> bool {
        use DeploymentStatus::{Queued, Running};
        let at_work = |d: &Deployment| matches!(d.status, Queued | Running);
        let running = self.host().store.all_running().unwrap();
        !self.all().iter().any(at_work) && running.iter().all(|one| one.value.asked.is_none())
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
        for (n, name) in ENVIRONMENTS.iter().enumerate() {
            let of = |d: &&Deployment| d.environment == environment(n);
            let is_live = |d: &&Deployment| {
                matches!(d.status, DeploymentStatus::Live | DeploymentStatus::Stopped)
            };
            let live: Vec<&Deployment> = all.iter().filter(of).filter(is_live).collect();
            if live.len() > 1 {
                return Err(format!("{} deployments are live in {name}", live.len()));
            }
            if self.had_live[n] && live.is_empty() {
                return Err(format!("nothing is live any more in {name}"));
            }
            if self.live(n).map(|d| d.id) != live.first().map(|d| d.id.clone()) {
                return Err(format!("{name} points at another deployment"));
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

    /// Lets everything go on, and waits until nothing is left to do. What is stuck is cleaned up at the
    /// next start.
    async fn settles(&mut self) {
        self.script.permits.add_permits(100_000);
        self.script.undo_fails_in.lock().unwrap().clear();
        self.until("it settles", |all| all.iter().all(|d| d.status.is_over())).await;
        self.crash().await;
        self.start();
        self.until("nothing is left", |all| {
            all.iter().all(|d| d.status.is_over() && d.status != DeploymentStatus::Stuck)
        })
        .await;
        self.holds().await;
    }

    async fn until(&self, what: &str, holds: impl Fn(&[Deployment]) -> bool) {
        let reached = async {
            loop {
                let all = self.all();
                for paused in all.iter().filter(|d| d.status == DeploymentStatus::Paused) {
                    let _ = pausing::resume(self.host(), &paused.id, "test").await;
                }
                let no_intent = self.host().store.intents().unwrap().is_empty();
                if no_intent && holds(&all) && self.runs_as_wanted(&all).await {
                    return;
                }
                self.host().wake.notify_one();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(SETTLES_WITHIN, reached).await.is_err() {
            let intents = self.host().store.intents().unwrap();
            let running = self.host().store.all_running().unwrap();
            panic!("not: {what}: {:#?}\n{intents:#?}\n{running:#?}", self.shown());
        }
    }

    /// Whether what people asked for is done, every live deployment's instances run, and no other
    /// container is there.
    async fn runs_as_wanted(&self, all: &[Deployment]) -> bool {
        let mut wanted = BTreeSet::new();
        for running in self.host().store.all_running().unwrap() {
            let running = running.value;
            let Some(of) = all.iter().find(|d| d.id == running.deployment) else { return false };
            let processes = of.outputs.artifact.as_ref().map_or(0, |a| a.processes.len());
            let count = if running.stopped.is_some() { 0 } else { processes };
            let runs = |one: &LiveInstance| one.state == InstanceState::Running && !one.outdated;
            let is_stopped = of.status == DeploymentStatus::Stopped;
            if running.asked.is_some()
                || running.instances.len() != count
                || !running.instances.iter().all(runs)
                || running.stopped.is_some() != is_stopped
            {
                return false;
            }
            wanted.extend(running.instances.into_iter().map(|one| one.instance.id));
        }
        let there = self.parts.runtime.list(&Labels::new()).await.unwrap();
        there.into_iter().map(|container| container.id).collect::<BTreeSet<_>>() == wanted
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
        S::Live | S::Stopped | S::Draining | S::Retired => {
            steps().all(is_done) && deployment.live_at.is_some() && deployment.failure.is_none()
        }
        S::Built => {
            let never_live = deployment.live_at.is_none() && deployment.failure.is_none();
            deployment.kind.is_build() && steps().all(is_done) && never_live
        }
        S::Failed => {
            let was_cancelled = deployment.cancelled.is_some();
            deployment.failure.is_some() && !was_cancelled && deployment.live_at.is_none()
        }
        S::Cancelled => {
            let failed = deployment.failure.is_some();
            deployment.cancelled.is_some() && !failed && deployment.live_at.is_none()
        }
        S::Stuck => {
            let failure = deployment.failure.as_ref();
            failure.is_some_and(|failure| failure.code == runner::STUCK)
                && deployment.live_at.is_none()
        }
    };
    let halted = deployment.paused.is_some() == (deployment.status == S::Paused);
    if fits && halted { Ok(()) } else { Err(format!("undefined: {deployment:#?}")) }
}

fn cases() -> u32 {
    match std::env::var("WINDLASS_TEST_EXTENT") {
        Ok(extent) if extent == "full" => 400,
        _ => 24,
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
                Box::pin(world.play(command)).await;
                world.holds().await;
            }
            world.settles().await;
            world.crash().await;
        });
    });
}
