//! Damage to sled's files is repaired from the journal; damage to the journal is refused, unless it is a
//! frame that nobody was told of.

use std::path::PathBuf;

use super::frame::HEAD_BYTES;
use super::tests::{copy, put};
use super::truth::{HEADER, Truth, checkpoint_path, log_path};
use super::*;
use crate::kv::{Entry, Expect};

type Contents = Vec<(String, Entry)>;

fn contents(kv: &SledKv) -> Contents {
    kv.list("", &Page::all()).unwrap()
}

/// A closed store with changed, removed, empty and large values; and what is in it.
fn filled() -> (tempfile::TempDir, Contents) {
    let dir = tempfile::tempdir().unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    for n in 0..120_u8 {
        put(&kv, &format!("k/{:03}", n % 100), vec![n; usize::from(n) * 97 % 9000]);
    }
    kv.submit(Transaction::new().delete("k/050", Expect::Any)).wait().unwrap();
    put(&kv, "large", vec![7; 100_000]);
    put(&kv, "empty", Vec::new());
    let contents = contents(&kv);
    assert_eq!(contents.len(), 101);
    (dir, contents)
}

fn damaged_kept(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir.join("store")).unwrap();
    let is_one =
        |file: &std::fs::DirEntry| file.file_name().to_string_lossy().starts_with("db.damaged-");
    names.flatten().filter(is_one).count()
}

/// Everything is there, it was said, and the next opening finds nothing to repair.
fn assert_recovers(dir: &Path, expected: &Contents) -> String {
    let kv = SledKv::open(dir).unwrap();
    assert_eq!(contents(&kv), *expected);
    assert_eq!(kv.health(), Health::Ok);
    let why = kv.recovered().expect("it says so");
    drop(kv);
    let kv = SledKv::open(dir).unwrap();
    assert_eq!(kv.recovered(), None);
    assert_eq!(contents(&kv), *expected);
    why
}

