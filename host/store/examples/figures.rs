//! Prints the store's figures on this disk: commit latency alone and in groups, and how long opening
//! takes with ten thousand deployments, clean and with a database that must be built anew.
//!
//! `cargo run --release -p windlass-store --example figures [directory]`

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool that may fail loudly")]

use std::time::{Duration, Instant};

use windlass_store::kv::{Expect, Kv as _, SledKv, Transaction};

const DEPLOYMENTS: usize = 10_000;
const VALUE_BYTES: usize = 3000;
const SINGLE: usize = 500;

fn main() {
    let parent =
        std::env::args().nth(1).unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let dir = tempfile::tempdir_in(parent).unwrap();
    let kv = SledKv::open(dir.path()).unwrap();
    let mut times: Vec<Duration> = (0..SINGLE)
        .map(|n| {
            let start = Instant::now();
            kv.submit(deployment(n)).wait().unwrap();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!(
        "one commit at a time: median {:?}, 99 of 100 within {:?}, longest {:?}",
        times[SINGLE / 2],
        times[SINGLE * 99 / 100],
        times[SINGLE - 1]
    );
    let start = Instant::now();
    let replies: Vec<_> = (SINGLE..DEPLOYMENTS).map(|n| kv.submit(deployment(n))).collect();
    let count = u32::try_from(replies.len()).unwrap();
    for reply in replies {
        reply.wait().unwrap();
    }
    println!("in groups: {:?} a commit", start.elapsed() / count);
    drop(kv);
    open(&dir, "clean");
    std::fs::remove_dir_all(dir.path().join("store/db")).unwrap();
    open(&dir, "database gone");
    open(&dir, "clean again");
}

fn deployment(n: usize) -> Transaction {
    let value = |length| n.to_string().into_bytes().into_iter().cycle().take(length).collect();
    Transaction::new()
        .put(format!("deployment/{n:026}"), Expect::Absent, value(VALUE_BYTES))
        .put(format!("history/shop/production/{n:020}"), Expect::Absent, value(26))
        .put(format!("number/shop/{n:020}"), Expect::Absent, value(26))
        .put(format!("status/live/{n:020}"), Expect::Absent, value(26))
}

fn open(dir: &tempfile::TempDir, what: &str) {
    let start = Instant::now();
    let kv = SledKv::open(dir.path()).unwrap();
    println!("open, {what}: {:?} (recovered: {:?})", start.elapsed(), kv.recovered());
}
