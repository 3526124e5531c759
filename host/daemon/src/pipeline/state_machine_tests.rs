//! The state machine as a whole: any sequence of what people ask for, of failures and of crashes, on
//! scripted steps that go on only when the sequence lets them. After a crash another host goes on from the
//! store as `serve` does: it compares first what should serve with what runs.
//!
//! Holds at every moment: a record is in a defined state, no environment has two live deployments, one that
//! had a live deployment has one until it is deleted, the proxy has a route for it, and it is stopped only
//! where a person asked for that. At the end everything settles: nothing is stuck, what people asked for is
//! done, exactly the live deployments' instances are there, as many as are wanted, and the proxy leads
//! visitors to these and to nothing else.
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
use windlass_model::running::{InstanceState, LiveInstance, Running, SetMaintenance, SetScale};
use windlass_model::settings::SetSettings;
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, EnvironmentName, Limits, ProjectName, StepName,
    StepStatus,
};
use windlass_proxy::{Route, Targets};
use windlass_store::ListFilter;

use commands::{Command, ENVIRONMENTS, command};
use steps::{Gated, ROOTFS, Script};

use super::{Row, Work, names, queue, runner};
use crate::control::{Target, deployments, pausing, projects, promote, running, settings};
use crate::host::Host;
use crate::testing::TestHost;
use crate::{reconcile, supervise};

mod commands;
mod steps;

const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// What visitors read during maintenance.
const MAINTENANCE: &str = "back at noon";

