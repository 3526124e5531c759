//! Projects, environments, domains, services, intents, plans, caches, the migration lock.

use windlass_model::access::{ApiToken, TokenHash, TokenId, TokenScope};
use windlass_model::deployment::StoredPlan;
use windlass_model::plan::BuildPlan;
use windlass_model::plugin::account::Account;
use windlass_model::project::{Intent, Project, Service};
use windlass_model::running::{By, EnvironmentEvent, EventKind, Maintenance, Running};
use windlass_model::variable::Scope;
use windlass_model::{
    DeploymentId, DeploymentStatus, Digest, Limits, ProjectName, Source, Timestamp,
};
use windlass_store::kv::Page;
use windlass_store::{Store, StoreError};

use crate::support::{deployment, production, shop, variable, with_shop};

#[tokio::test]
async fn a_project_is_made_once_changed_and_deleted_with_everything() {
    let store = with_shop().await;
    let twice = store.create_project(&Project::new(shop())).await;
    assert!(matches!(twice, Err(StoreError::Exists { .. })));
    let mut project = store.project(&shop()).unwrap();
    project.value.app_dir = Some("apps/web".into());
    let stale = project.clone();
    store.update_project(project).await.unwrap();
    assert!(matches!(store.update_project(stale).await, Err(StoreError::Conflict { .. })));

    let variables = [variable("A", "1", Scope::Both, true)];
    store.set_variables(&shop(), &production(), &variables).await.unwrap();
    store.add_domain(&shop(), &production(), "shop.example.com").await.unwrap();
    for _ in 0..60 {
        let settled = deployment(&production(), DeploymentStatus::Failed);
        store.create_deployment(settled).await.unwrap();
    }
    store.set_git_token(&shop(), &windlass_model::Secret::new("t".into())).await.unwrap();
    let account = Account::new(shop());
    assert!(store.put_plugin_account(&account).await.unwrap());
    assert_eq!(store.plugin_accounts().unwrap(), std::slice::from_ref(&account));
    store.delete_project(&shop()).await.unwrap();
    assert!(!store.put_plugin_account(&account).await.unwrap(), "it is gone");
    let left = store.kv().list("", &Page::all()).unwrap();
    let left: Vec<_> = left.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(left, ["meta/host-id", "meta/indexes", "meta/key-check", "meta/schema"]);
    assert!(matches!(store.project(&shop()), Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn an_image_in_between_does_not_take_the_repository_from_a_project() {
    let store = with_shop().await;
    let of_git = deployment(&production(), DeploymentStatus::Failed);
    let repository = of_git.source.clone();
    store.create_deployment(of_git).await.unwrap();
    let mut of_image = deployment(&production(), DeploymentStatus::Failed);
    of_image.source = Source::Image { reference: "example.com/shop:1".into() };
    store.create_deployment(of_image).await.unwrap();
    assert_eq!(store.project(&shop()).unwrap().value.source, Some(repository));
}

#[tokio::test]
async fn a_deleted_project_is_taken_from_the_tokens_that_were_limited_to_it() {
    let store = with_shop().await;
    let blog: ProjectName = "blog".parse().unwrap();
    for (name, projects) in
        [("alone", vec![shop()]), ("both", vec![shop(), blog.clone()]), ("all", vec![])]
    {
        store.create_token(&token(name, projects)).await.unwrap();
    }
    store.delete_project(&shop()).await.unwrap();
    let left: Vec<_> = store
        .tokens()
        .unwrap()
        .into_iter()
        .map(|token| (token.name.to_string(), token.projects, token.revoked_at.is_some()))
        .collect();
    let expected = [
        ("all".to_owned(), vec![], false),
        ("alone".to_owned(), vec![shop()], true),
        ("both".to_owned(), vec![blog], false),
    ];
    assert_eq!(left, expected);
}

fn token(name: &str, projects: Vec<ProjectName>) -> ApiToken {
    ApiToken {
        id: TokenId::new([u8::try_from(name.len()).unwrap(); 6]),
        hash: TokenHash::of(name),
        name: name.parse().unwrap(),
        scope: TokenScope::Deploy,
        projects,
        created_at: Timestamp::now(),
        created_by: "test".to_owned(),
        rotated_at: None,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

#[tokio::test]
async fn what_still_works_is_not_deleted() {
    let store = with_shop().await;
    let queued = deployment(&production(), DeploymentStatus::Queued);
    store.create_deployment(queued).await.unwrap();
    let refused = store.delete_environment(&shop(), &production()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Busy { .. }));
    assert!(refused.to_string().contains("deployment #1 is queued"), "{refused}");
    assert!(matches!(store.delete_project(&shop()).await, Err(StoreError::Busy { .. })));
}

#[tokio::test]
async fn an_environment_is_made_on_demand_of_a_known_project() {
    let store = with_shop().await;
    let staging = "staging".parse().unwrap();
    assert!(matches!(store.environment(&shop(), &staging), Err(StoreError::NotFound { .. })));
    let made = store.ensure_environment(&shop(), &staging).await.unwrap();
    assert_eq!(store.ensure_environment(&shop(), &staging).await.unwrap(), made);
    let names: Vec<_> =
        store.environments(&shop()).unwrap().into_iter().map(|found| found.name).collect();
    assert_eq!(names, [production(), staging.clone()]);
    let unknown = store.ensure_environment(&"none".parse().unwrap(), &staging).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
    store.delete_environment(&shop(), &staging).await.unwrap();
    assert_eq!(store.environments(&shop()).unwrap().len(), 1);
}

#[tokio::test]
async fn a_domain_leads_to_one_environment() {
    let store = with_shop().await;
    store.ensure_project(&"blog".parse().unwrap()).await.unwrap();
    store.ensure_environment(&"blog".parse().unwrap(), &production()).await.unwrap();
    let first = store.add_domain(&shop(), &production(), "Shop.example.com").await.unwrap();
    assert_eq!(first.host, "shop.example.com");
    assert_eq!(store.add_domain(&shop(), &production(), "shop.example.com.").await.unwrap(), first);
    let blog = "blog".parse().unwrap();
    let taken = store.add_domain(&blog, &production(), "shop.example.com").await.unwrap_err();
    assert!(taken.to_string().contains("project shop"), "{taken}");
    assert!(matches!(taken, StoreError::DomainTaken { .. }));

    assert!(store.add_domain(&shop(), &production(), "*").await.unwrap().is_default);
    let second_default = store.add_domain(&blog, &production(), "*").await;
    assert!(matches!(second_default, Err(StoreError::DomainTaken { .. })));
    assert_eq!(store.domains(&shop(), &production()).unwrap().len(), 2);
    assert!(store.domains(&blog, &production()).unwrap().is_empty());
    store.remove_domain("SHOP.example.com").await.unwrap();
    assert_eq!(store.domain("shop.example.com").unwrap(), None);
    let again = store.remove_domain("shop.example.com").await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })));
    let invalid = store.add_domain(&shop(), &production(), "http://shop").await;
    assert!(matches!(invalid, Err(StoreError::Invalid { .. })));
}

