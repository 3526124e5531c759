//! What can only be shown from inside: reopening, the files below, parts.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::*;
use crate::kv::{Expect, VALUE_BYTES_MAX};

pub(super) fn put(kv: &SledKv, key: &str, value: Vec<u8>) -> Revision {
    kv.compare_and_set(key, Expect::Any, value).wait().unwrap()
}

/// A folder with all that is below it.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}

fn files_in(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[test]
fn reopening_keeps_what_was_acknowledged_and_the_revision() {
    let dir = tempfile::tempdir().unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    let first = put(&kv, "a", b"1".to_vec());
    for _ in 0..5 {
        kv.queue.send(Command::Reopen).unwrap();
    }
    let second = put(&kv, "b", b"2".to_vec());
    assert!(second > first);
    assert_eq!(kv.get("a").unwrap().unwrap(), Entry { revision: first, value: b"1".to_vec() });
    assert_eq!(kv.health(), Health::Ok);
}

#[test]
fn a_flusher_that_has_ended_is_noticed_and_the_database_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    put(&kv, "before", Vec::new());
    let present = |kv: &SledKv| kv.shared.open.read().unwrap().clone().unwrap();
    let first = Arc::downgrade(&present(&kv));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !database::flushers_live() {
        assert!(Instant::now() < deadline, "the new flusher is not seen");
        std::thread::yield_now();
    }
    // One database more than there are flushers: as if one of them had ended.
    let missing = 1000;
    database::OPEN.fetch_add(missing, Ordering::SeqCst);
    assert!(!database::flushers_live());
    kv.queue.send(Command::CheckFlusher).unwrap();
    put(&kv, "after the first look", Vec::new());
    assert!(first.upgrade().is_some(), "one look is not enough");
    kv.queue.send(Command::CheckFlusher).unwrap();
    put(&kv, "after the second look", Vec::new());
    assert!(first.upgrade().is_none());
    database::OPEN.fetch_sub(missing, Ordering::SeqCst);
    assert_eq!(kv.list("", &Page::all()).unwrap().len(), 3);
}

#[test]
fn the_largest_values_make_no_blob_file_and_sled_alone_would() {
    let dir = tempfile::tempdir().unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    for n in 0..40_u8 {
        put(&kv, &format!("medium/{n:03}"), vec![n; 60 * 1024]);
    }
    put(&kv, "large", vec![7; VALUE_BYTES_MAX]);
    assert_eq!(kv.get("large").unwrap().unwrap().value, vec![7; VALUE_BYTES_MAX]);
    drop(kv);
    assert_eq!(files_in(&dir.path().join("store/db/blobs")), 0);

    let control = tempfile::tempdir().unwrap();
    let db = ::sled::open(control.path()).unwrap();
    for n in 0..4_u8 {
        db.insert([n], vec![n; 60 * 1024]).unwrap();
        db.flush().unwrap();
    }
    db.insert(b"x", vec![1; 200 * 1024]).unwrap();
    db.flush().unwrap();
    assert!(files_in(&control.path().join("blobs")) > 0, "the control made no blob");
}

#[test]
fn a_shorter_value_and_a_removed_one_leave_no_parts_behind() {
    let dir = tempfile::tempdir().unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    let parts = |kv: &SledKv| kv.shared.read(|open| Ok(open.db.scan_prefix(b"p").count())).unwrap();
    put(&kv, "k", vec![1; physical::PART_BYTES * 10]);
    assert_eq!(parts(&kv), 9);
    put(&kv, "k", vec![2; physical::PART_BYTES * 3 + 1]);
    assert_eq!(parts(&kv), 3);
    put(&kv, "k", Vec::new());
    assert_eq!(parts(&kv), 0);
    put(&kv, "k", vec![1; physical::PART_BYTES * 10]);
    kv.submit(Transaction::new().delete("k", Expect::Any)).wait().unwrap();
    assert_eq!(parts(&kv), 0);
    assert_eq!(kv.get("k").unwrap(), None);
}

#[test]
fn values_of_every_length_around_a_part_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    let part = physical::PART_BYTES;
    for length in [0, 1, part - 1, part, part + 1, 2 * part - 1, 2 * part, 2 * part + 1] {
        let value: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
        put(&kv, "k", value.clone());
        assert_eq!(kv.get("k").unwrap().unwrap().value, value, "{length}");
    }
}

#[test]
fn commits_that_wait_share_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    let replies: Vec<_> = (0..500)
        .map(|n| kv.compare_and_set(&format!("k/{n:03}"), Expect::Absent, b"v".to_vec()))
        .collect();
    let revisions: Vec<_> = replies.into_iter().map(|reply| reply.wait().unwrap()).collect();
    assert_eq!(revisions, (1..=500).collect::<Vec<_>>(), "in order, one each");
    assert_eq!(kv.list("k/", &Page::all()).unwrap().len(), 500);
}
