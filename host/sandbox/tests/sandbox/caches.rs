//! Compiled code and answers are kept, and only what may be.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use windlass_model::plan::Context;
use windlass_sandbox::Sandbox;

use crate::support::{Bench, Folder, context, guest};

#[tokio::test]
async fn an_answer_is_replayed_with_its_log_as_long_as_nothing_changes() {
    let bench = Bench::new();
    let folder = Folder::new("say");
    let source = folder.source();
    let first = bench.sandbox.detect(&bench.guest, &source, &context()).await;
    let second = bench.sandbox.detect(&bench.guest, &source, &context()).await;
    assert!(!first.report.cached && second.report.cached);
    assert_eq!(first.result.unwrap(), second.result.unwrap());
    assert_eq!(first.log, second.log);
    assert_eq!(first.report.log_bytes, second.report.log_bytes);
    let other = Context { app_dir: String::new(), platform: "linux/arm64".to_owned(), ..context() };
    assert!(!bench.sandbox.detect(&bench.guest, &source, &other).await.report.cached);
    let changed = Folder::new("say");
    assert!(!bench.sandbox.detect(&bench.guest, &changed.source(), &context()).await.report.cached);
}

#[tokio::test]
async fn a_refusal_is_kept_and_one_that_asks_for_another_try_is_not() {
    let bench = Bench::new();
    for (behaviour, kept) in [("refuse", true), ("refuse-for-now", false)] {
        let folder = Folder::new(behaviour);
        for again in [false, true] {
            let call = bench.sandbox.detect(&bench.guest, &folder.source(), &context()).await;
            assert!(call.result.is_err());
            assert_eq!(call.report.cached, again && kept, "{behaviour}");
        }
    }
}

#[tokio::test]
async fn a_fault_is_never_kept() {
    let bench = Bench::new();
    let folder = Folder::new("trap");
    for _ in 0..2 {
        let call = bench.sandbox.detect(&bench.guest, &folder.source(), &context()).await;
        assert_eq!(call.result.unwrap_err().code(), "plugin.trapped");
        assert!(!call.report.cached);
    }
}

#[tokio::test]
async fn answers_outlive_the_process() {
    let bench = Bench::new();
    let folder = Folder::new("ok");
    bench.sandbox.detect(&bench.guest, &folder.source(), &context()).await.result.unwrap();
    let again = Sandbox::new(bench.config.clone()).unwrap();
    let guest = again.load(&guest(), false).unwrap();
    assert!(again.detect(&guest, &folder.source(), &context()).await.report.cached);
}

#[tokio::test]
async fn code_is_compiled_once_and_mapped_by_the_next_process() {
    let bench = Bench::new();
    assert!(!bench.guest.is_ready());
    bench.sandbox.prepare(&bench.guest).await.unwrap();
    assert!(bench.guest.is_ready());
    let no_compiler = windlass_sandbox::SandboxConfig {
        compiler: "/nonexistent/compiler".into(),
        ..bench.config.clone()
    };
    let again = Sandbox::new(no_compiler).unwrap();
    let guest = again.load(&guest(), false).unwrap();
    assert!(guest.is_ready(), "mapped when it was loaded");
    let folder = Folder::new("ok");
    again.detect(&guest, &folder.source(), &context()).await.result.unwrap();
}

#[tokio::test]
async fn code_that_someone_else_wrote_is_never_mapped() {
    let bench = Bench::new();
    bench.sandbox.prepare(&bench.guest).await.unwrap();
    let code = only(&bench, "cwasm");
    let mut bytes = std::fs::read(&code).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&code, bytes).unwrap();
    let again = Sandbox::new(bench.config.clone()).unwrap();
    let guest = again.load(&guest(), false).unwrap();
    assert!(!guest.is_ready(), "changed code is not used");
    assert!(!code.exists(), "and it is removed");
    let folder = Folder::new("ok");
    again.detect(&guest, &folder.source(), &context()).await.result.unwrap();
}

#[tokio::test]
async fn the_folder_of_code_is_ours_alone_and_is_distrusted_when_it_was_not() {
    let bench = Bench::new();
    bench.sandbox.prepare(&bench.guest).await.unwrap();
    let folder = bench.cache.path().join("code");
    let mode = || std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o700);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let again = Sandbox::new(bench.config.clone()).unwrap();
    assert_eq!(mode(), 0o700);
    assert!(!again.load(&guest(), false).unwrap().is_ready(), "its key is gone");
}

#[tokio::test]
async fn code_of_another_runtime_goes_and_our_own_stays() {
    let bench = Bench::new();
    bench.sandbox.prepare(&bench.guest).await.unwrap();
    let ours = only(&bench, "cwasm");
    let theirs = ours.with_file_name("0-0123456789abcdef.cwasm");
    std::fs::write(&theirs, "").unwrap();
    let again = Sandbox::new(bench.config.clone()).unwrap();
    assert!(ours.exists() && !theirs.exists());
    assert!(again.load(&guest(), false).unwrap().is_ready());
}

fn only(bench: &Bench, extension: &str) -> PathBuf {
    let files = std::fs::read_dir(bench.cache.path().join("code")).unwrap();
    let mut found = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension));
    let one = found.next().unwrap();
    assert_eq!(found.next(), None);
    one
}