#[tokio::test]
async fn services_are_put_listed_and_removed() {
    let store = with_shop().await;
    let service = |address: &str| Service {
        name: "db".parse().unwrap(),
        kind: "postgres".into(),
        address: address.into(),
        variable_names: vec!["DATABASE_URL".parse().unwrap()],
        created_at: Timestamp::now(),
    };
    for bad in ["db", "db:", "db:0", "db:99999", ":5432", "http://db:80"] {
        let refused = store.put_service(&shop(), &production(), &service(bad)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{bad}");
    }
    store.put_service(&shop(), &production(), &service("db:5432")).await.unwrap();
    store.put_service(&shop(), &production(), &service("db:5433")).await.unwrap();
    let found = store.services(&shop(), &production()).unwrap();
    assert_eq!(found.iter().map(|found| &found.address).collect::<Vec<_>>(), ["db:5433"]);
    let name = "db".parse().unwrap();
    store.remove_service(&shop(), &production(), &name).await.unwrap();
    let again = store.remove_service(&shop(), &production(), &name).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn intents_wait_in_order_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    let mut watch = store.watch_intents();
    let intent =
        |actor: &str| Intent::Cancel { deployment: DeploymentId::generate(), actor: actor.into() };
    let ids = [
        store.put_intent(intent("a")).await.unwrap(),
        store.put_intent(intent("b")).await.unwrap(),
        store.put_intent(intent("c")).await.unwrap(),
    ];
    assert!(ids.is_sorted());
    watch.changed().await.unwrap();
    store.remove_intent(ids[1]).await.unwrap();
    store.remove_intent(ids[1]).await.unwrap();
    drop(store);
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    let left: Vec<_> = store.intents().unwrap().into_iter().map(|intent| intent.id).collect();
    assert_eq!(left, [ids[0], ids[2]]);
}

#[tokio::test]
async fn a_large_plan_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    let mut plan = StoredPlan { plugin: "node".into(), plan: BuildPlan::default() };
    plan.plan.toolchains = (0..5000)
        .map(|n| windlass_model::plan::Toolchain {
            name: format!("tool-{n}"),
            requirement: ">=1 <2".repeat(10),
        })
        .collect();
    let digest = Digest::of_json(&plan.plan);
    store.put_plan(&digest, &plan).await.unwrap();
    assert_eq!(store.plan(&digest).unwrap().unwrap(), plan);
    store.delete_plan(&digest).await.unwrap();
    assert_eq!(store.plan(&digest).unwrap(), None);
}

