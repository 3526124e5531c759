//! Commands in the background, on a fake container runtime.

use windlass_containers::{Labels, Runtime as _};
use windlass_model::Limits;
use windlass_model::cron::{Overlap, Schedule};
use windlass_model::settings::Settings;

use super::*;
use crate::control::{Target, cron};
use crate::pipeline::TABLE;
use crate::sessions::Kind;
use crate::testing::TestHost;

const WITHIN: Duration = Duration::from_secs(20);

struct World {
    parts: TestHost,
    target: Target,
}

impl World {
    /// A live deployment with a schedule that is not due.
    async fn open() -> Self {
        let parts = TestHost::with(Limits::default(), &TABLE).await;
        let target = parts.shop().await;
        let schedule = Schedule {
            name: "clean".to_owned(),
            cron: "0 0 29 2 *".to_owned(),
            timezone: None,
            argv: vec!["job".to_owned()],
            process: None,
            overlap: Overlap::Skip,
            timeout_ms: 0,
        };
        let settings = Settings { cron: vec![schedule], ..Settings::default() };
        Box::pin(parts.go_live(&target, settings, Some(Timestamp::now()))).await;
        Self { parts, target }
    }

    async fn begin(&self) -> Result<RunView, Failure> {
        let Target { project, environment } = self.target.clone();
        let asked = Asked { project, environment, actor: "ann".to_owned(), kind: Kind::Run };
        let body = CreateRun { argv: vec!["job".to_owned()], process: None };
        Box::pin(begin(&self.parts.host, &asked, body)).await
    }

    /// A command of this kind that runs and that nobody watches, as a killed host leaves it. Returns its name.
    async fn leave(&self, kind: &str) -> String {
        let host = &self.parts.host;
        let Target { project, environment } = &self.target;
        let (live, _) = host.live(project, environment).unwrap().unwrap();
        let (name, argv) = (start::fresh_name(host), vec!["job".to_owned()]);
        let mut spec = start::container(host, &live, &name, &argv, None).unwrap();
        spec.labels.insert(names::run_label(kind), "true".to_owned());
        let view = RunView {
            name: name.clone(),
            number: live.number,
            argv,
            actor: "ann".to_owned(),
            started_at: Timestamp::now(),
            ended_at: None,
            exit_code: None,
        };
        write(host, &live.id, &view).unwrap();
        commands::start(host, &spec).await.unwrap();
        name
    }

    async fn containers(&self) -> Vec<String> {
        let found = self.parts.runtime.list(&Labels::new()).await.unwrap();
        found.into_iter().map(|container| container.id).collect()
    }

    /// The record of a command that has ended, once its container is gone.
    async fn until_ended(&self, name: &str) -> RunView {
        let Target { project, environment } = &self.target;
        let seen = async {
            loop {
                let (_, view) = find(&self.parts.host, project, environment, name).unwrap();
                if view.ended_at.is_some() && self.containers().await.is_empty() {
                    return view;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WITHIN, seen).await.unwrap()
    }
}

#[tokio::test]
async fn a_start_without_an_answer_is_not_made_again_and_its_end_is_found_out() {
    let world = Box::pin(World::open()).await;
    let after = [TaskStatus::Running { pid: 1 }, TaskStatus::Missing, TaskStatus::Created];
    for status in after {
        world.parts.runtime.cut_off_next_start(status);
        let begun = world.begin().await.unwrap();
        let goes_on = matches!(status, TaskStatus::Running { .. });
        if goes_on {
            let [container] = &world.containers().await[..] else { panic!() };
            world.parts.runtime.crash(container, 3);
        }
        let ended = world.until_ended(&begun.name).await;
        assert_eq!(ended.exit_code, goes_on.then_some(3), "{status:?}");
    }
    assert_eq!(world.parts.runtime.started().len(), after.len(), "each was started once");
}

#[tokio::test]
async fn a_command_that_is_still_being_started_is_waited_for() {
    let world = Box::pin(World::open()).await;
    world.parts.runtime.cut_off_next_start(TaskStatus::Created);
    let begun = world.begin().await.unwrap();
    let [container] = &world.containers().await[..] else { panic!() };
    // Long enough for a first look, which comes too soon.
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.parts.runtime.start_late(container);
    world.parts.runtime.crash(container, 3);
    assert_eq!(world.until_ended(&begun.name).await.exit_code, Some(3));
}

#[tokio::test]
async fn a_start_looks_after_commands_of_an_earlier_one_and_leaves_those_that_were_begun_since() {
    let mut world = Box::pin(World::open()).await;
    let places = |world: &World| world.parts.host.observe.sessions.places.available_permits();
    let attached = world.leave(names::RUN_ATTACHED).await;
    let detached = world.leave(names::RUN_DETACHED).await;
    let free = places(&world);
    reconcile(&world.parts.host).await.unwrap();
    assert_eq!(world.containers().await.len(), 2, "both are of this start");
    assert_eq!(places(&world), free, "who began them watches them");

    world.parts.start_anew().await;
    reconcile(&world.parts.host).await.unwrap();
    let [container] = &world.containers().await[..] else { panic!("{attached} is left") };
    assert!(container.ends_with(&detached), "{container}");
    assert_eq!(places(&world), free - 1);
    world.parts.runtime.crash(container, 0);
    assert_eq!(world.until_ended(&detached).await.exit_code, Some(0));
}

#[tokio::test]
async fn a_deleted_environment_leaves_no_command_of_either_kind() {
    let world = Box::pin(World::open()).await;
    let Target { project, environment } = &world.target;
    let begun = world.begin().await.unwrap();
    let work = tokio::spawn(crate::cron::work(world.parts.host.clone()));
    cron::run(&world.parts.host, &world.target, "clean", "ann").await.unwrap();
    let both = async {
        while world.containers().await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WITHIN, both).await.unwrap();
    work.abort();
    let other: ProjectName = "other".parse().unwrap();
    commands::end_all(&world.parts.host, &other, None).await.unwrap();
    assert_eq!(world.containers().await.len(), 2, "those of another project stay");
    commands::end_all(&world.parts.host, project, Some(environment)).await.unwrap();
    assert_eq!(world.containers().await, Vec::<String>::new());
    assert!(world.until_ended(&begun.name).await.exit_code.is_some());
}