fn refused(dir: &Path) -> String {
    match SledKv::open(dir) {
        Err(error @ StoreError::JournalDamaged { .. }) => {
            assert_eq!(error.code(), "store.journal-damaged");
            assert!(error.fix().contains("windlass recover"), "{}", error.fix());
            error.to_string()
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_database_that_is_gone_is_built_anew() {
    let (dir, expected) = filled();
    std::fs::remove_dir_all(dir.path().join("store/db")).unwrap();
    assert!(assert_recovers(dir.path(), &expected).contains("not there"));
    std::fs::remove_file(dir.path().join("store/db/db")).unwrap();
    assert_recovers(dir.path(), &expected);
    std::fs::write(dir.path().join("store/db/conf"), b"what sled never wrote").unwrap();
    assert_recovers(dir.path(), &expected);
    assert_eq!(damaged_kept(dir.path()), 1, "only the newest is kept");
}

#[test]
fn a_database_that_was_cut_off_is_built_anew() {
    let (dir, expected) = filled();
    let file = dir.path().join("store/db/db");
    let whole = file.metadata().unwrap().len();
    for part in [0, 1, 3, 7] {
        std::fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(whole * part / 16)
            .unwrap();
        assert_recovers(dir.path(), &expected);
    }
}

#[test]
fn flipped_bytes_in_the_database_lose_nothing() {
    let (dir, expected) = filled();
    let pristine = tempfile::tempdir().unwrap();
    copy(dir.path(), pristine.path());
    let mut noticed = 0;
    let mut state = 4711_u64;
    for _ in 0..24 {
        let work = tempfile::tempdir().unwrap();
        copy(pristine.path(), work.path());
        let file = work.path().join("store/db/db");
        let mut bytes = std::fs::read(&file).unwrap();
        for _ in 0..20 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(state >> 33).unwrap() % bytes.len();
            bytes[at] ^= 1 << (state & 7);
        }
        std::fs::write(&file, bytes).unwrap();
        let kv = SledKv::open(work.path()).unwrap();
        assert_eq!(contents(&kv), expected);
        noticed += usize::from(kv.recovered().is_some());
    }
    assert!(noticed > 0, "no flip ever hit anything");
}

#[test]
fn keys_that_sled_has_lost_changed_or_made_up_are_noticed() {
    let (dir, expected) = filled();
    type Damage = fn(&::sled::Db);
    let damages: [(Damage, &str); 5] = [
        (|db| drop(db.remove(b"dk/007").unwrap()), "k/007 is not listed"),
        (|db| drop(db.remove(b"dlarge").unwrap()), "large is not listed"),
        (|db| drop(db.remove(b"plarge\0\0\0\0\x02").unwrap()), "a part of it is missing"),
        (|db| drop(db.insert(b"dempty", vec![0; 12]).unwrap()), "empty has another value"),
        (|db| drop(db.insert(b"dz", vec![0; 12]).unwrap()), "should not be there"),
    ];
    for (damage, why) in damages {
        let db = ::sled::open(dir.path().join("store/db")).unwrap();
        damage(&db);
        db.flush().unwrap();
        drop(db);
        let said = assert_recovers(dir.path(), &expected);
        assert!(said.contains(why), "{said}");
    }
    let db = ::sled::open(dir.path().join("store/db")).unwrap();
    for n in 0..90 {
        db.remove(format!("dk/{n:03}")).unwrap();
    }
    drop(db);
    assert_recovers(dir.path(), &expected);
}

#[test]
fn damage_is_found_when_the_database_is_opened_again_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    put(&kv, "a", vec![1]);
    let lose = |open: &Database| open.db.remove(b"da").map(drop).map_err(backend("writing"));
    kv.shared.read(lose).unwrap();
    assert_eq!(kv.get("a").unwrap(), None);
    kv.queue.send(Command::Reopen).unwrap();
    put(&kv, "b", vec![2]);
    assert_eq!(kv.get("a").unwrap().unwrap().value, [1]);
    assert!(kv.recovered().is_some());
}

/// A store with frames of which each changes one key, and where each frame ends.
fn framed() -> (tempfile::TempDir, PathBuf, Vec<usize>) {
    let dir = tempfile::tempdir().unwrap();
    let log = log_path(&dir.path().join("store/journal"), 1);
    let kv = SledKv::open(dir.path()).unwrap();
    let mut ends = vec![HEADER.len()];
    for n in 0..5_u8 {
        put(&kv, &format!("k{n}"), vec![n; 20 * usize::from(n)]);
        ends.push(usize::try_from(log.metadata().unwrap().len()).unwrap());
    }
    (dir, log, ends)
}

#[test]
fn a_journal_cut_anywhere_holds_every_frame_before_the_cut() {
    let (dir, log, ends) = framed();
    let whole = std::fs::read(&log).unwrap();
    let journal = dir.path().join("store/journal");
    for cut in (0..=whole.len()).rev() {
        std::fs::write(&log, &whole[..cut]).unwrap();
        let truth = Truth::load(&journal).unwrap();
        let frames = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
        assert_eq!(truth.revision, frames as u64, "cut at {cut}");
        assert_eq!(truth.torn.is_none(), ends.contains(&cut), "cut at {cut}");
        let mut keys = Vec::new();
        let mut note = |key: &str, _: &Entry| {
            keys.push(key.to_owned());
            Ok(())
        };
        truth.each(&mut note).unwrap();
        assert_eq!(keys, (0..frames).map(|n| format!("k{n}")).collect::<Vec<_>>());
    }
}

#[test]
fn a_store_whose_last_frame_was_cut_opens_and_goes_on() {
    let (dir, log, ends) = framed();
    let whole = std::fs::read(&log).unwrap();
    for cut in (ends[3]..ends[5]).step_by(9) {
        // As a crash leaves it: sled has nothing that the journal has not.
        std::fs::remove_dir_all(dir.path().join("store/db")).unwrap();
        std::fs::remove_file(dir.path().join("store/synced")).unwrap();
        std::fs::write(&log, &whole[..cut]).unwrap();
        let frames = if cut < ends[4] { 3 } else { 4 };
        let kv = SledKv::open(dir.path()).unwrap();
        assert_eq!(contents(&kv).len(), frames, "cut at {cut}");
        assert_eq!(put(&kv, "next", vec![1]), frames as u64 + 1);
        drop(kv);
        let kv = SledKv::open(dir.path()).unwrap();
        assert_eq!(contents(&kv).len(), frames + 1, "cut at {cut}");
        assert_eq!(kv.recovered(), None);
    }
}

#[test]
fn a_journal_that_is_behind_its_database_has_lost_something_and_is_refused() {
    let (dir, log, ends) = framed();
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, &whole[..ends[4]]).unwrap();
    assert!(refused(dir.path()).contains("knows revision 5"));
    std::fs::write(&log, whole).unwrap();
    assert_eq!(contents(&SledKv::open(dir.path()).unwrap()).len(), 5);
}

#[test]
fn a_damaged_frame_in_the_middle_is_refused_at_every_byte() {
    let (dir, log, ends) = framed();
    let whole = std::fs::read(&log).unwrap();
    let journal = dir.path().join("store/journal");
    for at in ends[0]..ends[4] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&log, &bytes).unwrap();
        let loaded = Truth::load(&journal);
        assert!(matches!(loaded, Err(StoreError::JournalDamaged { .. })), "byte {at}");
    }
    refused(dir.path());
    let mut swapped = whole[..ends[1]].to_vec();
    swapped.extend_from_slice(&whole[ends[2]..ends[3]]);
    std::fs::write(&log, swapped).unwrap();
    refused(dir.path());
    std::fs::write(&log, whole).unwrap();
    assert_eq!(contents(&SledKv::open(dir.path()).unwrap()).len(), 5, "nothing was touched");
}

