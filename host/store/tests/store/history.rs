//! Deployments: numbers, revisions, pages, indexes, the live switch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use windlass_model::deployment::{Artifact, Outputs};
use windlass_model::{Deployment, DeploymentStatus, Digest, EnvironmentName, Limits};
use windlass_store::kv::{Entry, Health, Kv, MemoryKv, Page, Reply, Transaction, Watch};
use windlass_store::{Change, DeploymentEvent, HistoryFilter, Revision, Store, StoreError};

use crate::support::{deployment, make_shop, production, shop, with_shop};

use DeploymentStatus::{Draining, Failed, Live, Queued, Retired, Running};

fn filter(
    environment: Option<&EnvironmentName>,
    before: Option<u64>,
    limit: usize,
) -> HistoryFilter {
    HistoryFilter { project: shop(), environment: environment.cloned(), before, limit }
}

fn numbers(deployments: &[Deployment]) -> Vec<u64> {
    deployments.iter().map(|deployment| deployment.number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_made_at_once_get_different_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    make_shop(&store).await;
    let made: Vec<_> = (0..40)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let made = store.create_deployment(deployment(&production(), Queued)).await;
                made.unwrap().value.number
            })
        })
        .collect();
    let mut given = BTreeSet::new();
    for made in made {
        given.insert(made.await.unwrap());
    }
    assert_eq!(given, (1..=40).collect());
    for number in given {
        assert_eq!(store.deployment_by_number(&shop(), number).unwrap().value.number, number);
    }
}

#[tokio::test]
async fn an_update_must_know_the_present_revision() {
    let store = with_shop().await;
    let made = store.create_deployment(deployment(&production(), Queued)).await.unwrap();
    let mut running = made.value.clone();
    running.status = Running;
    let second = store.update_deployment(&running, made.revision).await.unwrap();
    let late = store.update_deployment(&made.value, made.revision).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })));
    let found = store.deployment(&made.value.id).unwrap();
    assert_eq!((found.value.status, found.revision), (Running, second));
}

#[tokio::test]
async fn pages_are_newest_first_and_by_environment() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    make_shop(&store).await;
    let staging: EnvironmentName = "staging".parse().unwrap();
    for n in 1..=11 {
        let environment = if n % 3 == 0 { staging.clone() } else { production() };
        store.create_deployment(deployment(&environment, Retired)).await.unwrap();
    }
    let page = |environment, before, limit| {
        let page = store.deployments(&filter(environment, before, limit)).unwrap();
        (numbers(&page.items), page.next)
    };
    assert_eq!(page(None, None, 4), (vec![11, 10, 9, 8], Some(8)));
    assert_eq!(page(None, Some(8), 4), (vec![7, 6, 5, 4], Some(4)));
    assert_eq!(page(None, Some(4), 4), (vec![3, 2, 1], None));
    assert_eq!(page(Some(&staging), None, 2), (vec![9, 6], Some(6)));
    assert_eq!(page(Some(&staging), Some(6), 2), (vec![3], None));
}

/// Counts what a page costs.
struct Counting {
    kv: MemoryKv,
    read: AtomicUsize,
}

impl Kv for Counting {
    fn get(&self, key: &str) -> windlass_store::Result<Option<Entry>> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.kv.get(key)
    }
    fn list(&self, prefix: &str, page: &Page) -> windlass_store::Result<Vec<(String, Entry)>> {
        let found = self.kv.list(prefix, page)?;
        self.read.fetch_add(found.len(), Ordering::Relaxed);
        Ok(found)
    }
    fn submit(&self, transaction: Transaction) -> Reply {
        self.kv.submit(transaction)
    }
    fn watch(&self, prefix: &str) -> Watch {
        self.kv.watch(prefix)
    }
    fn health(&self) -> Health {
        self.kv.health()
    }
    fn export(
        &self,
        each: &mut dyn FnMut(&str, &Entry) -> windlass_store::Result<()>,
    ) -> windlass_store::Result<Revision> {
        self.kv.export(each)
    }
}

