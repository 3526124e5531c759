//! Backups: verified, pruned, restored.

use windlass_model::{Limits, Secret};
use windlass_store::kv::Page;
use windlass_store::{Store, StoreError, restore_from, verify_backup};

use crate::support::{make_shop, shop};

#[tokio::test]
async fn a_backup_restores_everything_and_keeps_what_it_replaces() {
    let dir = tempfile::tempdir().unwrap();
    let backups = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    make_shop(&store).await;
    store.set_git_token(&shop(), &Secret::new("token".into())).await.unwrap();
    let large = vec![5; 3_000_000];
    let expect = windlass_store::kv::Expect::Absent;
    store.kv().compare_and_set("large", expect, large.clone()).await.unwrap();
    let before = store.kv().list("", &Page::all()).unwrap();
    let report = store.backup_to(backups.path(), 3).unwrap();
    assert_eq!(report.keys, before.len() as u64);
    assert_eq!(verify_backup(&report.path).unwrap(), report);
    store.delete_project(&shop()).await.unwrap();

    let refused = restore_from(&report.path, dir.path());
    assert!(matches!(refused, Err(StoreError::InUse { .. })), "a host runs on it");
    let host_id = store.host_id().clone();
    drop(store);
    restore_from(&report.path, dir.path()).unwrap();
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    let contents = |list: Vec<(String, windlass_store::kv::Entry)>| {
        list.into_iter().map(|(key, entry)| (key, entry.value)).collect::<Vec<_>>()
    };
    let after = store.kv().list("", &Page::all()).unwrap();
    assert_eq!(contents(after), contents(before));
    assert_eq!(*store.host_id(), host_id);
    assert_eq!(store.git_token(&shop()).unwrap().unwrap().expose(), "token");
    let names = std::fs::read_dir(dir.path()).unwrap();
    let names: Vec<_> =
        names.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("store.replaced-")), "{names:?}");
    assert!(!names.iter().any(|name| name == "restore.partial"), "{names:?}");
}

#[tokio::test]
async fn only_the_newest_backups_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("data"), Limits::default()).unwrap();
    let backups = dir.path().join("backups");
    let made: Vec<_> = (0..4).map(|_| store.backup_to(&backups, 2).unwrap().path).collect();
    let kept: Vec<_> = made.iter().map(|path| path.exists()).collect();
    assert_eq!(kept, [false, false, true, true]);
}

#[tokio::test]
async fn a_damaged_backup_is_never_restored() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = Store::open(&data, Limits::default()).unwrap();
    make_shop(&store).await;
    let backup = store.backup_to(&dir.path().join("backups"), 1).unwrap();
    drop(store);
    let good = std::fs::read(&backup.path).unwrap();
    let damaged = dir.path().join("damaged.backup");
    let step = (good.len() / 40).max(1);
    for at in (0..good.len()).step_by(step) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        std::fs::write(&damaged, &bytes).unwrap();
        let refused = verify_backup(&damaged);
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "byte {at}");
        std::fs::write(&damaged, &good[..at]).unwrap();
        assert!(matches!(verify_backup(&damaged), Err(StoreError::Corrupt { .. })), "cut at {at}");
    }
    assert!(matches!(restore_from(&damaged, &data), Err(StoreError::Corrupt { .. })));
    let store = Store::open(&data, Limits::default()).unwrap();
    assert!(store.project(&shop()).is_ok(), "nothing was changed");
}

#[tokio::test]
async fn a_journal_that_has_lost_commits_is_refused_and_a_backup_brings_the_store_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = Store::open(&data, Limits::default()).unwrap();
    make_shop(&store).await;
    let backup = store.backup_to(&dir.path().join("backups"), 1).unwrap();
    let host = store.host_id().clone();
    drop(store);
    let log = data.join("store/journal").read_dir().unwrap().flatten().map(|file| file.path());
    let log = log.filter(|path| path.extension().is_some_and(|ending| ending == "log")).max();
    let log = log.unwrap();
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, &whole[..whole.len() / 2]).unwrap();
    let refused = Store::open(&data, Limits::default()).unwrap_err();
    assert_eq!(refused.code(), "store.journal-damaged", "{refused}");
    restore_from(&backup.path, &data).unwrap();
    let store = Store::open(&data, Limits::default()).unwrap();
    assert!(store.project(&shop()).is_ok());
    assert_eq!(*store.host_id(), host);
}

#[tokio::test]
async fn a_store_that_is_gone_is_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    let host = store.host_id().clone();
    drop(store);
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    for _ in 0..2 {
        let refused = Store::open(dir.path(), Limits::default()).unwrap_err();
        assert_eq!(refused.code(), "store.lost", "{refused}");
        assert!(refused.fix().contains("windlass recover"), "{}", refused.fix());
    }
    let store = Store::open_anew(dir.path(), Limits::default(), &host).unwrap();
    assert_eq!(*store.host_id(), host);
    drop(store);
    Store::open(dir.path(), Limits::default()).unwrap();
}
