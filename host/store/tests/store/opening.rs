//! What opening refuses, and what it clears away.

use std::os::unix::fs::PermissionsExt as _;

use windlass_model::Limits;
use windlass_store::kv::{Expect, Kv as _, SledKv};
use windlass_store::{Store, StoreError};

use crate::support::{make_shop, shop};

fn open(dir: &std::path::Path) -> Result<Store, StoreError> {
    Store::open(dir, Limits::default())
}

#[test]
fn the_host_id_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap().host_id().clone();
    assert_eq!(*open(dir.path()).unwrap().host_id(), first);
}

#[test]
fn a_second_host_is_refused_with_the_first_ones_process_id() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let refused = open(dir.path()).unwrap_err();
    assert_eq!(refused.code(), "store.in-use");
    let text = refused.to_string();
    assert!(text.contains("data directory in use"), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    assert!(refused.fix().contains("--data"));
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let kv = SledKv::open(dir.path()).unwrap();
    kv.compare_and_set("meta/schema", Expect::Any, b"2".to_vec()).wait().unwrap();
    drop(kv);
    let refused = open(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::SchemaNewer { found: 2, supported: 1 }), "{refused}");
}

#[tokio::test]
async fn a_snapshot_that_was_never_finished_is_removed_and_sled_alone_would_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    make_shop(&store).await;
    drop(store);
    let stale = dir.path().join("store/db/snap.00000000FFFFFFFF.generating");
    std::fs::write(&stale, b"half of a snap").unwrap();

    let control = tempfile::tempdir().unwrap();
    for file in ["conf", "db", "snap.00000000FFFFFFFF.generating"] {
        std::fs::copy(dir.path().join("store/db").join(file), control.path().join(file)).unwrap();
    }
    let alone = std::panic::catch_unwind(|| sled::open(control.path()).map(drop));
    assert!(!matches!(alone, Ok(Ok(()))), "the control opened");

    let store = open(dir.path()).unwrap();
    assert!(store.project(&shop()).is_ok());
    assert!(!stale.exists());
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let key = dir.path().join("secret.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = open(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::KeyPermissions { mode: 0o640, .. }), "{refused}");
    assert!(refused.fix().starts_with("chmod 600 "));
}

#[test]
fn a_lost_key_is_not_replaced_and_a_strange_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let key = dir.path().join("secret.key");
    let right = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let refused = open(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::KeyFile { .. }), "{refused}");
    assert!(!key.exists());

    let write = |bytes: &[u8]| {
        std::fs::write(&key, bytes).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("ab".repeat(32).as_bytes());
    assert!(matches!(open(dir.path()).unwrap_err(), StoreError::KeyLost { .. }));
    write(b"not a key");
    assert!(matches!(open(dir.path()).unwrap_err(), StoreError::KeyFile { .. }));
    write(&right);
    open(dir.path()).unwrap();
}
