//! Schedules on a fake container runtime: no root, no containerd, and no waiting for a full minute.

use std::sync::Arc;
use std::time::Duration;

use windlass_containers::runtime::TaskStatus;
use windlass_containers::{Labels, Runtime as _};
use windlass_model::cron::{Overlap, Schedule};
use windlass_model::running::{self, Action, By, Maintenance, Running};
use windlass_model::schedule::{Asked, CronRun, RunStatus, Suspended};
use windlass_model::settings::Settings;
use windlass_model::webhook::{Preview, PreviewOf};
use windlass_model::{Deployment, DeploymentStatus, Limits, Timestamp};

use super::{change, recover, suspension};
use crate::control::{Target, cron};
use crate::host::Host;
use crate::pipeline::TABLE;
use crate::testing::{TestHost, artifact, queued};

mod downtime;

const WITHIN: Duration = Duration::from_secs(20);
const HOUR_S: i64 = 3600;

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
    /// A deployment that has been live for a week, with these schedules.
    async fn open(schedules: Vec<Schedule>) -> Self {
        let mut limits = Limits { stop_grace_s: 1, ..Limits::default() };
        limits.cron.runs_kept_max = 5;
        let parts = TestHost::with(limits, &TABLE).await;
        let target = parts.shop().await;
        let work = tokio::spawn(super::work(parts.host.clone()));
        let world = Self { parts, target, work };
        Box::pin(world.go_live(schedules, 7 * 24 * HOUR_S)).await;
        world
    }

    async fn go_live(&self, cron: Vec<Schedule>, live_for_s: i64) -> Deployment {
        let settings = Settings { cron, ..Settings::default() };
        Box::pin(self.parts.go_live(&self.target, settings, Some(ago(live_for_s)))).await
    }

    fn host(&self) -> &Arc<Host> {
        &self.parts.host
    }

    fn place(&self) -> super::Place {
        (self.target.project.clone(), self.target.environment.clone())
    }

    async fn ask(&self, name: &str) -> CronRun {
        cron::run(self.host(), &self.target, name, "ann").await.unwrap()
    }

    /// What is kept of a run.
    fn run(&self, name: &str, number: u64) -> Option<CronRun> {
        let runs = cron::runs(self.host(), &self.target, name).unwrap();
        runs.into_iter().find(|run| run.number == number)
    }

    async fn until(&self, name: &str, number: u64, status: RunStatus) -> CronRun {
        let seen = async {
            loop {
                if let Some(run) = self.run(name, number).filter(|run| run.status == status) {
                    return run;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(WITHIN, seen).await {
            Ok(run) => run,
            Err(_) => panic!("{name} #{number} {status}: {:#?}", self.run(name, number)),
        }
    }

    /// A run whose container is there.
    async fn until_made(&self, name: &str, number: u64) -> String {
        let run = self.until(name, number, RunStatus::Running).await;
        let container = super::run::container_of(name, &run).unwrap();
        let made = async {
            while !self.containers().await.contains(&container) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WITHIN, made).await.unwrap();
        container
    }

    async fn until_clean(&self) {
        let clean = async {
            while !self.containers().await.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let left = tokio::time::timeout(WITHIN, clean).await;
        assert!(left.is_ok(), "left: {:?}", self.containers().await);
    }

    async fn containers(&self) -> Vec<String> {
        let found = self.parts.runtime.list(&Labels::new()).await.unwrap();
        found.into_iter().map(|container| container.id).collect()
    }

    /// Everything up to so long ago was decided upon.
    async fn decided(&self, name: &str, ago_s: i64) {
        let (at, place) = (ago(ago_s), self.place());
        let decided = change(self.host(), &place, name, |history| {
            history.decided_until = Some(at);
            Ok(Some(()))
        });
        decided.await.unwrap().unwrap();
        self.host().cron.wake.notify_one();
    }

    /// What a host leaves that is killed while a run goes on: of `unmade` before its container was made, of `stored`
    /// after its end was stored.
    async fn left_by_a_killed_host(&self, schedule: &Schedule) -> String {
        let (host, place) = (self.host(), self.place());
        let (live, _) = host.live(&place.0, &place.1).unwrap().unwrap();
        let (now, name) = (Timestamp::now(), schedule.name.as_str());
        let begun = change(host, &place, name, |history| {
            history.ask(Asked::Time(now), schedule.overlap, now);
            let begun = history.begin((live.id.clone(), live.number), 60_000, now);
            if name == "in-time"
                && let Some(run) = history.runs.last_mut()
            {
                // Its time runs out while the host is down, after its end.
                run.started_at = Some(ago(10));
                run.timeout_ms = 12_000;
                return Ok(Some(run.clone()));
            }
            Ok(begun)
        });
        let begun = begun.await.unwrap().unwrap();
        if name != "unmade" {
            super::run::make(host, &live, schedule, &begun).await.unwrap();
        }
        if name == "stored" {
            let ended = change(host, &place, name, |history| {
                history.end(1, RunStatus::Succeeded, None, now, "");
                Ok(Some(()))
            });
            ended.await.unwrap().unwrap();
        }
        super::run::container_of(name, &begun).unwrap()
    }

    /// The host is killed and started again, with what it finds.
    async fn start_again(&mut self) {
        self.work.abort();
        self.parts.start_anew().await;
        recover::reconcile(self.host()).await.unwrap();
        self.work = tokio::spawn(super::work(self.host().clone()));
    }
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() - seconds).unwrap()
}

fn schedule(name: &str, overlap: Overlap) -> Schedule {
    Schedule {
        name: name.to_owned(),
        // Far away: the test does not depend on when it runs.
        cron: "0 0 29 2 *".to_owned(),
        timezone: None,
        argv: vec!["job".to_owned(), name.to_owned()],
        process: None,
        overlap,
        timeout_ms: 0,
    }
}

#[tokio::test]
async fn a_run_has_a_container_of_the_live_version_and_its_end_is_kept() {
    let world = Box::pin(World::open(vec![schedule("clean", Overlap::Skip)])).await;
    let asked = world.ask("clean").await;
    assert_eq!((asked.number, asked.actor.as_deref()), (1, Some("ann")));
    let container = world.until_made("clean", 1).await;
    let spec = world.parts.runtime.started().into_iter().find(|it| it.id == container).unwrap();
    assert_eq!(spec.argv, ["job", "clean"]);
    assert!(spec.env.contains(&("WINDLASS_PROCESS".to_owned(), "cron.clean".to_owned())));
    world.parts.runtime.crash(&container, 0);
    let done = world.until("clean", 1, RunStatus::Succeeded).await;
    assert_eq!((done.exit_code, done.log.as_deref()), (Some(0), Some("cron.clean.1")));
    assert_eq!(done.deployment_number, Some(1));

    world.ask("clean").await;
    let container = world.until_made("clean", 2).await;
    world.parts.runtime.crash(&container, 7);
    let failed = world.until("clean", 2, RunStatus::Failed).await;
    assert_eq!(failed.exit_code, Some(7));
    assert_eq!(failed.failure.unwrap().code, "cron.failed");
    world.until_clean().await;
    let told = world.host().observe.events.after(0);
    let told = told.filter(|event| event.kind == format!("cron.{}", RunStatus::Failed));
    assert_eq!(told.count(), 1);
    let [view] = &cron::list(world.host(), &world.target).unwrap()[..] else { panic!() };
    assert_eq!((view.runs, view.failures), (2, 1));
    assert_eq!(view.last_run.as_ref().map(|run| run.number), Some(2));
    assert!(view.next_at.unwrap() > Timestamp::now());
}

#[tokio::test]
async fn runs_that_overlap_are_refused_wait_or_take_the_place_of_the_one_before() {
    let schedules = vec![
        schedule("skip", Overlap::Skip),
        schedule("queue", Overlap::Queue),
        schedule("replace", Overlap::Replace),
    ];
    let world = Box::pin(World::open(schedules)).await;
    for name in ["skip", "queue", "replace"] {
        world.ask(name).await;
        world.until_made(name, 1).await;
    }
    let refused = cron::run(world.host(), &world.target, "skip", "ann").await.unwrap_err();
    assert_eq!(refused.code, "cron.still-running");

    world.ask("queue").await;
    let refused = cron::run(world.host(), &world.target, "queue", "ann").await.unwrap_err();
    assert_eq!(refused.code, "cron.still-running", "one waits, and no more");
    assert_eq!(world.run("queue", 2).unwrap().status, RunStatus::Waiting);
    let first = world.until_made("queue", 1).await;
    world.parts.runtime.crash(&first, 0);
    world.until_made("queue", 2).await;

    world.ask("replace").await;
    let ended = world.until("replace", 1, RunStatus::Ended).await;
    assert_eq!((ended.summary.as_str(), ended.failure), ("#2 took its place", None));
    world.until_made("replace", 2).await;
    assert_eq!(world.containers().await.len(), 3, "one of each goes on");
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_ended() {
    let quick = Schedule { timeout_ms: 1000, ..schedule("quick", Overlap::Skip) };
    let world = Box::pin(World::open(vec![quick])).await;
    world.ask("quick").await;
    let ended = world.until("quick", 1, RunStatus::TimedOut).await;
    assert_eq!(ended.failure.unwrap().code, "cron.timed-out");
    world.until_clean().await;
}

#[tokio::test]
async fn a_start_without_an_answer_is_not_made_again() {
    let names = ["goes-on", "gone", "unstarted"];
    let schedules = names.map(|name| schedule(name, Overlap::Skip)).to_vec();
    let world = Box::pin(World::open(schedules)).await;
    let after = [TaskStatus::Running { pid: 1 }, TaskStatus::Missing, TaskStatus::Created];
    for (name, status) in names.into_iter().zip(after) {
        world.parts.runtime.cut_off_next_start(status);
        world.ask(name).await;
        if name == "goes-on" {
            let container = world.until_made(name, 1).await;
            world.parts.runtime.crash(&container, 0);
            world.until(name, 1, RunStatus::Succeeded).await;
        } else {
            let lost = world.until(name, 1, RunStatus::Lost).await;
            assert_eq!(lost.failure.unwrap().code, "cron.lost");
        }
    }
    world.until_clean().await;
    assert_eq!(world.parts.runtime.started().len(), names.len(), "each was started once");
}

#[tokio::test]
async fn a_run_that_waits_for_the_lock_of_the_instances_takes_one_place() {
    let world = Box::pin(World::open(vec![schedule("clean", Overlap::Skip)])).await;
    let (project, environment) = world.place();
    let (live, _) = world.host().live(&project, &environment).unwrap().unwrap();
    let lock = world.host().environment_lock(&live, "instances").await;
    let free = world.host().cron.places.available_permits();
    world.ask("clean").await;
    for _ in 0..5 {
        world.host().cron.wake.notify_one();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.host().cron.places.available_permits(), free - 1);
    drop(lock);
    let container = world.until_made("clean", 1).await;
    world.parts.runtime.crash(&container, 0);
    world.until("clean", 1, RunStatus::Succeeded).await;
    world.until_clean().await;
}

#[tokio::test]
async fn nothing_runs_in_maintenance_and_what_was_due_then_does_not_follow() {
    let often = Schedule { cron: "* * * * *".to_owned(), ..schedule("often", Overlap::Skip) };
    let world = Box::pin(World::open(vec![often])).await;
    let container = world.until_made("often", 1).await;
    world.parts.runtime.crash(&container, 0);
    world.until("often", 1, RunStatus::Succeeded).await;
    let (project, environment) = world.place();
    let maintain = |is_on: bool| {
        let message = || Maintenance { message: "soon".into(), hold_ms: None, by: By::now("ann") };
        let change = world.host().change_running(&project, &environment, move |running| {
            running.maintenance = is_on.then(message);
            Ok(Some(()))
        });
        Box::pin(change)
    };
    maintain(true).await.unwrap();
    let refused = cron::run(world.host(), &world.target, "often", "ann").await.unwrap_err();
    assert_eq!(refused.code, "cron.suspended");
    world.decided("often", 600).await;
    let [view] = &cron::list(world.host(), &world.target).unwrap()[..] else { panic!() };
    assert!(view.suspended.is_some() && view.next_at.is_none());
    // A look at the schedules, for which the change of the record wakes.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cron::runs(world.host(), &world.target, "often").unwrap().len(), 1);
    maintain(false).await.unwrap();
    let at = Timestamp::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let runs = cron::runs(world.host(), &world.target, "often").unwrap();
    // A full minute may just have come; what was due before may not.
    assert!(runs.iter().all(|run| run.number == 1 || run.due_at.unwrap() >= at), "{runs:#?}");
}

#[tokio::test]
async fn a_clock_that_was_far_ahead_does_not_keep_a_schedule_from_running() {
    let often = Schedule { cron: "* * * * *".to_owned(), ..schedule("often", Overlap::Skip) };
    let world = Box::pin(World::open(Vec::new())).await;
    world.decided("often", -HOUR_S).await;
    Box::pin(world.go_live(vec![often], 0)).await;
    let next = || cron::list(world.host(), &world.target).unwrap()[0].next_at.unwrap();
    assert!(next() > ago(60 - HOUR_S), "a clock that was put back has no time come twice");
    world.decided("often", -30 * 24 * HOUR_S).await;
    assert!(next() <= ago(-60));
    let counts = async {
        let (project, environment) = world.place();
        loop {
            let found = world.host().store.cron_history(&project, &environment, "often").unwrap();
            if found.unwrap().value.decided_until.unwrap() <= Timestamp::now() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WITHIN, counts).await.unwrap();
}

#[tokio::test]
async fn a_preview_runs_its_schedules_only_when_a_person_asks() {
    let often = Schedule { cron: "* * * * *".to_owned(), ..schedule("often", Overlap::Skip) };
    let world = Box::pin(World::open(Vec::new())).await;
    let (project, environment) = world.place();
    let preview = Preview {
        project,
        environment,
        origin: PreviewOf::Branch("feature".to_owned()),
        from_fork: false,
        created_at: ago(HOUR_S),
        deployed_at: ago(HOUR_S),
        removing: None,
        inherited: Vec::new(),
    };
    world.host().store.put_preview(&preview).await.unwrap();
    Box::pin(world.go_live(vec![often], HOUR_S)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(cron::runs(world.host(), &world.target, "often").unwrap().is_empty());
    let [view] = &cron::list(world.host(), &world.target).unwrap()[..] else { panic!() };
    assert_eq!((view.suspended, view.next_at), (Some(Suspended::Preview), None));
    world.ask("often").await;
    let container = world.until_made("often", 1).await;
    world.parts.runtime.crash(&container, 0);
    world.until("often", 1, RunStatus::Succeeded).await;
}

#[tokio::test]
async fn after_a_switch_the_schedules_are_those_of_the_new_version_and_what_runs_goes_on() {
    let world = Box::pin(World::open(vec![schedule("old", Overlap::Queue)])).await;
    world.ask("old").await;
    let container = world.until_made("old", 1).await;
    world.ask("old").await;
    Box::pin(world.go_live(vec![schedule("new", Overlap::Skip)], 0)).await;
    let names = || {
        let all = cron::list(world.host(), &world.target).unwrap();
        all.into_iter().map(|view| view.schedule.name).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["new"]);
    world.until("old", 2, RunStatus::Skipped).await;
    let refused = cron::run(world.host(), &world.target, "old", "ann").await.unwrap_err();
    assert_eq!(refused.code, "cron.not-found");
    assert_eq!(world.run("old", 1).unwrap().status, RunStatus::Running);
    world.parts.runtime.crash(&container, 0);
    world.until("old", 1, RunStatus::Succeeded).await;
    world.ask("new").await;
    let container = world.until_made("new", 1).await;
    assert_eq!(world.run("new", 1).unwrap().deployment_number, Some(2));
    world.parts.runtime.crash(&container, 0);
    world.until_clean().await;
}

#[tokio::test]
async fn a_run_has_to_make_way_where_two_versions_must_not_meet() {
    let world = Box::pin(World::open(vec![schedule("clean", Overlap::Skip)])).await;
    world.ask("clean").await;
    world.until_made("clean", 1).await;
    recover::make_way(world.host(), &world.place(), "#1 made way").await.unwrap();
    let ended = world.run("clean", 1).unwrap();
    assert_eq!((ended.status, ended.summary.as_str()), (RunStatus::Ended, "#1 made way"));
    world.until_clean().await;
}

#[tokio::test]
async fn runs_and_their_logs_are_forgotten_beyond_the_limit() {
    let mut world = Box::pin(World::open(vec![schedule("clean", Overlap::Skip)])).await;
    let mut logs = Vec::new();
    for number in 1..=7 {
        world.ask("clean").await;
        let container = world.until_made("clean", number).await;
        let run = world.run("clean", number).unwrap();
        let log = world.host().logs.instance_dir(&run.deployment.unwrap(), &run.log.unwrap());
        std::fs::create_dir_all(&log).unwrap();
        logs.push(log);
        world.parts.runtime.crash(&container, 0);
        world.until("clean", number, RunStatus::Succeeded).await;
    }
    assert_eq!(cron::runs(world.host(), &world.target, "clean").unwrap().len(), 5);
    let kept: Vec<bool> = logs.iter().map(|log| log.exists()).collect();
    assert_eq!(kept, [false, false, true, true, true, true, true]);

    // A host that is killed in between leaves one.
    let of_process = logs[0].with_file_name("cron.1");
    for left in [&logs[0], &of_process] {
        std::fs::create_dir_all(left).unwrap();
    }
    world.start_again().await;
    assert!(!logs[0].exists() && logs[6].exists());
    assert!(of_process.exists(), "a process may be called cron");
}

#[test]
fn a_version_has_the_schedules_of_its_settings_and_of_its_stages_if_it_runs_anything() {
    let mut live = queued(1);
    live.status = DeploymentStatus::Live;
    live.outputs.artifact = Some(artifact());
    let cron = vec![schedule("nightly", Overlap::Skip)];
    live.outputs.settings = Some(Settings { cron, ..Settings::default() });
    live.outputs.schedules = vec![schedule("cron.hourly", Overlap::Skip)];
    let names = |live: &Deployment| {
        super::of_version(live).into_iter().map(|it| it.name).collect::<Vec<String>>()
    };
    assert_eq!(names(&live), ["cron.hourly", "nightly"]);

    let mut now = Running::of(&live);
    assert_eq!(suspension(&now, &live), None);
    now.asked = Some(running::Asked { action: Action::Restart, by: By::now("ann") });
    assert_eq!(suspension(&now, &live), None);
    now.asked = Some(running::Asked { action: Action::Stop, by: By::now("ann") });
    assert_eq!(suspension(&now, &live), Some(Suspended::Stopped));
    now.recreating = Some(live.id.clone());
    assert_eq!(suspension(&now, &live), Some(Suspended::Recreating));
    let stopped = Deployment { status: DeploymentStatus::Stopped, ..live.clone() };
    assert_eq!(suspension(&Running::of(&live), &stopped), Some(Suspended::Stopped));

    if let Some(artifact) = &mut live.outputs.artifact {
        artifact.processes.clear();
    }
    assert!(names(&live).is_empty(), "a site runs nothing");
}