#[test]
fn a_frame_inside_a_value_is_only_bytes() {
    let (dir, log, ends) = framed();
    let copied = std::fs::read(&log).unwrap()[ends[3]..ends[4]].to_vec();
    let kv = SledKv::open(dir.path()).unwrap();
    put(&kv, "trap", [vec![0; 3 * HEAD_BYTES], copied].concat());
    drop(kv);
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, &whole[..whole.len() - 1]).unwrap();
    let truth = Truth::load(&dir.path().join("store/journal")).unwrap();
    assert_eq!((truth.revision, truth.torn.is_some()), (5, true));
}

#[test]
fn a_missing_checkpoint_journal_or_folder_is_refused() {
    for gone in ["000001.checkpoint", "000001.log", ""] {
        let (dir, ..) = framed();
        let path = dir.path().join("store/journal").join(gone);
        let aside = dir.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        refused(dir.path());
        std::fs::rename(&aside, path).unwrap();
        assert_eq!(contents(&SledKv::open(dir.path()).unwrap()).len(), 5);
    }
}

#[test]
fn checkpoints_hold_everything_and_one_older_one_is_kept_for_a_bad_day() {
    let (dir, expected) = filled();
    let journal = dir.path().join("store/journal");
    let kv = SledKv::open(dir.path()).unwrap();
    for n in 0..4_u8 {
        put(&kv, "k/000", vec![n]);
        kv.queue.send(Command::Compact).unwrap();
    }
    put(&kv, "last", vec![9]);
    let expected_now = contents(&kv);
    assert_eq!(expected_now.len(), expected.len() + 1);
    drop(kv);
    let exist = |n| checkpoint_path(&journal, n).exists() && log_path(&journal, n).exists();
    assert_eq!((1..=6).map(exist).collect::<Vec<_>>(), [false, false, false, true, true, false]);

    let newest = checkpoint_path(&journal, 5);
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&newest, &bytes).unwrap();
    assert!(assert_recovers(dir.path(), &expected_now).contains("000005.checkpoint"));

    for n in [5, 6] {
        std::fs::write(checkpoint_path(&journal, n), &bytes).unwrap();
    }
    refused(dir.path());
}

#[test]
fn a_long_journal_is_compacted_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    for n in 0..8_u8 {
        put(&kv, "large", vec![n; 3 * 1024 * 1024]);
    }
    drop(kv);
    let journal = dir.path().join("store/journal");
    assert!(!log_path(&journal, 1).exists() || checkpoint_path(&journal, 2).exists());
    let kv = SledKv::open(dir.path()).unwrap();
    assert_eq!(kv.get("large").unwrap().unwrap().value, vec![7; 3 * 1024 * 1024]);
    assert_eq!(kv.recovered(), None);
}

#[test]
fn what_an_interrupted_checkpoint_leaves_is_no_harm() {
    let (dir, expected) = filled();
    let journal = dir.path().join("store/journal");
    std::fs::write(journal.join("checkpoint.partial"), b"half").unwrap();
    for half in [&HEADER[..7], HEADER] {
        std::fs::write(log_path(&journal, 2), half).unwrap();
        let kv = SledKv::open(dir.path()).unwrap();
        assert_eq!(contents(&kv), expected);
        put(&kv, "empty", Vec::new());
        kv.queue.send(Command::Compact).unwrap();
        let revision = put(&kv, "empty", Vec::new());
        drop(kv);
        let kv = SledKv::open(dir.path()).unwrap();
        assert_eq!(kv.get("empty").unwrap().unwrap().revision, revision);
        assert_eq!(contents(&kv).len(), expected.len());
        drop(kv);
        let (again, _) = filled();
        std::fs::remove_dir_all(dir.path().join("store")).unwrap();
        std::fs::rename(again.path().join("store"), dir.path().join("store")).unwrap();
    }
}

#[test]
fn a_group_sees_what_the_transactions_before_it_in_the_group_did() {
    let dir = tempfile::tempdir().unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    let claim = |value: &[u8]| kv.compare_and_set("prize", Expect::Absent, value.to_vec());
    let mut replies: Vec<_> = (0..300).map(|_| claim(b"mine")).collect();
    replies.push(kv.submit(Transaction::new().delete("prize", Expect::Revision(1))));
    replies.push(claim(b"again"));
    let won: Vec<_> = replies.into_iter().map(|reply| reply.wait().is_ok()).collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 3);
    assert!(won[0] && won[300] && won[301]);
    assert_eq!(kv.get("prize").unwrap().unwrap(), Entry { revision: 3, value: b"again".to_vec() });
}
