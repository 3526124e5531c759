//! One suite for every implementation of the key-value trait.

use std::sync::Arc;

use windlass_store::StoreError;
use windlass_store::kv::{
    Entry, Expect, Health, Kv, MemoryKv, Page, SledKv, Transaction, VALUE_BYTES_MAX, WatchEvent,
};

/// Runs each check on a fresh store of each kind.
macro_rules! conformance {
    ($($check:ident),* $(,)?) => {
        mod memory {
            use super::*;
            $(#[test] fn $check() { super::$check(&MemoryKv::new()); })*
        }
        mod sled {
            use super::*;
            $(#[test] fn $check() {
                let dir = tempfile::tempdir().unwrap();
                super::$check(&SledKv::open(dir.path()).unwrap());
            })*
        }
    };
}

conformance!(
    a_value_comes_back_with_its_revision,
    compare_and_set_keeps_its_word,
    a_transaction_is_applied_completely_or_not_at_all,
    lists_are_ordered_and_paged_both_ways,
    a_prefix_does_not_take_its_neighbours,
    what_is_too_large_is_refused_and_nothing_changes,
    a_watch_tells_of_its_prefix_in_order,
    a_slow_watcher_is_told_that_it_missed_something,
    an_export_sees_everything_once,
    one_of_many_rivals_wins,
);

fn put(kv: &dyn Kv, key: &str, value: &str) -> u64 {
    kv.compare_and_set(key, Expect::Any, value.into()).wait().unwrap()
}

fn keys(kv: &dyn Kv, prefix: &str, page: &Page) -> Vec<String> {
    kv.list(prefix, page).unwrap().into_iter().map(|(key, _)| key).collect()
}

fn is_conflict(result: Result<u64, StoreError>, key: &str) -> bool {
    matches!(result, Err(StoreError::Conflict { what }) if what == key)
}

fn a_value_comes_back_with_its_revision(kv: &dyn Kv) {
    assert_eq!(kv.get("a").unwrap(), None);
    let first = put(kv, "a", "1");
    assert_eq!(kv.get("a").unwrap(), Some(Entry { revision: first, value: b"1".to_vec() }));
    let second = put(kv, "a", "2");
    assert_eq!(second, first + 1);
    assert_eq!(kv.get("a").unwrap(), Some(Entry { revision: second, value: b"2".to_vec() }));
    assert_eq!(kv.health(), Health::Ok);
}

fn compare_and_set_keeps_its_word(kv: &dyn Kv) {
    let set = |expect| kv.compare_and_set("a", expect, b"x".to_vec()).wait();
    assert!(is_conflict(set(Expect::Revision(1)), "a"), "it is not there yet");
    let first = set(Expect::Absent).unwrap();
    assert!(is_conflict(set(Expect::Absent), "a"));
    let second = set(Expect::Revision(first)).unwrap();
    assert!(is_conflict(set(Expect::Revision(first)), "a"), "the old revision");
    kv.submit(Transaction::new().delete("a", Expect::Revision(second))).wait().unwrap();
    assert!(is_conflict(set(Expect::Revision(second)), "a"), "it is gone");
    assert!(set(Expect::Absent).unwrap() > second, "revisions are never used again");
}

fn a_transaction_is_applied_completely_or_not_at_all(kv: &dyn Kv) {
    let a = put(kv, "a", "1");
    let tx = Transaction::new()
        .put("b", Expect::Absent, vec![1; 40_000])
        .delete("a", Expect::Revision(a))
        .check("c", Expect::Absent);
    let revision = kv.submit(tx).wait().unwrap();
    assert_eq!(kv.get("b").unwrap(), Some(Entry { revision, value: vec![1; 40_000] }));
    assert_eq!(kv.get("a").unwrap(), None);

    let tx = Transaction::new()
        .put("b", Expect::Any, b"other".to_vec())
        .put("d", Expect::Any, b"new".to_vec())
        .check("missing", Expect::Revision(1));
    assert!(is_conflict(kv.submit(tx).wait(), "missing"));
    assert_eq!(kv.get("b").unwrap().unwrap().revision, revision);
    assert_eq!(kv.get("d").unwrap(), None);
}

fn lists_are_ordered_and_paged_both_ways(kv: &dyn Kv) {
    for n in [3, 1, 4, 0, 2] {
        put(kv, &format!("l/{n}"), "");
    }
    let page = |after: Option<&str>, limit, reverse| Page {
        after: after.map(str::to_owned),
        limit,
        reverse,
    };
    assert_eq!(keys(kv, "l/", &Page::all()), ["l/0", "l/1", "l/2", "l/3", "l/4"]);
    assert_eq!(keys(kv, "l/", &page(None, 2, false)), ["l/0", "l/1"]);
    assert_eq!(keys(kv, "l/", &page(Some("l/1"), 2, false)), ["l/2", "l/3"]);
    assert_eq!(keys(kv, "l/", &page(Some("l/4"), 2, false)), Vec::<String>::new());
    assert_eq!(keys(kv, "l/", &page(None, 2, true)), ["l/4", "l/3"]);
    assert_eq!(keys(kv, "l/", &page(Some("l/3"), 2, true)), ["l/2", "l/1"]);
    assert_eq!(keys(kv, "l/", &page(Some("l/0"), 2, true)), Vec::<String>::new());
    // A cursor need not exist, nor lie inside the prefix.
    assert_eq!(keys(kv, "l/", &page(Some("l/25"), 0, false)), ["l/3", "l/4"]);
    assert_eq!(keys(kv, "l/", &page(Some("a"), 1, false)), ["l/0"]);
    assert_eq!(keys(kv, "l/", &page(Some("z"), 1, true)), ["l/4"]);
    assert_eq!(keys(kv, "l/", &page(Some("a"), 1, true)), Vec::<String>::new());
    assert_eq!(keys(kv, "l/", &page(Some("z"), 1, false)), Vec::<String>::new());
}

