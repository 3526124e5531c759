//! Variables and tokens: limits, scopes, and that no file holds them in plain.

use std::path::Path;

use windlass_model::project::Service;
use windlass_model::variable::Scope;
use windlass_model::{Limits, Secret, Timestamp};
use windlass_store::kv::{Expect, Page};
use windlass_store::{Phase, Store, StoreError};

use crate::support::{make_shop, production, shop, variable, with_shop};

const SECRET: &str = "canary-secret-4711";
const PLAIN: &str = "canary-plain-4712";
const TOKEN: &str = "canary-token-4713";
const CONTROL: &str = "canary-control-4714";

fn holds(dir: &Path, canary: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|file| {
        let path = file.unwrap().path();
        if path.is_dir() {
            return holds(&path, canary);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(canary.len()).any(|window| window == canary.as_bytes())
    })
}

#[tokio::test]
async fn no_file_holds_a_value_in_plain() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    make_shop(&store).await;
    let variables = [
        variable("SECRET", SECRET, Scope::Both, true),
        variable("PLAIN", PLAIN, Scope::Run, false),
    ];
    store.set_variables(&shop(), &production(), &variables).await.unwrap();
    store.set_git_token(&shop(), &Secret::new(TOKEN.to_owned())).await.unwrap();
    let control = Service {
        name: "db".parse().unwrap(),
        kind: CONTROL.into(),
        address: "db:5432".into(),
        variable_names: vec![],
        created_at: Timestamp::now(),
    };
    store.put_service(&shop(), &production(), &control).await.unwrap();
    store.backup_to(&dir.path().join("backups"), 3).unwrap();
    let values = store.variable_values(&shop(), &production(), Phase::Any).unwrap();
    assert_eq!(values[1].value.expose(), SECRET);
    drop(store);
    for canary in [SECRET, PLAIN, TOKEN] {
        assert!(!holds(dir.path(), canary), "{canary}");
        assert!(!holds(dir.path(), &hex(canary)), "{canary} in hexadecimal");
    }
    assert!(holds(dir.path(), CONTROL), "the search finds what is there");
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn secret_values_are_write_only_and_others_are_shown() {
    let store = with_shop().await;
    let variables = [variable("A", "1", Scope::Build, false), variable("B", "2", Scope::Run, true)];
    store.set_variables(&shop(), &production(), &variables).await.unwrap();
    let shown = store.variables(&shop(), &production()).unwrap();
    assert_eq!(shown[0].value.as_deref(), Some("1"));
    assert_eq!(shown[1].value, None);
    assert!(shown[1].secret);
    let names = |phase| {
        let values = store.variable_values(&shop(), &production(), phase).unwrap();
        values.into_iter().map(|value| value.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(Phase::Build), ["A"]);
    assert_eq!(names(Phase::Run), ["B"]);
    assert_eq!(names(Phase::Any), ["A", "B"]);
    let gone = ["A".parse().unwrap(), "MISSING".parse().unwrap()];
    assert_eq!(store.unset_variables(&shop(), &production(), &gone).await.unwrap(), 1);
    assert_eq!(names(Phase::Any), ["B"]);
}

#[tokio::test]
async fn the_limits_of_variables_hold_for_all_or_none() {
    let limits = Limits { variables_max: 2, variable_value_bytes_max: 8, ..Limits::default() };
    let store = Store::in_memory(limits).unwrap();
    make_shop(&store).await;
    let set = async |variables: &[_]| store.set_variables(&shop(), &production(), variables).await;
    let long = variable("LONG", "123456789", Scope::Both, true);
    let refused = set(&[variable("A", "1", Scope::Both, true), long]).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { bytes: 9, bytes_max: 8, .. }), "{refused}");
    assert!(store.variables(&shop(), &production()).unwrap().is_empty());
    let three: Vec<_> = ["A", "B", "C"].map(|name| variable(name, "1", Scope::Both, true)).into();
    assert!(matches!(set(&three).await, Err(StoreError::TooMany { count_max: 2, .. })));
    set(&three[..2]).await.unwrap();
    set(&three[..2]).await.unwrap();
    assert!(matches!(set(&three[2..]).await, Err(StoreError::TooMany { .. })));
}

#[tokio::test]
async fn sealed_bytes_cannot_be_moved_to_another_variable() {
    let store = with_shop().await;
    let both = [variable("A", "1", Scope::Both, true), variable("B", "2", Scope::Both, true)];
    store.set_variables(&shop(), &production(), &both).await.unwrap();
    let kv = store.kv();
    let entries = kv.list("variable/", &Page::all()).unwrap();
    let moved = entries[0].1.value.clone();
    kv.compare_and_set(&entries[1].0, Expect::Any, moved).await.unwrap();
    let refused = store.variable_values(&shop(), &production(), Phase::Run).unwrap_err();
    assert!(matches!(refused, StoreError::KeyLost { .. }));
    assert!(refused.to_string().contains("variable B of shop/production"), "{refused}");
}

#[tokio::test]
async fn a_git_token_is_kept_and_removed() {
    let store = with_shop().await;
    assert!(!store.has_git_token(&shop()).unwrap());
    assert_eq!(store.git_token(&shop()).unwrap(), None);
    store.set_git_token(&shop(), &Secret::new(TOKEN.to_owned())).await.unwrap();
    assert!(store.has_git_token(&shop()).unwrap());
    assert_eq!(store.git_token(&shop()).unwrap().unwrap().expose(), TOKEN);
    store.remove_git_token(&shop()).await.unwrap();
    assert!(!store.has_git_token(&shop()).unwrap());
    let missing = store.set_git_token(&"none".parse().unwrap(), &Secret::new("x".into())).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}
