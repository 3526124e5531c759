//! A model of a power cut: what was synced is on disk; of what was not, any part may be, at any boundary.
//!
//! The journal is synced before a commit is acknowledged, so its file may end anywhere behind the last
//! acknowledged frame, or be filled with zeros there. sled's files are synced at intervals, so they may be
//! as they were after *any* earlier commit, cut anywhere, or zero. Names in a folder may be there or not
//! until the folder is synced. In every case the store opens with all acknowledged commits, or it says that
//! it is damaged; it never opens with fewer.

use std::path::{Path, PathBuf};

use super::tests::copy;
use super::truth::{HEADER, checkpoint_path, log_path};
use super::*;
use crate::kv::{Entry, Expect};

/// Commits of the model.
const COMMITS: usize = 10;

type Contents = Vec<(String, Entry)>;

/// The store's folder after each commit, and what was acknowledged by then.
struct Moment {
    dir: tempfile::TempDir,
    acknowledged: Contents,
}

/// Commits one after the other, of several sizes, each a change of several keys.
fn moments(compact_at: Option<usize>) -> Vec<Moment> {
    let dir = tempfile::tempdir().unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    let mut moments = Vec::new();
    for n in 0..COMMITS {
        let value = vec![u8::try_from(n).unwrap(); n * 1501 % 9000];
        let mut tx = Transaction::new().put(format!("k/{n:03}"), Expect::Any, value).put(
            "last",
            Expect::Any,
            n.to_string().into_bytes(),
        );
        if n > 2 {
            tx = tx.delete(format!("k/{:03}", n - 2), Expect::Any);
        }
        kv.submit(tx).wait().unwrap();
        if compact_at == Some(n) {
            kv.queue.send(Command::Compact).unwrap();
            kv.compare_and_set("compacted", Expect::Any, Vec::new()).wait().unwrap();
        }
        let acknowledged = kv.list("", &Page::all()).unwrap();
        let copied = tempfile::tempdir().unwrap();
        copy(&dir.path().join("store"), &copied.path().join("store"));
        moments.push(Moment { dir: copied, acknowledged });
    }
    moments
}

fn journal(dir: &Path) -> PathBuf {
    dir.join("store/journal")
}

/// The log of the newest number.
fn newest_log(dir: &Path) -> PathBuf {
    let mut number = 1;
    while log_path(&journal(dir), number + 1).exists() {
        number += 1;
    }
    log_path(&journal(dir), number)
}

/// Opens what the power cut left: everything of `atleast`, or of `next` whose commit was under way.
fn opens_with(dir: &Path, at_least: &Contents, next: Option<&Contents>, what: &str) -> bool {
    match SledKv::open(dir) {
        Ok(kv) => {
            let found = kv.list("", &Page::all()).unwrap();
            let whole = found == *at_least || next.is_some_and(|next| found == *next);
            assert!(whole, "{what}: {} keys instead of {}", found.len(), at_least.len());
            assert_eq!(kv.health(), Health::Ok, "{what}");
            // It goes on.
            kv.compare_and_set("goes on", Expect::Any, Vec::new()).wait().unwrap();
            true
        }
        Err(StoreError::JournalDamaged { .. }) => false,
        Err(other) => panic!("{what}: {other:?}"),
    }
}

#[test]
fn a_power_cut_within_a_commit_loses_nothing_that_was_acknowledged() {
    let moments = moments(None);
    for n in [0, 4, COMMITS - 2] {
        let (before, after) = (&moments[n], &moments[n + 1]);
        let kept = std::fs::read(newest_log(before.dir.path())).unwrap().len();
        let whole = std::fs::read(newest_log(after.dir.path())).unwrap();
        assert!(whole.len() > kept);
        let step = ((whole.len() - kept) / 40).max(1);
        for bytes in (kept..whole.len()).step_by(step).chain([whole.len()]) {
            for zeros in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                copy(before.dir.path(), dir.path());
                let mut log = whole[..bytes].to_vec();
                if zeros {
                    // The file's length was on disk, and its contents were not.
                    log.resize(whole.len(), 0);
                }
                std::fs::write(newest_log(dir.path()), log).unwrap();
                let what = format!("commit {n}, {bytes} of {}, zeros: {zeros}", whole.len());
                let next = Some(&after.acknowledged);
                let opened = opens_with(dir.path(), &before.acknowledged, next, &what);
                assert!(opened, "{what}: what nobody was told of is no damage");
            }
        }
    }
}

#[test]
fn a_power_cut_may_leave_the_database_at_any_earlier_moment_cut_or_zero() {
    let moments = moments(None);
    let last = moments.last().unwrap();
    for (n, earlier) in moments.iter().enumerate() {
        for cut in [None, Some(0), Some(1), Some(2), Some(3)] {
            for zeros in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                copy(last.dir.path(), dir.path());
                let db = dir.path().join("store/db");
                std::fs::remove_dir_all(&db).unwrap();
                copy(&earlier.dir.path().join("store/db"), &db);
                if let Some(quarters) = cut {
                    let file = db.join("db");
                    let mut bytes = std::fs::read(&file).unwrap();
                    let whole = bytes.len();
                    bytes.truncate(whole * quarters / 4);
                    if zeros {
                        bytes.resize(whole, 0);
                    }
                    std::fs::write(&file, bytes).unwrap();
                }
                let what = format!("the database of commit {n}, cut {cut:?}, zeros: {zeros}");
                assert!(opens_with(dir.path(), &last.acknowledged, None, &what), "{what}");
            }
        }
    }
}

#[test]
fn a_power_cut_within_a_checkpoint_may_keep_any_of_its_names() {
    let moments = moments(Some(5));
    let (before, after) = (&moments[4], &moments[5]);
    let (old, new) = (journal(before.dir.path()), journal(after.dir.path()));
    // The commit that the checkpoint was made behind is in the old log.
    let log = std::fs::read(log_path(&new, 1)).unwrap();
    let compacted: Vec<&str> = after.acknowledged.iter().map(|(key, _)| key.as_str()).collect();
    assert!(compacted.contains(&"compacted"));
    let without: Contents =
        after.acknowledged.iter().filter(|(key, _)| key != "compacted").cloned().collect();
    for (has_log, has_checkpoint, has_partial) in
        (0..8).map(|bits| (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0))
    {
        let dir = tempfile::tempdir().unwrap();
        copy(before.dir.path(), dir.path());
        let journal = journal(dir.path());
        std::fs::write(log_path(&journal, 1), &log).unwrap();
        if has_log {
            std::fs::write(log_path(&journal, 2), HEADER).unwrap();
        }
        if has_checkpoint {
            std::fs::copy(checkpoint_path(&new, 2), checkpoint_path(&journal, 2)).unwrap();
        }
        if has_partial {
            std::fs::write(journal.join("checkpoint.partial"), b"half").unwrap();
        }
        let what = format!("log {has_log}, checkpoint {has_checkpoint}, partial {has_partial}");
        let opened = opens_with(dir.path(), &without, None, &what);
        // A checkpoint counts only with its log, which was synced before it got its name.
        assert!(opened || (has_checkpoint && !has_log), "{what}");
    }
    assert!(old.is_dir());
}
