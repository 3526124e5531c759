//! The supervisor on a fake container runtime and a real proxy: no root, no containerd.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use windlass_model::deployment::HealthRecord;
use windlass_model::plan::{HealthPolicy, Probe};
use windlass_model::running::{EventKind, InstanceState, LiveInstance, Running, SetScale};
use windlass_model::settings::Settings;
use windlass_model::{Deployment, DeploymentStatus, Limits};

use crate::control::{Target, running};
use crate::pipeline::TABLE;
use crate::testing::TestHost;

const WITHIN: Duration = Duration::from_secs(20);

struct World {
    parts: TestHost,
    target: Target,
    work: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl World {
    /// A live deployment with a web process and a worker, supervised with short pauses.
    async fn open() -> Self {
        let limits = Limits {
            restart_pause_ms: 10,
            restart_pause_ms_max: 80,
            crash_loop_exits: 3,
            settle_ms: 5,
            stop_grace_s: 1,
            liveness_every_ms: 5,
            liveness_failures: 3,
            disk_free_bytes_min: 1,
            memory_free_bytes_min: 1,
            ..Limits::default()
        };
        let parts = TestHost::with(limits, &TABLE).await;
        let target = parts.shop().await;
        let work = tokio::spawn(super::work(parts.host.clone()));
        let world = Self { parts, target, work };
        Box::pin(world.go_live()).await;
        world
    }

    /// A new deployment is live, without instances: the supervisor starts them.
    async fn go_live(&self) -> Deployment {
        Box::pin(self.parts.go_live(&self.target, Settings::default(), None)).await
    }

    fn running(&self) -> Running {
        let Target { project, environment } = &self.target;
        self.parts.host.running(project, environment).unwrap().unwrap().0
    }

    fn web(&self) -> LiveInstance {
        let instances = self.running().instances;
        instances.into_iter().find(|one| one.name() == "web.0").unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Running) -> bool) -> Running {
        let seen = async {
            loop {
                let running = self.running();
                if holds(&running) {
                    return running;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(WITHIN, seen).await {
            Ok(running) => running,
            Err(_) => panic!("{what}: {:#?}", self.running()),
        }
    }

    async fn until_names(&self, names: &[&str]) -> Running {
        let what = format!("{names:?} run");
        self.until(&what, |running| {
            let runs = |one: &LiveInstance| one.state == InstanceState::Running;
            let mut found: Vec<String> =
                running.instances.iter().filter(|one| runs(one)).map(LiveInstance::name).collect();
            found.sort();
            found == names && running.instances.len() == names.len()
        })
        .await
    }

    fn kinds(&self) -> Vec<EventKind> {
        let Target { project, environment } = &self.target;
        let events = self.parts.host.store.events(project, environment, None, 0).unwrap();
        events.into_iter().rev().map(|event| event.kind).collect()
    }

    async fn containers(&self) -> Vec<String> {
        use windlass_containers::Runtime as _;
        let found = self.parts.runtime.list(&windlass_containers::Labels::new()).await.unwrap();
        found.into_iter().map(|container| container.id).collect()
    }
}

#[tokio::test]
async fn an_instance_that_ends_is_started_again_ever_later_and_a_crash_loop_is_said() {
    let world = Box::pin(World::open()).await;
    world.until_names(&["web.0", "worker.0"]).await;
    for restarts in 1..=2 {
        world.parts.runtime.crash(&world.web().instance.id, 7);
        world
            .until("it runs again", |_| {
                let web = world.web();
                web.restarts == restarts && web.state == InstanceState::Running
            })
            .await;
    }
    let web = world.web();
    assert_eq!(web.last_exit.unwrap().code, 7);
    assert_eq!(web.failures_in_a_row, 2);
    world.parts.runtime.crash(&web.instance.id, 7);
    let looping = |_: &Running| world.web().state == InstanceState::CrashLooping;
    world.until("the crash loop is seen", looping).await;
    assert_eq!(world.web().failure.unwrap().code, "run.crash-loop");
    // It is started again all the same.
    world.until_names(&["web.0", "worker.0"]).await;
    let kinds = world.kinds();
    assert!(kinds.contains(&EventKind::CrashLoop), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Exited).count(), 2, "{kinds:?}");
}

#[tokio::test]
async fn a_lost_task_is_no_fault_of_the_application() {
    let world = Box::pin(World::open()).await;
    world.until_names(&["web.0", "worker.0"]).await;
    let id = world.web().instance.id;
    world.parts.runtime.lose_task(&id);
    // The wait of before is cut off, as a restart of the machine does.
    world.work.abort();
    let work = tokio::spawn(super::work(world.parts.host.clone()));
    world
        .until("it runs again", |_| {
            let web = world.web();
            web.restarts == 1 && web.state == InstanceState::Running
        })
        .await;
    assert_eq!(world.web().failures_in_a_row, 0);
    work.abort();
}

#[tokio::test]
async fn instances_come_and_go_by_the_number_that_is_wanted_and_the_deployment_is_not_touched() {
    let world = Box::pin(World::open()).await;
    let running = world.until_names(&["web.0", "worker.0"]).await;
    let before = world.parts.host.deployment(&running.deployment).unwrap().unwrap();
    let scale = |web, worker| {
        let replicas = [("web", web), ("worker", worker)];
        let replicas = replicas.into_iter().map(|(name, n)| (name.parse().unwrap(), Some(n)));
        SetScale { replicas: replicas.collect() }
    };
    let host = &world.parts.host;
    running::scale(host, &world.target, scale(3, 0), "ada").await.unwrap();
    world.until_names(&["web.0", "web.1", "web.2"]).await;
    running::scale(host, &world.target, scale(1, 1), "ada").await.unwrap();
    world.until_names(&["web.0", "worker.0"]).await;
    assert_eq!(world.containers().await.len(), 2);
    let after = host.deployment(&running.deployment).unwrap().unwrap();
    assert_eq!(after, before, "the deployment's record");
    let refused = running::scale(host, &world.target, scale(0, 1), "ada").await.unwrap_err();
    assert_eq!(refused.code, "scale.out-of-range");
    assert!(refused.fix.contains("windlass stop"), "{refused:?}");
}

#[tokio::test]
async fn what_is_stopped_has_no_instance_and_the_same_deployment_starts_again() {
    let world = Box::pin(World::open()).await;
    let running = world.until_names(&["web.0", "worker.0"]).await;
    let (host, target) = (&world.parts.host, &world.target);
    let status = || host.deployment(&running.deployment).unwrap().unwrap().0.status;
    let refused = running::start(host, target, "ada").await.unwrap_err();
    assert_eq!(refused.code, "environment.serving");
    running::stop(host, target, "ada").await.unwrap();
    world.until("it is stopped", |r| r.stopped.is_some() && r.asked.is_none()).await;
    assert_eq!((status(), world.containers().await), (DeploymentStatus::Stopped, Vec::new()));
    let refused = running::restart(host, target, "ada").await.unwrap_err();
    assert_eq!(refused.code, "environment.stopped");
    assert!(refused.fix.contains("windlass start"), "{refused:?}");
    let kinds = world.kinds();
    assert!(kinds.ends_with(&[EventKind::Stop, EventKind::Stopped]), "{kinds:?}");
    // What is stopped can be deleted.
    let Target { project, environment } = target;
    host.store.delete_environment(project, environment).await.unwrap();
    assert!(host.running(project, environment).unwrap().is_none());
}

#[tokio::test]
async fn instances_of_a_deployment_that_drains_are_left_alone() {
    let world = Box::pin(World::open()).await;
    let running = world.until_names(&["web.0", "worker.0"]).await;
    let old = world.web().instance.id;
    Box::pin(world.go_live()).await;
    world
        .until("the new one's instances run", |now| {
            now.deployment != running.deployment
                && now.instances.len() == 2
                && now.instances.iter().all(|one| one.state == InstanceState::Running)
        })
        .await;
    world.parts.runtime.crash(&old, 1);
    world.parts.runtime.crash(&world.web().instance.id, 1);
    world
        .until("the new one is started again", |_| {
            let web = world.web();
            web.restarts == 1 && web.state == InstanceState::Running
        })
        .await;
    let started = world.parts.runtime.started();
    assert_eq!(started.iter().filter(|spec| spec.id == old).count(), 1, "the old one stays dead");
}

/// An application that cuts two connections of three, and, once it is dead, every one.
struct App {
    port: u16,
    asked: Arc<AtomicUsize>,
    dead: Arc<AtomicBool>,
    work: tokio::task::JoinHandle<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl App {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, dead) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, is_dead) = (asked.clone(), dead.clone());
        let work = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let nth = count.fetch_add(1, Ordering::SeqCst) + 1;
                let _ = stream.read(&mut [0; 1024]).await;
                if nth.is_multiple_of(3) && !is_dead.load(Ordering::SeqCst) {
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                }
            }
        });
        Self { port, asked, dead, work }
    }

    /// The record of a check that asked it.
    fn health(&self) -> HealthRecord {
        let probe = Probe::Http {
            process: "web".into(),
            port: Some(self.port),
            path: "/".into(),
            headers: Vec::new(),
            redirects_max: 0,
        };
        let policy = HealthPolicy {
            probes: vec![probe],
            pass_status: Vec::new(),
            first_after_ms: 0,
            interval_min_ms: 10,
            interval_max_ms: 10,
            timeout_ms: 20_000,
            budget_ms: 1000,
        };
        HealthRecord { plugin: "none-is-loaded".into(), policy, seen: Vec::new() }
    }
}

