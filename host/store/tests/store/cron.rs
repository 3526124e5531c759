//! What is kept of schedules.

use windlass_model::cron::Overlap;
use windlass_model::schedule::{Asked, CronHistory, RunStatus};
use windlass_model::{DeploymentId, Limits, Timestamp};
use windlass_store::{Store, StoreError};

use crate::support::{make_shop, production, shop, with_shop};

fn asked(schedule: &str) -> CronHistory {
    let mut history = CronHistory::new(shop(), production(), schedule.to_owned());
    history.ask(Asked::Person("ann".to_owned()), Overlap::Skip, Timestamp::now());
    history
}

#[tokio::test]
async fn of_two_who_begin_a_run_one_is_refused() {
    let store = with_shop().await;
    store.put_cron_history(&asked("clean-up"), None).await.unwrap();
    let again = store.put_cron_history(&asked("clean-up"), None).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");

    let read = store.cron_history(&shop(), &production(), "clean-up").unwrap().unwrap();
    let (mut one, mut other) = (read.value.clone(), read.value);
    for history in [&mut one, &mut other] {
        history.begin((DeploymentId::generate(), 1), 1000, Timestamp::now()).unwrap();
    }
    store.put_cron_history(&one, Some(read.revision)).await.unwrap();
    let late = store.put_cron_history(&other, Some(read.revision)).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    let kept = store.cron_history(&shop(), &production(), "clean-up").unwrap().unwrap();
    assert_eq!(kept.value, one);
}

#[tokio::test]
async fn histories_are_found_by_environment_and_go_with_it() {
    let store = with_shop().await;
    for schedule in ["clean-up", "cron.report"] {
        store.put_cron_history(&asked(schedule), None).await.unwrap();
    }
    let names = |all: Vec<CronHistory>| all.into_iter().map(|it| it.schedule).collect::<Vec<_>>();
    let found = store.cron_histories(&shop(), &production()).unwrap();
    assert_eq!(names(found), ["clean-up", "cron.report"]);
    assert_eq!(names(store.all_cron_histories().unwrap()).len(), 2);
    store.delete_environment(&shop(), &production()).await.unwrap();
    assert!(store.all_cron_histories().unwrap().is_empty());
    let gone = store.put_cron_history(&asked("clean-up"), None).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_run_that_was_acknowledged_is_there_after_the_store_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    make_shop(&store).await;
    let mut history = asked("clean-up");
    let revision = store.put_cron_history(&history, None).await.unwrap();
    history.begin((DeploymentId::generate(), 1), 1000, Timestamp::now()).unwrap();
    store.put_cron_history(&history, Some(revision)).await.unwrap();
    drop(store);
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    let kept = store.cron_history(&shop(), &production(), "clean-up").unwrap().unwrap().value;
    assert_eq!(kept, history);
    assert_eq!(kept.running().map(|run| run.status), Some(RunStatus::Running));
}