#[tokio::test]
async fn plans_that_nothing_refers_to_are_pruned_when_nothing_is_under_way() {
    let store = with_shop().await;
    let plan = StoredPlan { plugin: "node".into(), plan: BuildPlan::default() };
    let (used, unused) = (Digest::of(b"used"), Digest::of(b"unused"));
    for digest in [&used, &unused] {
        store.put_plan(digest, &plan).await.unwrap();
    }
    let mut running = deployment(&production(), DeploymentStatus::Running);
    running.outputs.plan = Some(used.clone());
    let mut running = store.create_deployment(running).await.unwrap();
    assert_eq!(store.prune_plans().await.unwrap(), 0, "one is under way");
    running.value.status = DeploymentStatus::Live;
    store.update_deployment(&running.value, running.revision).await.unwrap();
    assert_eq!(store.prune_plans().await.unwrap(), 1);
    assert!(store.plan(&used).unwrap().is_some());
    assert!(store.plan(&unused).unwrap().is_none());
}

#[tokio::test]
async fn a_cache_keeps_the_newest() {
    let store = with_shop().await;
    for n in 0..5 {
        store.cache_put("call", &format!("key {n}"), &serde_json::json!({ "n": n })).await.unwrap();
    }
    assert_eq!(store.cache_trim("call", 2).await.unwrap(), 3);
    assert_eq!(store.cache_get("call", "key 2").unwrap(), None);
    assert_eq!(store.cache_get("call", "key 4").unwrap().unwrap()["n"], 4);
    assert_eq!(store.cache_trim("call", 2).await.unwrap(), 0);
    store.cache_put_as("typed", "k", &7_u32).await.unwrap();
    assert_eq!(store.cache_get_as::<u32>("typed", "k").unwrap(), Some(7));
    assert_eq!(store.cache_get_as::<String>("typed", "k").unwrap(), None);
}

#[tokio::test]
async fn what_runs_and_what_is_told_of_it_are_stored_together_or_not_at_all() {
    let store = with_shop().await;
    let live = deployment(&production(), DeploymentStatus::Live);
    let mut running = Running::of(&live);
    let told = |message: &str| EnvironmentEvent::now(EventKind::Exited, message);
    let ids = || {
        let events = store.events(&shop(), &production(), None, 0).unwrap();
        events.into_iter().map(|event| event.id).collect::<Vec<_>>()
    };

    let first = store.put_running_and_events(&running, None, vec![told("a"), told("b")]);
    let revision = first.await.unwrap();
    assert_eq!(ids(), [2, 1]);
    running.maintenance =
        Some(Maintenance { message: "soon".into(), hold_ms: None, by: By::now("admin") });
    let stale = store.put_running_and_events(&running, Some(revision + 1), vec![told("c")]).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    let found = store.running(&shop(), &production()).unwrap().unwrap();
    assert_eq!((found.revision, found.value.maintenance), (revision, None));
    assert_eq!(ids(), [2, 1]);

    // They are bounded, and ids are never given twice.
    let kept = Limits::default().environment_events_max;
    for n in 0..kept {
        store.put_event(&shop(), &production(), told(&n.to_string())).await.unwrap();
    }
    let last = u64::try_from(kept).unwrap() + 2;
    assert_eq!(ids(), (3..=last).rev().collect::<Vec<_>>());
}
