//! What a guest sees: its source, read only, and nothing else.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use windlass_sandbox::LogLevel;

use crate::support::{Bench, Folder, context};

async fn seen(bench: &Bench, folder: &Folder) -> BTreeMap<String, String> {
    let call = bench.sandbox.detect(&bench.guest, &folder.source(), &context()).await;
    let evidence = call.result.unwrap().detections.remove(0).evidence;
    evidence.into_iter().map(|sign| (sign.path, sign.detail)).collect()
}

#[tokio::test]
async fn wasi_shows_the_source_and_nothing_of_the_machine() {
    let bench = Bench::new();
    let folder = Folder::new("look-around");
    symlink("/etc/passwd", folder.path().join("link-out")).unwrap();
    let seen = seen(&bench, &folder).await;
    assert_eq!(seen["/src/behave"], "seen: look-around", "the positive control");
    assert_eq!(seen["variables"], "0");
    assert_eq!(seen["stdin"], "seen: 0 bytes");
    for refused in
        ["/etc/passwd", "/src/../etc/passwd", "link-out", "write", "remove", "connect", "listen"]
    {
        assert_eq!(seen[refused], "denied", "{refused}");
    }
    assert!(folder.path().join("behave").exists());
    assert!(!folder.path().join("written").exists());
}

#[tokio::test]
async fn the_batch_interface_never_leaves_the_source() {
    let bench = Bench::new();
    let parent = Folder::new("");
    let folder = parent.path().join("source");
    parent.write("outside", "must not be read");
    parent.write("source/behave", "read-around");
    parent.write("source/folder/file", "12345");
    symlink("../outside", folder.join("link-out")).unwrap();
    symlink("folder/file", folder.join("link-in")).unwrap();
    mknodat(CWD, folder.join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let digest = windlass_model::Digest::of(folder.as_os_str().as_encoded_bytes());
    let source = windlass_sandbox::Source::open(&folder, digest).unwrap();
    let call = bench.sandbox.detect(&bench.guest, &source, &context()).await;
    let warned =
        call.log.iter().any(|(level, line)| *level == LogLevel::Warn && line.contains("pipe"));
    assert!(warned, "a tree with a pipe in it has no preopen: {:?}", call.log);
    let evidence = call.result.unwrap().detections.remove(0).evidence;
    let seen: BTreeMap<_, _> = evidence.into_iter().map(|sign| (sign.path, sign.detail)).collect();
    for (path, answer) in [
        ("/etc/passwd", "denied"),
        ("../outside", "denied"),
        ("a/../../outside", "not-found"),
        ("link-out", "denied"),
        ("link-in", "5 bytes"),
        ("fifo", "not-a-file"),
        ("folder", "not-a-file"),
        ("absent", "not-found"),
    ] {
        assert!(seen[path].contains(answer), "{path}: {} instead of {answer}", seen[path]);
    }
}

#[tokio::test]
async fn a_listing_is_sorted_follows_no_link_and_leaves_git_out() {
    let bench = Bench::new();
    let folder = Folder::new("list");
    folder.write("b/c", "");
    folder.write("a", "");
    folder.write(".git/config", "");
    symlink("/etc", folder.path().join("etc")).unwrap();
    let call = bench.sandbox.detect(&bench.guest, &folder.source(), &context()).await;
    let evidence = call.result.unwrap().detections.remove(0).evidence;
    let listed: Vec<_> = evidence
        .iter()
        .filter(|sign| sign.detail == "listed")
        .map(|sign| sign.path.as_str())
        .collect();
    assert_eq!(listed, ["a", "b/c", "behave"]);
}

#[tokio::test]
async fn time_and_chance_are_the_same_in_every_call() {
    let bench = Bench::new();
    let first = seen(&bench, &Folder::new("time-and-chance")).await;
    let second = seen(&bench, &Folder::new("time-and-chance")).await;
    assert_eq!(first, second);
    assert_eq!(first["wall"], "946684800s");
    assert_eq!(first["passed"], "0ns");
}

#[tokio::test]
async fn the_log_and_both_streams_are_kept_in_order() {
    let bench = Bench::new();
    let log = bench.detect("say").await.log;
    let expected = [
        (LogLevel::Warn, "a warning"),
        (LogLevel::Debug, "on standard output"),
        (LogLevel::Debug, "on standard error"),
    ];
    assert_eq!(log, expected.map(|(level, line)| (level, line.to_owned())));
}
