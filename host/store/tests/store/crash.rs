//! `kill -9` at seeded moments: every acknowledged commit is there afterwards, whole.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use windlass_store::kv::{Expect, Kv as _, Page, SledKv, Transaction};

use crate::support::{Random, rounds};

const DIR: &str = "WINDLASS_TEST_STORE_DIR";
const ROUNDS_SAMPLE: u64 = 12;
const ROUNDS_FULL: u64 = 300;
/// Commits of a writer that nobody kills.
const COMMITS: u64 = 20;

/// Contents that no other number has, in several parts for some numbers.
fn value(n: u64) -> Vec<u8> {
    let length = 100 + usize::try_from(n * 7919 % 30_000).unwrap();
    n.to_be_bytes().into_iter().cycle().take(length).collect()
}

/// Commits pairs of keys and acknowledges each on standard output.
fn write(dir: &Path, commits: u64) {
    let kv = SledKv::open(dir).unwrap();
    println!("opened");
    let present = kv.list("a/", &Page { limit: 1, reverse: true, ..Page::default() }).unwrap();
    let next = present.first().map_or(0, |(key, _)| key[2..].parse::<u64>().unwrap() + 1);
    for n in next..next.saturating_add(commits) {
        let tx = Transaction::new()
            .put(format!("a/{n:012}"), Expect::Absent, value(n))
            .put(format!("b/{n:012}"), Expect::Absent, value(n))
            .put("last", Expect::Any, n.to_be_bytes().to_vec());
        kv.submit(tx).wait().unwrap();
        println!("ack {n}");
        std::io::stdout().flush().unwrap();
    }
}

/// Checks that every pair is whole, without gaps, up to at least this number; returns how many.
fn check(dir: &Path, acknowledged: u64) -> u64 {
    let kv = SledKv::open(dir).unwrap();
    if let Some(why) = kv.recovered() {
        println!("the database was built anew: {why}");
    }
    let a = kv.list("a/", &Page::all()).unwrap();
    let b = kv.list("b/", &Page::all()).unwrap();
    assert!(a.len() as u64 >= acknowledged, "{} of {acknowledged} are left", a.len());
    assert_eq!(a.len(), b.len());
    for (n, ((key_a, a), (key_b, b))) in (0_u64..).zip(a.iter().zip(&b)) {
        assert_eq!((key_a, key_b), (&format!("a/{n:012}"), &format!("b/{n:012}")));
        assert_eq!(a.value, value(n), "{key_a}");
        assert_eq!(b.value, value(n), "{key_b}");
        assert_eq!(a.revision, b.revision, "{key_a}");
    }
    a.len() as u64
}

/// Runs as a process of its own for the test below; by itself it shows that nothing is lost when
/// nobody is killed.
#[test]
fn a_writer_that_is_left_alone_loses_nothing() {
    if let Some(dir) = std::env::var_os(DIR) {
        return write(Path::new(&dir), u64::MAX);
    }
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), COMMITS);
    assert_eq!(check(dir.path(), COMMITS), COMMITS);
}

fn start_writer(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_writer_that_is_left_alone_loses_nothing", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads acknowledgements until there were so many, kills, and returns the number behind the last
/// one that was printed.
fn kill_after(mut writer: Child, acks: u64) -> Option<u64> {
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut next = None;
    let mut seen = 0;
    while seen < acks {
        let line = lines.next().expect("the writer ended by itself").unwrap();
        if let Some(n) = line.strip_prefix("ack ") {
            next = Some(n.parse::<u64>().unwrap() + 1);
            seen += 1;
        }
    }
    writer.kill().unwrap();
    for line in lines.map_while(Result::ok) {
        if let Some(n) = line.strip_prefix("ack ").and_then(|n| n.parse::<u64>().ok()) {
            next = Some(n + 1);
        }
    }
    writer.wait().unwrap();
    next
}

#[test]
fn after_kill_9_every_acknowledged_commit_is_there() {
    let mut random = Random::seeded();
    let rounds = rounds(ROUNDS_SAMPLE, ROUNDS_FULL);
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let writer = start_writer(dir.path());
        let seen = kill_after(writer, 1 + random.below(60));
        acknowledged = acknowledged.max(seen.unwrap_or(0));
        let present = check(dir.path(), acknowledged);
        println!("round {round}: {acknowledged} acknowledged, {present} present");
    }
    assert!(acknowledged >= rounds);
}

#[test]
fn a_kill_while_opening_does_not_keep_the_store_shut() {
    let mut random = Random::seeded();
    let rounds = rounds(ROUNDS_SAMPLE, ROUNDS_FULL);
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), COMMITS);
    for _ in 0..rounds {
        let mut writer = start_writer(dir.path());
        // The moment is what is varied here; nothing waits for it.
        std::thread::sleep(Duration::from_micros(random.below(30_000)));
        writer.kill().unwrap();
        writer.wait().unwrap();
        check(dir.path(), COMMITS);
    }
}
