//! Idempotency keys, snapshots of variables, pins, lists and the indexes they stand on.

use windlass_model::queue::Pin;
use windlass_model::variable::Scope;
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, Digest, Limits, ProjectName, Source, Timestamp,
};
use windlass_store::kv::{Expect, Page, Transaction};
use windlass_store::{Change, Created, Idempotency, ListFilter, Store, StoreError};

use crate::support::{deployment, production, shop, variable, with_shop};

fn once(key: &str, what: &str) -> Idempotency {
    Idempotency { key: key.into(), fingerprint: Digest::of(what.as_bytes()) }
}

fn queued() -> Deployment {
    deployment(&production(), DeploymentStatus::Queued)
}

#[tokio::test]
async fn the_same_key_makes_one_deployment_and_another_request_is_told_apart() {
    let store = with_shop().await;
    let first = store.create_deployment_once(queued(), Some(&once("k", "a"))).await.unwrap();
    let Created::New(first) = first else { panic!("{first:?}") };
    let again = store.create_deployment_once(queued(), Some(&once("k", "a"))).await.unwrap();
    assert!(matches!(&again, Created::Replayed(d) if d.value.id == first.value.id), "{again:?}");
    let reused = store.create_deployment_once(queued(), Some(&once("k", "b"))).await.unwrap();
    assert!(matches!(reused, Created::KeyReused { number: 1 }), "{reused:?}");
    let mut over = first.clone();
    over.value.status = DeploymentStatus::Failed;
    store.update_deployment(&over.value, over.revision).await.unwrap();
    store.delete_deployment(&first.value.id).await.unwrap();
    let gone = store.create_deployment_once(queued(), Some(&once("k", "a"))).await.unwrap();
    assert!(matches!(gone, Created::Gone { number: 1 }), "{gone:?}");
    assert!(store.deployment_by_number(&shop(), 2).is_err(), "nothing was made a second time");
}

#[tokio::test]
async fn requests_with_one_key_at_the_same_moment_make_one_deployment() {
    let store = with_shop().await;
    let all = (0..32).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            store.create_deployment_once(queued(), Some(&once("k", "a"))).await.unwrap()
        })
    });
    let mut new = 0;
    for made in all.collect::<Vec<_>>() {
        new += usize::from(matches!(made.await.unwrap(), Created::New(_)));
    }
    assert_eq!(new, 1);
    assert_eq!(store.project(&shop()).unwrap().value.next_number, 2);
}

#[tokio::test]
async fn keys_are_bounded_and_forgotten_after_their_time() {
    let limits = Limits { idempotency_keys_max: 2, ..Limits::default() };
    let store = Store::in_memory(limits).unwrap();
    store.ensure_project(&shop()).await.unwrap();
    for key in ["a", "b"] {
        store.create_deployment_once(queued(), Some(&once(key, ""))).await.unwrap();
    }
    let refused = store.create_deployment_once(queued(), Some(&once("c", ""))).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooMany { count_max: 2, .. }), "{refused}");

    let limits = Limits { idempotency_keys_max: 2, idempotency_keep_s: 0, ..Limits::default() };
    let store = Store::in_memory(limits).unwrap();
    store.ensure_project(&shop()).await.unwrap();
    for n in 0..20 {
        let key = format!("{}", n % 3);
        let made = store.create_deployment_once(queued(), Some(&once(&key, ""))).await.unwrap();
        assert!(matches!(made, Created::New(_)), "{n}: {made:?}");
    }
    let left = store.kv().list("idempotency/", &Page::all()).unwrap();
    assert!(left.len() <= 5, "{:?}", left.iter().map(|(key, _)| key).collect::<Vec<_>>());
}

#[tokio::test]
async fn variables_are_kept_with_their_deployment_encrypted_and_go_with_it() {
    let store = with_shop().await;
    let made = store.create_deployment(queued()).await.unwrap();
    assert_eq!(store.env_snapshot(&made.value.id).unwrap(), None);
    let variables = [variable("A", "not so secret", Scope::Both, false)];
    let snapshot = Change::EnvSnapshot(made.value.id.clone(), variables.to_vec());
    store.commit(vec![snapshot]).await.unwrap();
    assert_eq!(store.env_snapshot(&made.value.id).unwrap().unwrap(), variables);
    for (key, entry) in store.kv().list("", &Page::all()).unwrap() {
        assert!(!String::from_utf8_lossy(&entry.value).contains("not so secret"), "{key}");
    }
    let none = store.create_deployment(queued()).await.unwrap().value.id;
    store.commit(vec![Change::EnvSnapshot(none.clone(), Vec::new())]).await.unwrap();
    assert_eq!(store.env_snapshot(&none).unwrap(), Some(Vec::new()));
    let mut over = made.clone();
    over.value.status = DeploymentStatus::Failed;
    store.update_deployment(&over.value, over.revision).await.unwrap();
    let at = Timestamp::now();
    let pin = Pin { deployment: made.value.id.clone(), actor: "ann".into(), at };
    store.pin(&over.value, &pin).await.unwrap();
    assert!(store.is_pinned(&over.value).unwrap());
    store.delete_deployment(&made.value.id).await.unwrap();
    assert_eq!(store.env_snapshot(&made.value.id).unwrap(), None);
    assert!(store.pins(&shop(), &production()).unwrap().is_empty());
}