#[tokio::test]
async fn any_page_of_ten_thousand_deployments_reads_only_that_page() {
    let kv = Arc::new(Counting { kv: MemoryKv::new(), read: AtomicUsize::new(0) });
    let store = Store::on(kv.clone(), Limits::default()).unwrap();
    make_shop(&store).await;
    for _ in 0..10_000 {
        store.create_deployment(deployment(&production(), Retired)).await.unwrap();
    }
    for before in [None, Some(5_000), Some(51)] {
        for environment in [None, Some(production())] {
            kv.read.store(0, Ordering::Relaxed);
            let page = store.deployments(&filter(environment.as_ref(), before, 50)).unwrap();
            let first = before.unwrap_or(10_001);
            assert_eq!(numbers(&page.items), (first - 50..first).rev().collect::<Vec<_>>());
            assert_eq!(page.next.is_some(), first > 51);
            let read = kv.read.load(Ordering::Relaxed);
            assert!(read <= 102, "{read} records read");
        }
    }
    kv.read.store(0, Ordering::Relaxed);
    assert!(store.unsettled_deployments().unwrap().is_empty());
    assert_eq!(kv.read.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn the_oldest_queued_deployment_is_next_and_the_unsettled_ones_are_found() {
    let store = with_shop().await;
    let mut made = Vec::new();
    for status in [Queued, Retired, Queued, Draining, Failed] {
        made.push(store.create_deployment(deployment(&production(), status)).await.unwrap());
    }
    let next = store.next_queued_deployment().unwrap().unwrap();
    assert_eq!(next.value.number, 1);
    let mut running = next.value;
    running.status = Running;
    store.update_deployment(&running, next.revision).await.unwrap();
    assert_eq!(store.next_queued_deployment().unwrap().unwrap().value.number, 3);
    let unsettled = store.unsettled_deployments().unwrap();
    let found: Vec<_> = unsettled.iter().map(|found| found.value.number).collect();
    assert_eq!(found, [4, 1, 3]);
    assert_eq!(store.deployments_with_status(Failed).unwrap().len(), 1);
}

#[tokio::test]
async fn the_queue_has_an_end() {
    let limits = Limits { deployments_queued_max: 2, ..Limits::default() };
    let store = Store::in_memory(limits).unwrap();
    make_shop(&store).await;
    for _ in 0..2 {
        store.create_deployment(deployment(&production(), Queued)).await.unwrap();
    }
    let refused = store.create_deployment(deployment(&production(), Queued)).await;
    assert!(matches!(refused, Err(StoreError::TooMany { count_max: 2, .. })));
}

#[tokio::test]
async fn the_switch_is_one_transaction_behind_a_fence() {
    let store = with_shop().await;
    let old = store.create_deployment(deployment(&production(), Live)).await.unwrap();
    let new = store.create_deployment(deployment(&production(), Running)).await.unwrap();
    let environment = store.environment(&shop(), &production()).unwrap();
    let mut first = environment.value.clone();
    (first.live, first.generation) = (Some(old.value.id.clone()), 1);
    store.commit(vec![Change::environment(first.clone(), environment.revision)]).await.unwrap();

    let read = store.environment(&shop(), &production()).unwrap();
    let mut second = read.value.clone();
    (second.live, second.generation) = (Some(new.value.id.clone()), 2);
    let (mut live, mut draining) = (new.value.clone(), old.value.clone());
    (live.status, draining.status) = (Live, Draining);
    let changes = |revision| {
        vec![
            Change::deployment(live.clone(), new.revision),
            Change::deployment(draining.clone(), revision),
            Change::environment(second.clone(), read.revision),
        ]
    };
    let late = store.commit(changes(old.revision + 100)).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })));
    assert_eq!(store.deployment(&new.value.id).unwrap().value.status, Running, "nothing changed");

    let revision = store.commit(changes(old.revision)).await.unwrap();
    let switched = store.environment(&shop(), &production()).unwrap();
    assert_eq!((switched.value, switched.revision), (second, revision));
    assert_eq!(store.deployment(&old.value.id).unwrap().value.status, Draining);

    // An older deployment that wakes up late cannot take the environment back.
    first.live = Some(old.value.id.clone());
    for generation in [1, 2] {
        first.generation = generation;
        let back = store.commit(vec![Change::environment(first.clone(), revision)]).await;
        assert!(matches!(back, Err(StoreError::Fenced { stored: 2, .. })), "{generation}");
    }
}

#[tokio::test]
async fn retained_artifacts_are_listed_until_they_are_pruned() {
    let store = with_shop().await;
    let digest = Digest::of(b"x");
    let artifact = Artifact {
        digest: digest.clone(),
        outputs: vec![],
        processes: vec![],
        bases: vec![],
        toolchains: vec![],
        plan: digest,
    };
    let mut made = Vec::new();
    for _ in 0..3 {
        let mut new = deployment(&production(), Retired);
        new.outputs = Outputs { artifact: Some(artifact.clone()), ..Outputs::default() };
        made.push(store.create_deployment(new).await.unwrap());
    }
    store.create_deployment(deployment(&production(), Failed)).await.unwrap();
    let retained = || {
        let found = store.deployments_with_artifact(&shop(), &production()).unwrap();
        found.into_iter().map(|found| found.value.number).collect::<Vec<_>>()
    };
    assert_eq!(retained(), [3, 2, 1]);
    made[1].value.artifact_pruned = true;
    store.update_deployment(&made[1].value, made[1].revision).await.unwrap();
    assert_eq!(retained(), [3, 1]);
    store.delete_deployment(&made[0].value.id).await.unwrap();
    assert_eq!(retained(), [3]);
    let missing = store.deployment_by_number(&shop(), 1);
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn what_serves_cannot_be_deleted_from_the_history() {
    let store = with_shop().await;
    for status in [Queued, Running, Live, Draining] {
        let made = store.create_deployment(deployment(&production(), status)).await.unwrap();
        let refused = store.delete_deployment(&made.value.id).await;
        assert!(matches!(refused, Err(StoreError::Busy { .. })), "{status}");
    }
}

#[tokio::test]
async fn a_watcher_is_told_of_deployments() {
    let store = with_shop().await;
    let mut watch = store.watch_deployments();
    let made = store.create_deployment(deployment(&production(), Queued)).await.unwrap();
    assert_eq!(watch.next().await, Some(DeploymentEvent::Changed(made.value.id)));
    drop(store);
    assert_eq!(watch.next().await, None);
}
