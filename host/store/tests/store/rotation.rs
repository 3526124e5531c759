//! Replacing the key: cut off at every place, every value stays readable, and at the end nothing is left
//! under the old key.

use std::ops::ControlFlow;
use std::path::Path;

use windlass_model::variable::Scope;
use windlass_model::{Limits, Secret};
use windlass_store::kv::Page;
use windlass_store::{Phase, RotationPoint, Store};

use crate::support::{make_shop, production, shop, variable};

/// More than two batches of sealed records.
const VARIABLES: usize = 250;

fn open(dir: &Path) -> Store {
    Store::open(dir, Limits::default()).unwrap()
}

async fn filled(dir: &Path) -> Store {
    let store = open(dir);
    make_shop(&store).await;
    let all: Vec<_> = (0..VARIABLES)
        .map(|n| variable(&format!("V{n:03}"), &format!("value-{n}"), Scope::Both, n % 2 == 0))
        .collect();
    store.set_variables(&shop(), &production(), &all).await.unwrap();
    store.set_git_token(&shop(), &Secret::new("the-git-token".to_owned())).await.unwrap();
    store
}

fn assert_readable(store: &Store) {
    let values = store.variable_values(&shop(), &production(), Phase::Any).unwrap();
    assert_eq!(values.len(), VARIABLES);
    for (n, value) in values.iter().enumerate() {
        assert_eq!(*value.value.expose(), format!("value-{n}"));
    }
    let token = store.git_token(&shop()).unwrap().unwrap();
    assert_eq!(token.expose(), "the-git-token");
}

/// Ids of the keys that the store's sealed values are under: read as text, not by the code under test.
fn keys_in_use(store: &Store) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for (_, entry) in store.kv().list("", &Page::all()).unwrap() {
        let text = String::from_utf8(entry.value).unwrap();
        for (place, _) in text.match_indices("\"nonce\"") {
            let (begin, end) =
                (text[..place].rfind('{').unwrap(), text[place..].find('}').unwrap());
            let sealed: serde_json::Value =
                serde_json::from_str(&text[begin..=place + end]).unwrap();
            ids.push(sealed["key"].as_str().unwrap_or("none").to_owned());
        }
    }
    ids.sort();
    ids.dedup();
    ids
}

#[tokio::test]
async fn a_rotation_that_is_cut_off_anywhere_loses_nothing_and_goes_on() {
    let places = [
        RotationPoint::Begun,
        RotationPoint::Batches(1),
        RotationPoint::Batches(2),
        RotationPoint::Resealed,
        RotationPoint::Finished,
    ];
    for place in places {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path()).await;
        let old = store.key_state().unwrap().id;
        let cut =
            move |at| if at == place { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        store.rotate_key(&cut).await.unwrap();
        assert_readable(&store);
        drop(store);
        // As a process would find it that was killed there.
        let store = open(dir.path());
        assert_readable(&store);
        let state = store.key_state().unwrap();
        assert_eq!(state.is_rotating, place != RotationPoint::Finished, "{place:?}");
        assert_ne!(state.id, old, "{place:?}: what is new is under the new key");
        store
            .set_variables(
                &shop(),
                &production(),
                &[variable("V000", "value-0", Scope::Both, true)],
            )
            .await
            .unwrap();
        if state.is_rotating {
            store.rotate_key(&|_| ControlFlow::Continue(())).await.unwrap();
        }
        let end = store.key_state().unwrap();
        assert_eq!((end.id.as_str(), end.is_rotating), (state.id.as_str(), false), "{place:?}");
        assert_eq!(keys_in_use(&store), [state.id], "{place:?}");
        assert_readable(&store);
        drop(store);
        assert_readable(&open(dir.path()));
    }
}

#[tokio::test]
async fn a_backup_from_before_is_read_with_the_key_that_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let backup = store.backup_to(&dir.path().join("backups"), 3).unwrap();
    let report = store.rotate_key(&|_| ControlFlow::Continue(())).await.unwrap();
    // The variables, the Git token and the value by which the key is known.
    assert_eq!((report.resealed, report.unreadable), (VARIABLES as u64 + 2, 0));
    let old = store.key_state().unwrap().old_files;
    assert_eq!(old.len(), 1);
    drop(store);
    windlass_store::restore_from(&backup.path, dir.path()).unwrap();
    let store = open(dir.path());
    assert_readable(&store);
    drop(store);
    std::fs::remove_file(&old[0]).unwrap();
    let lost = Store::open(dir.path(), Limits::default()).unwrap_err();
    assert_eq!(lost.code(), "store.key-lost", "without that key it cannot be");
}

#[tokio::test]
async fn values_of_versions_that_named_no_key_are_read_and_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    for (key, entry) in store.kv().list("", &Page::all()).unwrap() {
        let text = String::from_utf8(entry.value).unwrap();
        let id = store.key_state().unwrap().id;
        let without = text.replace(&format!(",\"key\":\"{id}\""), "");
        if without != text {
            let expect = windlass_store::kv::Expect::Any;
            store.kv().compare_and_set(&key, expect, without.into_bytes()).await.unwrap();
        }
    }
    assert_eq!(keys_in_use(&store), ["none"]);
    assert_readable(&store);
    store.rotate_key(&|_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!(keys_in_use(&store), [store.key_state().unwrap().id]);
    assert_readable(&store);
}

#[tokio::test]
async fn what_only_looks_like_a_sealed_value_does_not_stop_a_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let fake = format!(r#"{{"payload":{{"nonce":"{}","text":"abcd"}}}}"#, "0".repeat(48));
    let expect = windlass_store::kv::Expect::Absent;
    store.kv().compare_and_set("plan/fake", expect, fake.clone().into_bytes()).await.unwrap();
    let report = store.rotate_key(&|_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!(report.unreadable, 1);
    assert_eq!(store.kv().get("plan/fake").unwrap().unwrap().value, fake.into_bytes());
    assert_readable(&store);
}