/// Deployments of two projects and two environments, in several statuses, newest first.
async fn mixed(store: &Store) -> Vec<Deployment> {
    use DeploymentStatus as S;
    let projects: [ProjectName; 2] = [shop(), "blog".parse().unwrap()];
    let mut all = Vec::new();
    for n in 0..60 {
        let environment = if n % 3 == 0 { "staging".parse().unwrap() } else { production() };
        let status = [S::Failed, S::Retired, S::Queued, S::Live][n % 4];
        let mut made = deployment(&environment, status);
        made.project = projects[n % 2].clone();
        store.ensure_project(&made.project).await.unwrap();
        all.push(store.create_deployment(made).await.unwrap().value);
    }
    all.sort_by(|a, b| b.id.cmp(&a.id));
    all
}

#[tokio::test]
async fn every_choice_is_listed_newest_first_page_by_page() {
    let store = with_shop().await;
    let all = mixed(&store).await;
    let environments = [None, Some(production()), Some("staging".parse().unwrap())];
    for project in [None, Some(shop()), Some("blog".parse().unwrap())] {
        for environment in &environments {
            for status in [None, Some(DeploymentStatus::Failed), Some(DeploymentStatus::Paused)] {
                let fits = |d: &&Deployment| {
                    project.as_ref().is_none_or(|p| d.project == *p)
                        && environment.as_ref().is_none_or(|e| d.environment == *e)
                        && status.is_none_or(|s| d.status == s)
                };
                let expected: Vec<&DeploymentId> = all.iter().filter(fits).map(|d| &d.id).collect();
                let mut filter = ListFilter {
                    project: project.clone(),
                    among: None,
                    environment: environment.clone(),
                    status,
                    before: None,
                    limit: 7,
                };
                let mut found = Vec::new();
                loop {
                    let (page, next) = store.list_deployments(&filter).unwrap();
                    assert!(page.len() <= 7);
                    found.extend(page.into_iter().map(|d| d.value.id));
                    filter.before = next;
                    if filter.before.is_none() {
                        break;
                    }
                }
                assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_store_of_an_earlier_version_gets_the_indexes_that_it_lacks() {
    let kv = std::sync::Arc::new(windlass_store::kv::MemoryKv::new());
    let store = Store::on(kv.clone(), Limits::default()).unwrap();
    store.ensure_project(&shop()).await.unwrap();
    let upload = Digest::of(b"upload");
    let mut made = queued();
    made.source = Source::Archive { digest: upload.clone(), name: "app.zip".into() };
    made.outputs.plan = Some(Digest::of(b"plan"));
    let made = store.create_deployment(made).await.unwrap().value.id;
    let mut tx = Transaction::new().delete("meta/indexes", Expect::Any);
    // The key of the present process is not kept: a store on another one makes its own.
    tx = tx.delete("meta/key-check", Expect::Any);
    for index in ["list/", "plan-used/", "upload-used/"] {
        let keys = store.kv().list(index, &Page::all()).unwrap();
        assert_eq!(keys.len(), 1, "{index}");
        tx = tx.delete(&keys[0].0, Expect::Any);
    }
    store.kv().submit(tx).await.unwrap();
    let filter = ListFilter { project: Some(shop()), limit: 5, ..ListFilter::default() };
    assert!(store.list_deployments(&filter).unwrap().0.is_empty());
    assert!(store.uploads_used(&shop()).unwrap().is_empty());
    let store = Store::on(kv, Limits::default()).unwrap();
    assert_eq!(store.uploads_used(&shop()).unwrap().into_iter().collect::<Vec<_>>(), [upload]);
    assert_eq!(store.kv().list("plan-used/", &Page::all()).unwrap().len(), 1);
    let (found, _) = store.list_deployments(&filter).unwrap();
    assert_eq!(found.into_iter().map(|d| d.value.id).collect::<Vec<_>>(), [made]);
}

#[tokio::test]
async fn an_upload_counts_as_used_until_the_last_deployment_of_it_is_gone() {
    let store = with_shop().await;
    let upload = Digest::of(b"upload");
    let mut made = Vec::new();
    for _ in 0..2 {
        let mut one = deployment(&production(), DeploymentStatus::Failed);
        one.source = Source::Archive { digest: upload.clone(), name: "app.zip".into() };
        made.push(store.create_deployment(one).await.unwrap().value.id);
    }
    assert_eq!(store.deployment_ids().unwrap().into_iter().collect::<Vec<_>>(), made);
    store.delete_deployment(&made[0]).await.unwrap();
    assert!(store.uploads_used(&shop()).unwrap().contains(&upload));
    store.delete_deployment(&made[1]).await.unwrap();
    assert!(store.uploads_used(&shop()).unwrap().is_empty());
    assert!(store.deployment_ids().unwrap().is_empty());
}