fn a_prefix_does_not_take_its_neighbours(kv: &dyn Kv) {
    for key in ["p", "p/", "p/a", "p/ü", "p0", "o/z", "q"] {
        put(kv, key, "");
    }
    assert_eq!(keys(kv, "p/", &Page::all()), ["p/", "p/a", "p/ü"]);
    assert_eq!(keys(kv, "", &Page::all()).len(), 7);
}

fn what_is_too_large_is_refused_and_nothing_changes(kv: &dyn Kv) {
    let tx = Transaction::new().put("small", Expect::Any, vec![1]).put(
        "large",
        Expect::Any,
        vec![0; VALUE_BYTES_MAX + 1],
    );
    let refused = kv.submit(tx).wait();
    assert!(matches!(refused, Err(StoreError::TooLarge { what, .. }) if what == "large"));
    assert_eq!(kv.get("small").unwrap(), None);
    for key in ["", "a\0b", &"k".repeat(513)] {
        let refused = kv.compare_and_set(key, Expect::Any, vec![]).wait();
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{key:?}");
    }
    kv.compare_and_set("just", Expect::Any, vec![9; VALUE_BYTES_MAX]).wait().unwrap();
    assert_eq!(kv.get("just").unwrap().unwrap().value.len(), VALUE_BYTES_MAX);
}

fn a_watch_tells_of_its_prefix_in_order(kv: &dyn Kv) {
    put(kv, "w/before", "");
    let mut watch = kv.watch("w/");
    put(kv, "w/a", "");
    put(kv, "other", "");
    let gone = Transaction::new().delete("w/a", Expect::Any).check("w/before", Expect::Any);
    let last = kv.submit(gone).wait().unwrap();
    let mut seen = Vec::new();
    while let Some(event) = watch.try_next() {
        match event {
            WatchEvent::Changed(change) => seen.push((change.key, change.deleted, change.revision)),
            WatchEvent::Missed => panic!("nothing was missed"),
        }
    }
    assert_eq!(seen, [("w/a".into(), false, last - 2), ("w/a".into(), true, last)]);
}

fn a_slow_watcher_is_told_that_it_missed_something(kv: &dyn Kv) {
    let mut watch = kv.watch("w/");
    let mut tx = Transaction::new();
    for n in 0..5000 {
        tx = tx.put(format!("w/{n:04}"), Expect::Any, vec![]);
    }
    kv.submit(tx).wait().unwrap();
    assert_eq!(watch.try_next(), Some(WatchEvent::Missed));
    let mut rest = 0;
    while watch.try_next().is_some() {
        rest += 1;
    }
    assert!(rest > 0, "and then goes on with what is left");
}

fn an_export_sees_everything_once(kv: &dyn Kv) {
    let mut tx = Transaction::new();
    for n in 0..700 {
        tx = tx.put(format!("e/{n:03}"), Expect::Any, vec![1; 100]);
    }
    let revision = kv.submit(tx).wait().unwrap();
    let mut seen = Vec::new();
    let exported = kv.export(&mut |key, entry| {
        assert_eq!(entry.revision, revision);
        seen.push(key.to_owned());
        Ok(())
    });
    assert_eq!(exported.unwrap(), revision);
    assert_eq!(seen, keys(kv, "", &Page::all()));
    assert_eq!(seen.len(), 700);
}

fn one_of_many_rivals_wins(kv: &dyn Kv) {
    let winners = std::thread::scope(|scope| {
        let rivals: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn(move || {
                    kv.compare_and_set("prize", Expect::Absent, vec![n]).wait().is_ok()
                })
            })
            .collect();
        rivals.into_iter().map(|rival| rival.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_reply_can_be_awaited_and_waited_for_inside_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let kv: Arc<dyn Kv> = Arc::new(SledKv::open(dir.path()).unwrap());
    let awaited = kv.compare_and_set("a", Expect::Absent, vec![]).await.unwrap();
    let waited = kv.compare_and_set("b", Expect::Absent, vec![]).wait().unwrap();
    assert_eq!(waited, awaited + 1);
    // A dropped reply cancels nothing: what is behind it in the queue is written after it.
    drop(kv.compare_and_set("c", Expect::Absent, vec![]));
    kv.compare_and_set("d", Expect::Absent, vec![]).await.unwrap();
    assert!(kv.get("c").unwrap().is_some());
}
