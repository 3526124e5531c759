//! What is set for environments.

use windlass_model::settings::{EnvironmentSettings, Overrides, Settings};
use windlass_model::{DeploymentStatus, EnvironmentName, Limits, Timestamp};
use windlass_store::{Found, Store, StoreError, restore_from};

use crate::support::{deployment, make_shop, memory, production, shop, with_shop};

fn settings(memory: &str, retention_owed: bool) -> EnvironmentSettings {
    let mut overrides = Overrides::default();
    overrides.set("run.memory", memory.into());
    let updated_by = "test".to_owned();
    EnvironmentSettings { overrides, updated_at: Timestamp::now(), updated_by, retention_owed }
}

fn stored(store: &Store) -> Option<Overrides> {
    let found = store.environment_settings(&shop(), &production()).unwrap();
    found.map(|found| found.value.overrides)
}

#[tokio::test]
async fn settings_are_changed_from_what_was_read_and_go_with_their_environment() {
    let store = with_shop().await;
    assert_eq!(stored(&store), None);
    let put = async |settings: &EnvironmentSettings, read| {
        store.put_environment_settings(&shop(), &production(), settings, read).await
    };
    let first = put(&settings("1GiB", false), Some(0)).await.unwrap();
    let late = put(&settings("2GiB", false), Some(0)).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    let second = put(&settings("2GiB", true), Some(first)).await.unwrap();
    let late = put(&settings("3GiB", false), Some(first)).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    assert_eq!(stored(&store), Some(settings("2GiB", true).overrides));

    // Retention that was changed after it was applied is still owed.
    let owed = |store: &Store| store.environments_owed_retention().unwrap();
    assert_eq!(owed(&store), [(shop(), production())]);
    let read = store.environment_settings(&shop(), &production()).unwrap().unwrap();
    assert_eq!(read.revision, second);
    put(&settings("4GiB", true), None).await.unwrap();
    store.retention_applied(&shop(), &production(), read).await.unwrap();
    assert_eq!(owed(&store), [(shop(), production())]);
    let read = store.environment_settings(&shop(), &production()).unwrap().unwrap();
    store.retention_applied(&shop(), &production(), read).await.unwrap();
    assert!(owed(&store).is_empty());
    assert_eq!(stored(&store), Some(settings("4GiB", true).overrides));

    store.delete_environment(&shop(), &production()).await.unwrap();
    assert_eq!(stored(&store), None);
    let gone = put(&settings("1GiB", false), None).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_backup_holds_the_settings_of_environments() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backups) = (dir.path().join("data"), dir.path().join("backups"));
    let store = Store::open(&data, Limits::default()).unwrap();
    make_shop(&store).await;
    let set = settings("1GiB", false);
    store.put_environment_settings(&shop(), &production(), &set, None).await.unwrap();
    let report = store.backup_to(&backups, 1).unwrap();
    store.delete_environment(&shop(), &production()).await.unwrap();
    drop(store);
    restore_from(&report.path, &data).unwrap();
    assert_eq!(stored(&Store::open(&data, Limits::default()).unwrap()), Some(set.overrides));
}

#[tokio::test]
async fn recovery_gives_an_environment_the_settings_back_that_its_deployment_ran_with() {
    let store = memory();
    let set = settings("1GiB", false).overrides;
    let found = |environment: EnvironmentName, overrides: &Overrides| {
        let mut deployment = deployment(&environment, DeploymentStatus::Live);
        deployment.number = 1;
        deployment.outputs.settings = Some(Settings::default().with(overrides).unwrap());
        Found {
            project: windlass_model::project::Project::new(shop()),
            deployment,
            is_live: true,
            generation: 1,
            plan: None,
            services: Vec::new(),
            domains: Vec::new(),
            variables: Vec::new(),
        }
    };
    let once = found(production(), &set);
    store.put_back(once.clone()).await.unwrap();
    assert_eq!(stored(&store), Some(set));
    // What is set since stays when it is put back once more.
    let newer = settings("2GiB", false);
    store.put_environment_settings(&shop(), &production(), &newer, None).await.unwrap();
    store.put_back(once).await.unwrap();
    assert_eq!(stored(&store), Some(newer.overrides));
    let staging: EnvironmentName = "staging".parse().unwrap();
    store.put_back(found(staging.clone(), &Overrides::default())).await.unwrap();
    assert_eq!(store.environment_settings(&shop(), &staging).unwrap(), None);
}
