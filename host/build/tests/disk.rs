//! Budgets, pruning and what is counted, on a real containerd.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{DEADLINE, Host, Registry, busybox, copy, plan, script, scripted, step};
use windlass_build::disk::{Ask, Class, Rule, Victim, What, Why};
use windlass_build::{Access, ArchiveFormat, BuildConfig, Builder};
use windlass_model::plan::{Base, BuildPlan, Copy, Mount, Op, Origin, Run, Sharing};
use windlass_model::{Digest, Limits};

const MIB: u64 = 1 << 20;

fn at_most(bytes: u64) -> Rule {
    Rule { bytes_max: Some(bytes), unused_for: None }
}

fn ask(steps: Rule, bases: Rule) -> Ask {
    Ask { steps, bases, ..Ask::nothing() }
}

async fn prune(host: &Host, ask: Ask) -> Vec<Victim> {
    let mut pass = host.builder.prune_pass().await.unwrap();
    pass.measure_mounts(&ask).await.unwrap();
    let victims = pass.choose(&ask);
    pass.carry_out(victims, &|_| ()).await.unwrap()
}

/// Bytes on disk below a directory.
fn bytes_below(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// An application whose build makes a file of one MiB that depends on its source.
fn app() -> BuildPlan {
    let make = "tr -dc a-z </dev/urandom | head -c 1048576 > /made; cat /app/app.txt >> /made";
    let ops = vec![copy("app.txt", "/app/"), Op::Run(script(make))];
    plan(vec![busybox(), step("app", Base::Step("base".to_owned()), ops)])
}

/// How many builds in a row: 200 in the soak.
fn builds() -> usize {
    let full = std::env::var("WINDLASS_TEST_EXTENT").is_ok_and(|extent| extent == "full");
    if full { 200 } else { 12 }
}

#[tokio::test]
async fn many_builds_of_a_changing_app_stay_under_the_budget_and_keep_their_artifacts() {
    const BUDGET: u64 = 4 * MIB;
    const KEPT: usize = 3;
    let host = Host::start(236).await;
    let mut artifacts = Vec::new();
    let (mut most, mut settled) = (0, 0);
    for n in 0..builds() {
        std::fs::write(host.source.path().join("app.txt"), format!("version {n}\n")).unwrap();
        let built = host.build(app()).await.unwrap();
        assert_eq!(built.steps[0].cached, n > 0, "the step that all share was pruned");
        artifacts.push(built.artifact);
        if artifacts.len() > KEPT {
            let old = artifacts.remove(0);
            host.builder.removing().await.delete(&old.digest).await.unwrap();
        }
        for gone in prune(&host, ask(at_most(BUDGET), Rule::default())).await {
            assert!(matches!(gone.why, Why::OverBudget { bytes_max: BUDGET, .. }), "{gone:?}");
        }
        let picture = host.builder.picture(false).await.unwrap();
        let (needed, cache) = picture.bytes(Class::Step);
        assert!(cache <= BUDGET, "after build {n}: {cache}");
        assert!(needed >= MIB, "a needed step has no bytes: {picture:?}");
        let snapshots =
            host.data.path().join("containerd/root/io.containerd.snapshotter.v1.overlayfs");
        most = most.max(bytes_below(&snapshots).saturating_sub(needed));
        if n + 1 == (builds() / 10).max(KEPT) {
            settled = bytes_below(host.data.path());
        }
    }
    // Not only in the books: nothing but the budget and what is needed lies on the disk.
    assert!(most <= BUDGET + MIB, "{most} bytes were on the disk beyond what is needed");
    // Neither do records, stores and scratch files grow with every build.
    let all = bytes_below(host.data.path());
    assert!(all <= settled + BUDGET + 8 * MIB, "{all} bytes, and {settled} after a tenth of it");
    for artifact in &artifacts {
        host.builder.verify_artifact(artifact).await.unwrap();
    }
    // The kept versions are found again, not built.
    let oldest = builds() - KEPT;
    std::fs::write(host.source.path().join("app.txt"), format!("version {oldest}\n")).unwrap();
    let again = host.build(app()).await.unwrap();
    assert!(again.all_cached(), "{:?}", again.steps);
    host.finish().await;
}

#[tokio::test]
async fn what_is_read_stays_and_nothing_else_is_kept_for_a_slow_reader() {
    let host = Host::start(199).await;
    std::fs::write(host.source.path().join("app.txt"), "version 1\n").unwrap();
    // More than waits for a reader.
    let large = vec![Op::Run(script("head -c 16777216 /dev/zero > /large"))];
    let large = plan(vec![busybox(), step("app", Base::Step("base".to_owned()), large)]);
    let read = host.build(large).await.unwrap().artifact;
    let mut pieces = host.builder.files(&read, None).await.unwrap();
    let first = pieces.recv().await.unwrap();
    assert!(first.is_ok(), "{first:?}");

    let other = host.build(app()).await.unwrap();
    let made = other.steps[1].key.clone();
    let delete =
        async |digest: &Digest| host.builder.removing().await.delete(digest).await.unwrap();
    assert!(!delete(&read.digest).await, "it is read");
    assert!(delete(&other.artifact.digest).await);
    let gone = prune(&host, ask(Rule::ALL, Rule::default())).await;
    assert_eq!(gone.iter().map(|gone| &gone.key).collect::<Vec<_>>(), [&made]);
    while let Some(piece) = pieces.recv().await {
        piece.unwrap();
    }
    assert!(delete(&read.digest).await);
    host.finish().await;
}

#[tokio::test]
async fn what_a_running_build_has_looked_up_stays_whatever_is_asked() {
    let host = Host::start(237).await;
    let made = || vec![copy("app.txt", "/"), Op::Run(script("echo made > /made"))];
    // `made` is a leaf: nothing stands on it, and no artifact names it.
    let first = plan(vec![busybox(), step("made", Base::Step("base".to_owned()), made())]);
    let built = host.build(first).await.unwrap();
    let made_key = built.steps[1].key.clone();
    host.builder.removing().await.delete(&built.artifact.digest).await.unwrap();

    let slow = "echo begun; while [ ! -e /tmp/go ] && [ $((i=i+1)) -lt 40 ]; do sleep 0.1; done";
    let from_made = Op::Copy(Copy {
        origin: Origin::Step("made".to_owned()),
        sources: vec!["made".to_owned()],
        exclude: Vec::new(),
        dest: "/taken".to_owned(),
        chown: None,
        chmod: None,
        parents: false,
    });
    let second = plan(vec![
        busybox(),
        step("made", Base::Step("base".to_owned()), made()),
        step("slow", Base::Step("base".to_owned()), vec![Op::Run(script(slow))]),
        step("app", Base::Step("slow".to_owned()), vec![from_made]),
    ]);
    let (builder, request) = (host.builder.clone(), host.request(second));
    let building = tokio::spawn(async move { builder.build(request).await });
    let start = Instant::now();
    while !host.log().contains("\nbegun\n") {
        assert!(start.elapsed() < DEADLINE, "the step did not begin: {}", host.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let gone = prune(&host, ask(at_most(0), at_most(0))).await;
    assert!(gone.iter().all(|victim| victim.key != made_key), "{gone:?}");
    let built = building.await.unwrap().unwrap();
    assert!(built.steps[1].cached, "{:?}", built.steps);
    host.builder.verify_artifact(&built.artifact).await.unwrap();
    // Nobody uses it any more: the artifact has a copy.
    let gone = prune(&host, ask(at_most(0), at_most(0))).await;
    assert!(gone.iter().any(|victim| victim.key == made_key), "{gone:?}");
    host.builder.verify_artifact(&built.artifact).await.unwrap();
    host.finish().await;
}

#[tokio::test]
async fn a_base_that_a_running_build_has_just_pulled_stays_until_the_build_needs_it() {
    let host = Host::start(252).await;
    let registry = Registry::start();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    registry.push_with("team/tools", "1", architecture, "of the image");
    let slow = "echo begun; while [ ! -e /tmp/go ] && [ $((i=i+1)) -lt 40 ]; do sleep 0.1; done";
    let from_image = Op::Copy(Copy {
        origin: Origin::Image(format!("{}/team/tools:1", registry.address)),
        sources: vec!["note".to_owned()],
        exclude: Vec::new(),
        dest: "/taken/".to_owned(),
        chown: None,
        chmod: None,
        parents: false,
    });
    // The image is pulled before the command runs, and read after it.
    let ops = vec![Op::Run(script(slow)), from_image, Op::Run(script("cat /taken/note"))];
    let app = plan(vec![busybox(), step("app", Base::Step("base".to_owned()), ops)]);
    let (builder, request) = (host.builder.clone(), host.request(app));
    let building = tokio::spawn(async move { builder.build(request).await });
    let start = Instant::now();
    while !host.log().contains("\nbegun\n") {
        assert!(start.elapsed() < DEADLINE, "the step did not begin: {}", host.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let gone = prune(&host, ask(Rule::default(), at_most(0))).await;
    assert!(gone.iter().all(|victim| victim.what != What::Base), "{gone:?}");
    building.await.unwrap().unwrap();
    assert!(host.log().contains("of the image"), "{}", host.log());
    // The artifact has a copy of the file: nobody needs the image any more.
    let gone = prune(&host, ask(Rule::default(), at_most(0))).await;
    assert!(gone.iter().any(|victim| victim.what == What::Base), "{gone:?}");
    host.finish().await;
}

#[tokio::test]
async fn a_layer_that_inflates_beyond_what_is_free_is_stopped_and_leaves_nothing() {
    const ZEROS: u64 = 384 * MIB;
    let data = tempfile::tempdir().unwrap();
    let stat = rustix::fs::statvfs(data.path()).unwrap();
    // A quarter of the layer is left above the floor; other tests write to the disk meanwhile.
    let floor = (stat.f_bavail * stat.f_frsize).saturating_sub(ZEROS / 4);
    let limits = Limits { disk_free_bytes_min: floor * 2, ..Limits::default() };
    let host = Host::with_limits(251, limits).await;
    let registry = Registry::start();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    registry.push_zeros("team/zeros", architecture, ZEROS);
    let base = Base::Image(format!("{}/team/zeros:1", registry.address));
    let failure = host.bases.resolve(&base, &|_| {}).await.unwrap_err();
    assert_eq!(failure.code, "base.disk-floor", "{failure:?}");
    assert!(failure.why.contains("inodes free"), "{failure:?}");
    let files = host.data.path().join("containerd/root/io.containerd.snapshotter.v1.overlayfs");
    let start = Instant::now();
    while bytes_below(&files) > MIB {
        assert!(start.elapsed() < DEADLINE, "{} bytes are left", bytes_below(&files));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!host.left().await.contains(&"leases"));
    host.finish().await;
}

#[tokio::test]
async fn no_image_is_saved_or_pushed_below_the_floor_and_nothing_is_made_for_it() {
    let host = Host::start(215).await;
    let built = host.build(app()).await.unwrap();
    let registry = Registry::start();
    let to = format!("{}/team/shop:1", registry.address);
    let blobs = async || host.runtime.list_blobs(&Default::default()).await.unwrap().len();
    let before = blobs().await;
    let limits = Limits { disk_free_bytes_min: u64::MAX, ..Limits::default() };
    let config = BuildConfig { data_dir: host.data.path().to_owned(), limits, certificates: None };
    let low = Builder::new(Arc::clone(&host.runtime), host.bases.clone(), config);
    let export = low.export(Access::default());
    let saved = export.spool(&built.artifact, None, ArchiveFormat::Oci).await.unwrap_err();
    let pushed = export.push(&built.artifact, None, &to).await.unwrap_err();
    for failure in [saved, pushed] {
        assert_eq!(failure.code, "base.disk-floor", "{failure:?}");
        assert!(failure.fix.contains("windlass prune"), "{failure:?}");
    }
    assert_eq!(blobs().await, before, "a layer was made");
    assert!(!host.left().await.contains(&"leases"));
    host.builder.push(&built.artifact, None, &to).await.unwrap();
    // What is made already needs no room.
    export.push(&built.artifact, None, &to).await.unwrap();
    drop((export, low));
    host.finish().await;
}

#[tokio::test]
async fn what_somebody_holds_who_has_no_build_stays_until_it_is_given_back() {
    let host = Host::start(253).await;
    let registry = Registry::start();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    registry.push("team/base", "1", architecture);
    let base = Base::Image(format!("{}/team/base:1", registry.address));
    let held = host.builder.mark();
    let access = Access::default();
    let image = host.builder.resolve_base(&base, access, &|_| {}).await.unwrap();
    assert_eq!(prune(&host, ask(at_most(0), at_most(0))).await, []);
    assert!(host.runtime.snapshot(&image.snapshot).await.unwrap().is_some());
    drop(held);
    let gone = prune(&host, ask(at_most(0), at_most(0))).await;
    assert_eq!(gone.iter().map(|victim| victim.what).collect::<Vec<_>>(), [What::Base]);
    assert!(host.runtime.snapshot(&image.snapshot).await.unwrap().is_none());
    host.finish().await;
}

#[tokio::test]
async fn a_layer_that_was_made_for_an_image_counts_with_its_step_and_goes_with_it() {
    let host = Host::start(249).await;
    let built = host.build(app()).await.unwrap();
    let top = &built.artifact.outputs[0].snapshot;
    let before = host.builder.picture(false).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.tar");
    host.builder.save(&built.artifact, None, ArchiveFormat::Oci, &file).await.unwrap();
    let after = host.builder.picture(false).await.unwrap();
    let layer = after.pieces[top].bytes - before.pieces[top].bytes;
    assert!(layer > MIB / 4, "letters at random do not become much smaller: {layer}");
    assert!(after.content_bytes < before.content_bytes + MIB / 4, "it is counted twice");

    host.builder.removing().await.delete(&built.artifact.digest).await.unwrap();
    let (_, cache) = host.builder.picture(false).await.unwrap().bytes(Class::Step);
    assert!(cache > MIB + layer, "the budget does not see it: {cache}");
    let gone = prune(&host, ask(at_most(0), Rule::default())).await;
    assert_eq!(gone.iter().map(|victim| victim.bytes).sum::<u64>(), cache);
    let blobs = host.runtime.list_blobs(&Default::default()).await.unwrap();
    assert!(blobs.iter().all(|blob| blob.bytes < MIB / 4), "{blobs:?}");
    host.finish().await;
}

#[tokio::test]
async fn a_cache_mount_goes_unless_a_build_uses_it_and_nothing_is_left_of_a_deleted_project() {
    let host = Host::start(250).await;
    let with_cache = |text: &str| {
        let (id, target) = ("store".to_owned(), "/cache".to_owned());
        let mounts = vec![Mount::Cache { id, target, sharing: Sharing::Shared }];
        scripted(Run { mounts, ..script(text) })
    };
    let dir = host.data.path().join("cache/mounts/shop/store");
    let slow = "dd if=/dev/zero of=/cache/x bs=1M count=2 2>/dev/null; echo begun; \
                until [ -e /cache/go ]; do sleep 0.1; done";
    let (builder, request) = (host.builder.clone(), host.request(with_cache(slow)));
    let building = tokio::spawn(async move { builder.build(request).await });
    let start = Instant::now();
    while !host.log().contains("\nbegun\n") {
        assert!(start.elapsed() < DEADLINE, "the step did not begin: {}", host.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mounts = || Ask { mounts: Rule::ALL, ..Ask::nothing() };
    assert_eq!(prune(&host, mounts()).await, [], "a build uses it");
    std::fs::write(dir.join("go"), "").unwrap();
    building.await.unwrap().unwrap();
    assert!(dir.join("x").exists());
    assert_eq!(prune(&host, Ask::nothing()).await, []);

    let gone = prune(&host, mounts()).await;
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!((gone[0].what, gone[0].name.as_str()), (What::Mount, "shop/store"));
    assert!(gone[0].bytes >= 2 * MIB && !dir.exists(), "{gone:?}");
    host.build(with_cache("test ! -e /cache/x; touch /cache/y")).await.unwrap();
    assert!(dir.join("y").exists());
    host.builder.forget_project(&"shop".parse().unwrap()).await.unwrap();
    assert!(!host.data.path().join("cache/mounts/shop").exists());
    host.finish().await;
}

#[tokio::test]
async fn a_base_goes_when_no_artifact_needs_it_and_is_pulled_again() {
    let host = Host::with_limits(238, Limits::default()).await;
    let registry = Registry::start();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    registry.push("team/base", "1", architecture);
    let base = Base::Image(format!("{}/team/base:1", registry.address));
    let app =
        || plan(vec![step("app", base.clone(), vec![Op::Run(script("echo hello > /tmp/x"))])]);
    let built = host.build(app()).await.unwrap();
    let everything = || ask(at_most(0), at_most(0));
    assert_eq!(prune(&host, everything()).await, [], "an artifact needs all of it");
    host.builder.verify_artifact(&built.artifact).await.unwrap();

    host.builder.removing().await.delete(&built.artifact.digest).await.unwrap();
    let picture = host.builder.picture(false).await.unwrap();
    let (_, layers) = picture.bytes(Class::Base);
    assert!(layers > MIB, "busybox is larger than that: {picture:?}");
    let gone = prune(&host, ask(Rule::default(), at_most(0))).await;
    let kinds: Vec<What> = gone.iter().map(|victim| victim.what).collect();
    assert_eq!(kinds, [What::Step, What::Base], "{gone:?}");
    assert_eq!(gone[1].bytes, layers);
    assert!(gone[1].name.contains("team/base:1") && matches!(gone[0].why, Why::StandsOn(_)));
    assert_eq!(host.engine.inventory().await.unwrap().into_keys().next(), None);

    let again = host.build(app()).await.unwrap();
    assert!(!again.all_cached());
    assert_eq!(again.artifact.bases, built.artifact.bases);
    host.builder.verify_artifact(&again.artifact).await.unwrap();
    assert_eq!(host.left().await, Vec::<&str>::new());
    host.finish().await;
}
