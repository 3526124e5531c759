//! Retention at the end of a deployment: the records and logs that are too many really go, and those that
//! something needs stay.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use windlass_model::deployment::{Artifact, Kind, Source};
use windlass_model::secret::Masker;
use windlass_model::settings::Settings;
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, Digest, EnvironmentName, Failure, Limits,
    ProjectName, StepName, Timestamp,
};
use windlass_store::HistoryFilter;

use super::{Done, Row, Run, Work, prune, queue};
use crate::control::pausing;
use crate::testing::{TestHost, migrated};

const WITHIN: Duration = Duration::from_secs(20);

/// A deployment that fails at once.
struct Fails;

#[async_trait]
impl Work for Fails {
    async fn run(&self, _run: &mut Run) -> Result<Done, Failure> {
        Err(Failure::app("test.failed", "it failed", "the test says so", "none"))
    }
}

fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

fn deployment() -> Deployment {
    let source = Source::Git { url: "file:///x".into(), reference: None };
    let environment = EnvironmentName::production();
    Deployment::queued(shop(), environment, 0, Kind::Deploy, source, "test".into())
}

struct World {
    parts: TestHost,
}

impl World {
    async fn new() -> Self {
        let row = |step| Row { step, work: &Fails, deadline_s: |_| 60 };
        let table: &'static [Row; 12] = Box::leak(Box::new(StepName::ALL.map(row)));
        let parts = TestHost::with(Limits::default(), table).await;
        parts.host.store.ensure_project(&shop()).await.unwrap();
        Self { parts }
    }

    /// A deployment that has come to this, with its log; of those that were live the artifact is kept.
    async fn put(
        &self,
        status: DeploymentStatus,
        change: impl FnOnce(&mut Deployment),
    ) -> DeploymentId {
        let host = &self.parts.host;
        let stored = host.store.create_deployment(deployment()).await.unwrap();
        let mut made = stored.value;
        made.status = status;
        made.started_at = Some(Timestamp::now());
        if matches!(status, DeploymentStatus::Live | DeploymentStatus::Retired) {
            made.live_at = Some(Timestamp::now());
            made.outputs.artifact = Some(artifact(&made.id));
        }
        change(&mut made);
        if status == DeploymentStatus::Live {
            host.go_live(&made, stored.revision).await.unwrap();
        } else {
            host.save_deployment(&made, stored.revision).await.unwrap();
        }
        let log = host.logs.open(&made.id, StepName::Build, Masker::default()).unwrap();
        log.say("built");
        made.id
    }

    /// The numbers of the records, by the environment's history and by what is found of their ids.
    fn records(&self) -> BTreeSet<u64> {
        let filter = HistoryFilter {
            project: shop(),
            environment: Some(EnvironmentName::production()),
            before: None,
            limit: 100,
        };
        let found = self.parts.host.store.deployments(&filter).unwrap().items;
        found.into_iter().map(|deployment| deployment.number).collect()
    }

    fn logs(&self, of: &DeploymentId) -> bool {
        self.parts.host.logs.deployment_dir(of).exists()
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

fn has_migrated(deployment: &mut Deployment) {
    deployment.outputs.migration = Some(migrated());
}

#[tokio::test]
async fn what_is_pushed_stays_and_is_owed_and_the_other_artifacts_go() {
    use DeploymentStatus::{Live, Retired};
    let world = World::new().await;
    let pushed = world.put(Retired, |_| {}).await;
    let other = world.put(Retired, |_| {}).await;
    let mut settings = Settings::default();
    settings.deploy.keep_artifacts = Some(0);
    let live = Box::pin(world.put(Live, |live| live.outputs.settings = Some(settings))).await;
    let host = &world.parts.host;
    let ids = [&pushed, &other, &live];
    let kept = || ids.map(|id| !host.deployment(id).unwrap().unwrap().0.artifact_pruned);
    let owed = prune::Owed::default();
    let apply = || {
        let environment = EnvironmentName::production();
        Box::pin(prune::environment(host.clone(), owed.clone(), shop(), environment))
    };

    let held = host.builder.hold(&artifact(&pushed).digest).await;
    apply().await;
    assert_eq!(kept(), [true, false, true]);
    assert_eq!(owed.lock().unwrap().len(), 1);
    let all = host.history(&shop(), &EnvironmentName::production()).unwrap();
    let retired: Vec<_> = all.into_iter().filter(|(one, _)| one.id == pushed).collect();
    assert!(!prune::all_of(host, &retired).await.unwrap(), "to be asked again");
    drop(held);
    apply().await;
    assert_eq!(kept(), [false, false, true]);
    assert!(owed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn records_and_logs_beyond_keep_deployments_go_and_the_live_and_pinned_ones_stay() {
    use DeploymentStatus::{Cancelled, Failed, Live, Retired};
    let world = World::new().await;
    let mut ids = vec![world.put(Retired, has_migrated).await];
    let mut settings = Settings::default();
    settings.deploy.keep_deployments = Some(3);
    settings.deploy.keep_artifacts = Some(1);
    let with_settings = world.put(Live, |live| live.outputs.settings = Some(settings));
    ids.push(Box::pin(with_settings).await);
    for status in [Retired, Retired] {
        ids.push(world.put(status, |_| {}).await);
    }
    ids.push(world.put(Retired, has_migrated).await);
    for status in [Failed, Cancelled, Retired, Failed, Retired, Failed, Cancelled] {
        ids.push(world.put(status, |_| {}).await);
    }
    for status in [Retired, Failed, Failed] {
        ids.push(world.put(status, |_| {}).await);
    }
    let (project, environment) = (shop(), EnvironmentName::production());
    let host = &world.parts.host;
    let pinned = host.deployment(&ids[2]).unwrap().unwrap().0;
    pausing::pin(host, pinned, "test").await.unwrap();
    assert_eq!(world.records(), (1..=15).collect());

    // The sixteenth fails; its end is when retention is applied.
    ids.push(host.store.create_deployment(deployment()).await.unwrap().value.id);
    let work = tokio::spawn(queue::work(host.clone()));
    host.wake.notify_one();
    // Three in a row; the one retained artifact's; of a migration that a way back to the live and the
    // pinned one tells of; the pinned one and the live one.
    let stay = BTreeSet::from([16, 15, 14, 13, 5, 3, 2]);
    let gone = || {
        let has_log = |number: &u64| world.logs(&ids[usize::try_from(*number).unwrap() - 1]);
        world.records() == stay && (1..=16).filter(has_log).collect::<BTreeSet<u64>>() == stay
    };
    let pruned = async {
        while !gone() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let pruned = tokio::time::timeout(WITHIN, pruned).await;
    work.abort();
    assert!(pruned.is_ok(), "{:?}", world.records());
    for (number, id) in (1..).zip(&ids) {
        let found = host.deployment(id).unwrap().map(|(found, _)| found);
        assert_eq!(found.is_some(), stay.contains(&number), "#{number}");
        let retained = found.is_some_and(|d| d.outputs.artifact.is_some() && !d.artifact_pruned);
        assert_eq!(retained, [2, 3, 13].contains(&number), "the artifact of #{number}");
    }
    // Once more changes nothing.
    let owed = prune::Owed::default();
    prune::environment(host.clone(), owed.clone(), project, environment).await;
    assert!(owed.lock().unwrap().is_empty());
    assert!(gone(), "{:?}", world.records());
}
