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