struct World {
    parts: TestHost,
    script: &'static Script,
    /// What a crash takes away: everything that the host does by itself, and requests that wait.
    epoch: Option<Runtime>,
    /// Environments in which something was live once.
    had_live: [bool; 2],
    /// Environments that a person asked to be stopped since they served last.
    may_be_stopped: [bool; 2],
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
            gives_way: Mutex::default(),
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
        let mut world =
            Self { parts, script, epoch: None, had_live: [false; 2], may_be_stopped: [false; 2] };
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
        let host = self.host().clone();
        epoch.spawn(async move {
            reconcile::reconcile(&host).await;
            tokio::join!(queue::work(host.clone()), supervise::work(host));
        });
        self.epoch = Some(epoch);
    }

    /// What comes after a crash: another host on the same store, containers and proxy.
    async fn start_anew(&mut self) {
        self.parts.start_anew().await;
        self.start();
    }

    /// Every process in a container is gone, as after a restart of the machine.
    async fn lose_tasks(&self) {
        for container in self.parts.runtime.list(&Labels::new()).await.unwrap() {
            self.parts.runtime.lose_task(&container.id);
        }
    }

    /// Ends what the host does wherever it is, and waits until it is gone.
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
            Command::Create { environment, fails_in, undo_fails_in, has_process, gives_way } => {
                let id = self.create(environment, Kind::Deploy).await;
                let step = |n: Option<usize>| n.map(|n| (id.clone(), StepName::ALL[n]));
                self.script.fails_in.lock().unwrap().extend(step(fails_in));
                self.script.undo_fails_in.lock().unwrap().extend(step(undo_fails_in));
                let (processes, ways) = (&self.script.with_process, &self.script.gives_way);
                processes.lock().unwrap().extend(has_process.then(|| id.clone()));
                ways.lock().unwrap().extend(gives_way.then_some(id));
            }
            Command::Build { environment } => {
                self.create(environment, Kind::Build { image: String::new() }).await;
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
            Command::Mend => self.script.undo_fails_in.lock().unwrap().clear(),
            Command::Advance { steps } => {
                self.script.permits.add_permits(steps);
                self.let_go_on().await;
            }
            Command::Crash { loses_tasks } => {
                self.crash().await;
                if loses_tasks {
                    self.lose_tasks().await;
                }
                self.start_anew().await;
            }
            _ => Box::pin(self.play_in_environment(command)).await,
        }
    }

    /// What is asked of an environment, not of a deployment.
    async fn play_in_environment(&mut self, command: &Command) {
        let host = self.host().clone();
        match *command {
            Command::Stop { environment: n } => {
                let asked = running::stop(&host, &target(n), "test").await;
                self.may_be_stopped[n] |= asked.is_ok();
            }
            Command::Start { environment } => {
                let _ = running::start(&host, &target(environment), "test").await;
            }
            Command::Restart { environment } => {
                let _ = running::restart(&host, &target(environment), "test").await;
            }
            Command::Scale { environment, replicas } => {
                let replicas = [("web".parse().unwrap(), replicas)].into();
                let body = SetScale { replicas };
                let _ = running::scale(&host, &target(environment), body, "test").await;
            }
            // A request of its own: it waits until no deployment takes the route over.
            Command::Maintenance { environment, on } => {
                let request = async move {
                    let target = target(environment);
                    if on {
                        let message = Some(MAINTENANCE.to_owned());
                        let body = SetMaintenance { message, hold_ms: None };
                        drop(running::maintenance_on(&host, &target, body, "test").await);
                    } else {
                        drop(running::maintenance_off(&host, &target, "test").await);
                    }
                };
                self.epoch.as_ref().unwrap().spawn(request);
            }
            Command::Keep { environment, deployments, artifacts } => {
                let keep = serde_json::json!({ "deploy": {
                    "keep_deployments": deployments, "keep_artifacts": artifacts,
                }});
                let settings = keep.as_object().unwrap().clone();
                let body = SetSettings { settings, revision: None };
                let _ = settings::set(&host, &target(environment), body, "test").await;
            }
            Command::Delete { environment: n } => {
                if projects::delete_environment(&host, &target(n)).await.is_ok() {
                    self.had_live[n] = false;
                    self.may_be_stopped[n] = false;
                }
            }
            _ => unreachable!("{command:?} is about deployments or the host"),
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
            match self.looks_right().await {
                Ok(()) => break,
                Err(_) if tries < 100 => tokio::time::sleep(Duration::from_millis(2)).await,
                Err(why) => panic!("{why}\n{:#?}", self.shown()),
            }
        }
    }

    async fn looks_right(&mut self) -> Result<(), String> {
        let all = self.all();
        let routes = self.host().proxy.routes().await.unwrap();
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
            let Some(live) = live.first() else { continue };
            let route = names::route(&project(), &environment(n));
            if !routes.iter().any(|one| one.name == route) {
                return Err(format!("the proxy has no route for {name}"));
            }
            if live.status == DeploymentStatus::Stopped && !self.may_be_stopped[n] {
                return Err(format!("nobody asked {name} to be stopped"));
            }
            let serves = |running: Running| running.asked.is_none() && running.stopped.is_none();
            if live.status == DeploymentStatus::Live && self.running(n).is_some_and(serves) {
                self.may_be_stopped[n] = false;
            }
        }
        Ok(())
    }

    fn running(&self, n: usize) -> Option<Running> {
        let found = self.host().running(&project(), &environment(n)).unwrap();
        found.map(|(running, _)| running)
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
        self.start_anew().await;
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
                if no_intent
                    && holds(&all)
                    && self.runs_as_wanted(&all).await
                    && self.visitors_are_led_there(&all).await
                {
                    return;
                }
                self.host().wake.notify_one();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(SETTLES_WITHIN, reached).await.is_err() {
            let intents = self.host().store.intents().unwrap();
            let running = self.host().store.all_running().unwrap();
            let routes = self.host().proxy.routes().await.unwrap();
            panic!("not: {what}: {:#?}\n{intents:#?}\n{running:#?}\n{routes:#?}", self.shown());
        }
    }

    /// Whether what people asked for is done, every live deployment's instances run, and no other
    /// container is there.
    async fn runs_as_wanted(&self, all: &[Deployment]) -> bool {
        let mut wanted = BTreeSet::new();
        for running in self.host().store.all_running().unwrap() {
            let running = running.value;
            let Some(of) = all.iter().find(|d| d.id == running.deployment) else { return false };
            let processes = of.outputs.artifact.iter().flat_map(|artifact| &artifact.processes);
            let wanted_count: u32 = processes.map(|p| running.wanted(of, &p.name)).sum();
            let count = if running.stopped.is_some() { 0 } else { wanted_count as usize };
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

    /// Whether the proxy's routes are what the records say. One that is stuck may keep its environment's
    /// route until it is cleaned up.
    async fn visitors_are_led_there(&self, all: &[Deployment]) -> bool {
        let routes = self.host().proxy.routes().await.unwrap();
        (0..ENVIRONMENTS.len()).all(|n| {
            let name = names::route(&project(), &environment(n));
            let is_stuck = |d: &Deployment| {
                d.environment == environment(n) && d.status == DeploymentStatus::Stuck
            };
            let route = routes.iter().find(|route| route.name == name);
            all.iter().any(is_stuck)
                || match (route, self.running(n)) {
                    (None, None) => true,
                    (Some(route), Some(running)) => leads_to(route, &running),
                    _ => false,
                }
        })
    }
}

/// Whether visitors of a route meet what this record says: its running instances and no other, or nobody
/// where it is stopped or in maintenance.
fn leads_to(route: &Route, running: &Running) -> bool {
    let is_open = running.stopped.is_none() && running.maintenance.is_none();
    let answering = running.instances.iter().filter(|one| is_open && one.answers());
    let answering: BTreeSet<&str> = answering.map(|one| one.instance.id.as_str()).collect();
    let met: BTreeSet<&str> = match &route.targets {
        Targets::Instances { instances } => instances.iter().map(|one| one.id.as_str()).collect(),
        Targets::Static { .. } | Targets::None { .. } => BTreeSet::new(),
    };
    let reason = match &route.targets {
        Targets::None { reason, .. } => Some(reason.as_str()),
        _ => None,
    };
    let maintenance = running.maintenance.as_ref().filter(|_| running.stopped.is_none());
    let is_said = maintenance.is_none_or(|maintenance| reason == Some(&*maintenance.message));
    let is_over = maintenance.is_some() || reason != Some(MAINTENANCE);
    route.generation == running.generation && met == answering && is_said && is_over
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