impl World {
    async fn set_health(&self, health: Option<HealthRecord>) {
        let id = self.running().deployment;
        let (mut deployment, revision) = self.parts.host.deployment(&id).unwrap().unwrap();
        deployment.outputs.health = health;
        self.parts.host.save_deployment(&deployment, revision).await.unwrap();
    }

    fn starts(&self, id: &str) -> usize {
        self.parts.runtime.started().iter().filter(|spec| spec.id == id).count()
    }
}

#[tokio::test]
async fn an_instance_that_answers_no_more_is_started_again_and_one_that_does_in_between_is_not() {
    let mut world = Box::pin(World::open()).await;
    world.until_names(&["web.0", "worker.0"]).await;
    let app = App::listen().await;
    world.set_health(Some(app.health())).await;
    // As at a start of the host: what runs is taken up, and from now on it is probed.
    world.work.abort();
    world.work = tokio::spawn(super::work(world.parts.host.clone()));
    let asked = |n| app.asked.load(Ordering::SeqCst) >= n;
    world.until("two probes of three fail, again and again", |_| asked(20)).await;
    let before = world.web();
    assert_eq!((before.restarts, before.state), (0, InstanceState::Running));
    assert!(!world.kinds().contains(&EventKind::Unhealthy), "{:?}", world.kinds());
    // The probing knows its policy; the start afterwards is checked without a component, as none is
    // loaded here.
    world.set_health(None).await;
    app.dead.store(true, Ordering::SeqCst);
    world
        .until("it is started again", |_| {
            let web = world.web();
            web.restarts == 1 && web.state == InstanceState::Running
        })
        .await;
    let Target { project, environment } = &world.target;
    let events = world.parts.host.store.events(project, environment, None, 0).unwrap();
    let unwell: Vec<_> = events.iter().filter(|one| one.kind == EventKind::Unhealthy).collect();
    let [unwell] = &unwell[..] else { panic!("{events:#?}") };
    let failure = unwell.failure.as_ref().unwrap();
    assert_eq!(failure.code, "run.unhealthy");
    assert!(failure.why.starts_with("3 probes in a row"), "{failure:?}");
    assert!(failure.why.contains("the connection was cut"), "{failure:?}");
    let (web, worker) = (&before.instance.id, "worker.0");
    let running = world.running();
    let worker = running.instances.iter().find(|one| one.name() == worker).unwrap();
    assert_eq!((world.starts(web), world.starts(&worker.instance.id)), (2, 1));
}
