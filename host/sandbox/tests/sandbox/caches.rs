//! Compiled code and answers are kept, and only what may be.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use windlass_model::plan::Context;
use windlass_sandbox::Sandbox;
use windlass_test_support::adversaries::texts;

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
    drop(bench.sandbox);
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
    let again = without_compiler(&bench);
    let guest = again.load(&guest(), false).unwrap();
    assert!(!guest.is_ready(), "nothing is mapped before it is needed");
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
    assert!(!maps(&without_compiler(&bench)).await, "changed code is not used");
    assert!(!code.exists(), "and it is removed");
    let again = Sandbox::new(bench.config.clone()).unwrap();
    let guest = again.load(&guest(), false).unwrap();
    let folder = Folder::new("ok");
    again.detect(&guest, &folder.source(), &context()).await.result.unwrap();
}

/// Each of these leaves compiled code in the cache that this host did not write for this component.
#[tokio::test]
async fn forged_code_is_removed_and_compiled_again_however_it_came() {
    let bench = Bench::new();
    let other = bench.cache.path().join("other.wasm");
    std::fs::write(&other, texts::starting("", "")).unwrap();
    type Forge = fn(&Path, &Path);
    let cases: [(&str, Forge); 8] = [
        ("no digest", |code, _| std::fs::remove_file(code.with_extension("mac")).unwrap()),
        ("an empty digest", |code, _| std::fs::write(code.with_extension("mac"), "").unwrap()),
        ("a digest without the key", |code, _| {
            let name = code.file_stem().unwrap().to_str().unwrap();
            let (component, compatibility) = name.split_once('-').unwrap();
            let mut plain = blake3::Hasher::new();
            plain.update(format!("sha256:{component} {compatibility}\n").as_bytes());
            plain.update(&std::fs::read(code).unwrap());
            std::fs::write(code.with_extension("mac"), plain.finalize().as_bytes()).unwrap();
        }),
        ("the code of another component", |code, other| {
            std::fs::copy(other, code).unwrap();
            std::fs::copy(other.with_extension("mac"), code.with_extension("mac")).unwrap();
        }),
        ("an older state, in part", |code, _| {
            let bytes = std::fs::read(code).unwrap();
            std::fs::write(code, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("a link", |code, other| {
            std::fs::remove_file(code).unwrap();
            std::os::unix::fs::symlink(other, code).unwrap();
        }),
        ("others may write it", |code, _| {
            std::fs::set_permissions(code, std::fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("a pipe", |code, _| {
            std::fs::remove_file(code).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                code,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RUSR,
                0,
            )
            .unwrap();
        }),
    ];
    let theirs = {
        let plugin = bench.sandbox.load(&other, false).unwrap();
        bench.sandbox.prepare(&plugin).await.unwrap();
        only(&bench, "cwasm")
    };
    for (what, forge) in cases {
        bench.sandbox.prepare(&bench.sandbox.load(&guest(), false).unwrap()).await.unwrap();
        let ours = all(&bench, "cwasm").into_iter().find(|path| *path != theirs).unwrap();
        assert_eq!(std::fs::metadata(&ours).unwrap().permissions().mode() & 0o777, 0o600);
        forge(&ours, &theirs);
        assert!(!maps(&without_compiler(&bench)).await, "{what}: it is not used");
        assert!(!ours.exists(), "{what}: it is removed");
        let again = Sandbox::new(bench.config.clone()).unwrap();
        let plugin = again.load(&guest(), false).unwrap();
        let folder = Folder::new("ok");
        again.detect(&plugin, &folder.source(), &context()).await.result.unwrap();
        assert!(plugin.is_ready(), "{what}");
    }
}

#[tokio::test]
async fn a_folder_that_others_may_write_into_while_the_host_runs_is_not_read() {
    let bench = Bench::new();
    bench.sandbox.prepare(&bench.guest).await.unwrap();
    let folder = bench.cache.path().join("code");
    let running = without_compiler(&bench);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o770)).unwrap();
    assert!(!maps(&running).await);
}

#[tokio::test]
async fn the_folder_of_code_is_ours_alone_and_is_distrusted_when_it_was_not() {
    let bench = Bench::new();
    bench.sandbox.prepare(&bench.guest).await.unwrap();
    let folder = bench.cache.path().join("code");
    let mode = || std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o700);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let again = without_compiler(&bench);
    assert_eq!(mode(), 0o700);
    assert!(!maps(&again).await, "its key is gone");
}

#[tokio::test]
async fn code_of_another_runtime_goes_and_our_own_stays() {
    let bench = Bench::new();
    bench.sandbox.prepare(&bench.guest).await.unwrap();
    let ours = only(&bench, "cwasm");
    let theirs = ours.with_file_name("0-0123456789abcdef.cwasm");
    std::fs::write(&theirs, "").unwrap();
    let again = without_compiler(&bench);
    assert!(ours.exists() && !theirs.exists());
    assert!(maps(&again).await);
}

#[tokio::test]
async fn what_several_want_at_once_is_compiled_once() {
    let bench = Bench::new();
    let counted = bench.cache.path().join("compilations");
    let compiler = bench.config.compiler.display();
    let line = format!("echo one >> '{}'; exec '{compiler}' \"$@\"", counted.display());
    let mut compiler_args = vec!["-c".to_owned(), line, "sh".to_owned()];
    compiler_args.extend(bench.config.compiler_args.clone());
    let counting = windlass_sandbox::SandboxConfig {
        compiler: "/bin/sh".into(),
        compiler_args,
        ..bench.config.clone()
    };
    let sandbox = Sandbox::new(counting).unwrap();
    let load = || sandbox.load(&guest(), false).unwrap();
    let (one, other, third) = (load(), load(), load());
    let prepared =
        tokio::join!(sandbox.prepare(&one), sandbox.prepare(&other), sandbox.prepare(&third));
    assert!(prepared.0.is_ok() && prepared.1.is_ok() && prepared.2.is_ok(), "{prepared:?}");
    assert_eq!(std::fs::read_to_string(counted).unwrap(), "one\n");
    assert!(maps(&without_compiler(&bench)).await, "code and digest belong together");
}

/// A process that comes later, and cannot compile: what it maps was there.
fn without_compiler(bench: &Bench) -> Sandbox {
    let compiler = "/nonexistent/compiler".into();
    Sandbox::new(windlass_sandbox::SandboxConfig { compiler, ..bench.config.clone() }).unwrap()
}

/// Whether it maps the guest's code.
async fn maps(sandbox: &Sandbox) -> bool {
    let plugin = sandbox.load(&guest(), false).unwrap();
    let prepared = sandbox.prepare(&plugin).await;
    assert_eq!(prepared.is_ok(), plugin.is_ready());
    prepared.is_ok()
}

fn all(bench: &Bench, extension: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(bench.cache.path().join("code")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

fn only(bench: &Bench, extension: &str) -> PathBuf {
    let mut found = all(bench, extension);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}
