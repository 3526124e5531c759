//! Builds on a real containerd.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{DEADLINE, Host, busybox, copy, plan, script, scripted, step, variable};
use windlass_containers::runtime::{Access, Labels, SPARE_PLACE};
use windlass_model::deployment::ArtifactKind;
use windlass_model::plan::{Base, Copy, Mount, Op, Origin, Output, OutputKind, Run, Sharing};
use windlass_model::{Limits, Stream};

fn on_base(ops: Vec<Op>) -> windlass_model::plan::BuildPlan {
    plan(vec![busybox(), step("app", Base::Step("base".to_owned()), ops)])
}

#[tokio::test]
async fn a_plan_is_carried_out_once_recorded_and_found_again() {
    let host = Host::start(221).await;
    let ops = || {
        let run = "cat /app/app.txt; echo warned >&2; echo made > /app/made; ls -a /app";
        vec![copy("app.txt", "/app/"), Op::Run(script(run))]
    };
    let first = host.build(on_base(ops())).await.unwrap();
    assert!(first.steps.iter().all(|step| !step.cached), "{:?}", first.steps);
    let lines = host.lines.lock().unwrap().clone();
    let has = |stream, text: &str| lines.iter().any(|l| l.stream == stream && l.text == text);
    assert!(has(Stream::Stdout, "version 1") && has(Stream::Stderr, "warned"), "{lines:?}");

    let again = host.build(on_base(ops())).await.unwrap();
    assert!(again.all_cached(), "{:?}", again.steps);
    assert_eq!(again.artifact, first.artifact);
    let ran = host.log().matches("$ ").count();
    assert_eq!(ran, 1, "the second build ran a command: {}", host.log());

    std::fs::write(host.source.path().join("app.txt"), "version 2\n").unwrap();
    let changed = host.build(on_base(ops())).await.unwrap();
    let cached: Vec<bool> = changed.steps.iter().map(|step| step.cached).collect();
    assert_eq!(cached, [true, false]);
    let snapshot = &changed.artifact.outputs[0].snapshot;
    {
        let mounted = host.runtime.mount_snapshot(snapshot, Access::ReadOnly).await.unwrap();
        let read = |path: &str| std::fs::read_to_string(mounted.path().join(path)).unwrap();
        assert_eq!(
            (read("app/app.txt").as_str(), read("app/made").as_str()),
            ("version 2\n", "made\n")
        );
        assert!(!mounted.path().join("dev/windlass").exists());
    }
    let loaded = host.builder.load_artifact(&changed.artifact.digest).await.unwrap();
    assert_eq!(loaded.as_ref(), Some(&changed.artifact));
    host.builder.verify_artifact(&changed.artifact).await.unwrap();

    let keep = BTreeSet::from([changed.artifact.digest.clone()]);
    let pruned = host.builder.removing().await.prune(&keep, Duration::ZERO).await.unwrap();
    assert_eq!((pruned.artifacts, pruned.snapshots), (1, 1));
    host.builder.verify_artifact(&changed.artifact).await.unwrap();
    let gone = host.builder.verify_artifact(&first.artifact).await.unwrap_err();
    assert_eq!(gone.code, "artifact.missing");
    host.builder.removing().await.prune(&BTreeSet::new(), Duration::ZERO).await.unwrap();
    assert_eq!(host.engine.inventory().await.unwrap().keys().next(), None);
    host.finish().await;
}

/// The snapshots whose files may be in memory alone.
async fn unsynced(host: &Host) -> Vec<String> {
    let all = host.runtime.list_snapshots(&Labels::new()).await.unwrap();
    let is_unsynced =
        |labels: &Labels| labels.get("windlass.unsynced").is_some_and(|boot| !boot.is_empty());
    all.into_iter().filter(|one| is_unsynced(&one.labels)).map(|one| one.key).collect()
}

#[tokio::test]
async fn what_was_built_is_synced_soon_after() {
    /// A busy disk takes its time.
    const SYNCED_WITHIN: Duration = Duration::from_secs(180);
    let host = Host::start(218).await;
    let built = host.build(on_base(vec![copy("app.txt", "/app/")])).await.unwrap();
    let mut steps: Vec<String> = built.steps.iter().map(|step| step.key.clone()).collect();
    let mut found = unsynced(&host).await;
    steps.sort();
    found.sort();
    assert_eq!(found, steps, "nobody waits for the disk");
    let start = Instant::now();
    while !unsynced(&host).await.is_empty() {
        assert!(start.elapsed() < SYNCED_WITHIN, "{:?}", unsynced(&host).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(host.build(on_base(vec![copy("app.txt", "/app/")])).await.unwrap().all_cached());

    // A command's own cache, too, is not waited for.
    let fills = |name: &str| {
        let (id, target) = ("own".to_owned(), "/cache".to_owned());
        let text = format!("echo {name} > /cache/{name}; cat /cache/*; cat /proc/mounts");
        let mounts = vec![Mount::Cache { id, target, sharing: Sharing::Locked }];
        scripted(Run { mounts, ..script(&text) })
    };
    host.build(fills("first")).await.unwrap();
    let checks = windlass_containers::doctor::inspect(host.engine.config());
    let namespaces = checks.iter().find(|check| check.name == "user namespaces").unwrap();
    let staged = namespaces.state == windlass_containers::doctor::State::Ok;
    let mounted = host
        .log()
        .lines()
        .any(|line| line.starts_with("overlay /cache ") && line.contains("volatile"));
    assert_eq!(mounted, staged, "{}", host.log());
    let lock = host.data.path().join("cache/mounts/shop/.locks/own");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(std::fs::read_to_string(&lock).unwrap(), boot.trim());
    let start = Instant::now();
    while std::fs::metadata(&lock).unwrap().len() > 0 {
        assert!(start.elapsed() < SYNCED_WITHIN, "the cache is not synced");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // As a machine leaves it that has stopped before.
    std::fs::write(&lock, "another boot").unwrap();
    host.build(fills("second")).await.unwrap();
    let log = host.log();
    let (_, log) = log.split_once("the cache own begins anew").unwrap();
    assert!(log.lines().any(|line| line == "second") && !log.lines().any(|line| line == "first"));
    host.finish().await;
}

#[tokio::test]
async fn a_failing_command_is_named_with_its_last_lines_and_leaves_nothing() {
    let host = Host::start(222).await;
    let failure =
        host.build(scripted(script("echo first; echo why >&2; exit 7"))).await.unwrap_err();
    assert_eq!(failure.code, "build.command-failed");
    assert!(failure.what.contains("exit code 7") && failure.what.contains("the step app"));
    assert!(failure.log.iter().any(|line| line.text == "why"), "{:?}", failure.log);
    let mut absent = script("");
    absent.argv = vec!["no-such-command".to_owned()];
    let failure = host.build(scripted(absent)).await.unwrap_err();
    assert_eq!(failure.code, "build.command-failed", "{failure:?}");
    let failure = host.build(on_base(vec![copy("absent.txt", "/")])).await.unwrap_err();
    assert_eq!(failure.code, "build.copy-missing");
    assert!(failure.what.contains("in the step \"the step app\""), "{failure:?}");
    assert_eq!(host.left().await, Vec::<&str>::new());
    let active = host.runtime.list_snapshots(&Default::default()).await.unwrap();
    assert!(active.iter().all(|snapshot| snapshot.committed), "{active:?}");
    host.finish().await;
}

#[tokio::test]
async fn memory_and_time_are_limited_and_cancel_kills_at_once() {
    let mut limits = Limits::default();
    limits.build.memory_bytes_max = 64 << 20;
    let host = Host::with_limits(223, limits).await;
    let hog = "x=a; while true; do x=$x$x; done";
    let failure = host.build(scripted(script(hog))).await.unwrap_err();
    assert_eq!(failure.code, "build.out-of-memory", "{failure:?}");

    let mut slow = script("sleep 1000");
    slow.timeout_ms = Some(300);
    let failure = host.build(scripted(slow)).await.unwrap_err();
    assert_eq!(failure.code, "build.timed-out", "{failure:?}");

    let request = host.request(scripted(script("echo begun; sleep 1000 & sleep 1000")));
    let cancel = request.cancel.clone();
    let builder = host.builder.clone();
    let build = tokio::spawn(async move { builder.build(request).await });
    let start = Instant::now();
    while !host.log().lines().any(|line| line == "begun") {
        assert!(start.elapsed() < DEADLINE, "{}", host.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let asked = Instant::now();
    cancel.cancel();
    let failure = build.await.unwrap().unwrap_err();
    assert_eq!(failure.code, "build.cancelled");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(host.left().await, Vec::<&str>::new());
    host.finish().await;
}

/// The CPU that the running commands of a build use in a while, and that while, in microseconds.
async fn cpu_of(host: &Host, commands: usize) -> (u64, u64) {
    const WHILE: Duration = Duration::from_secs(4);
    let used = async || {
        let (mut used, mut running) = (0, 0);
        for container in host.runtime.list(&Labels::new()).await.unwrap() {
            if let Some(usage) = host.runtime.usage(&container.id).await.unwrap() {
                used += usage.cpu_us;
                running += 1;
            }
        }
        (used, running)
    };
    let start = Instant::now();
    while used().await.1 < commands {
        assert!(start.elapsed() < DEADLINE, "{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let start = Instant::now();
    let first = used().await.0;
    tokio::time::sleep(WHILE).await;
    let (last, running) = used().await;
    assert_eq!(running, commands, "{}", host.log());
    (last - first, u64::try_from(start.elapsed().as_micros()).unwrap())
}

/// A build of steps that only count, ended after its CPU was measured.
async fn cpu_of_steps(pool: u8, limits: Limits, steps: usize) -> (u64, u64) {
    let host = Host::with_limits(pool, limits).await;
    let ids: Vec<String> = (0..steps).map(|n| format!("spin{n}")).collect();
    let spin = |id: &String| {
        let ops = vec![Op::Run(script(&format!(": {id}; while true; do true; done")))];
        step(id, Base::Step("base".to_owned()), ops)
    };
    let last = step("app", Base::Step("base".to_owned()), ids.iter().map(|id| from(id)).collect());
    let all = [busybox()].into_iter().chain(ids.iter().map(spin)).chain([last]).collect();
    let request = host.request(plan(all));
    let cancel = request.cancel.clone();
    let builder = host.builder.clone();
    let build = tokio::spawn(async move { builder.build(request).await });
    let measured = cpu_of(&host, steps).await;
    cancel.cancel();
    assert_eq!(build.await.unwrap().unwrap_err().code, "build.cancelled");
    assert_eq!(host.left().await, Vec::<&str>::new());
    host.finish().await;
    measured
}

fn from(id: &str) -> Op {
    Op::Copy(Copy {
        origin: Origin::Step(id.to_owned()),
        sources: vec!["app".to_owned()],
        exclude: vec![],
        dest: "/".to_owned(),
        chown: None,
        chmod: None,
        parents: false,
    })
}

/// The quota of a while, with half of it and a tenth of a second as tolerance.
fn allowed(millis: u64, whole_us: u64) -> u64 {
    whole_us * millis / 1000 * 3 / 2 + 100_000
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_its_own_limit_of_the_cpu_and_all_together_have_one() {
    let mut limits = Limits::default();
    limits.build.cpu_millis_max = 300;
    let (used, whole) = cpu_of_steps(219, limits.clone(), 1).await;
    assert!((1..allowed(300, whole)).contains(&used), "{used} of {whole} us");
    // Each could have what all may have.
    limits.build.cpu_millis_max = 0;
    limits.build.cpu_millis_all_max = 300;
    let (used, whole) = cpu_of_steps(219, limits, 3).await;
    assert!((1..allowed(300, whole)).contains(&used), "{used} of {whole} us");
}

#[tokio::test]
async fn only_a_command_that_asks_for_it_has_a_network() {
    let host = Host::start(224).await;
    let look = "ls /sys/class/net; cat /proc/net/route";
    host.build(scripted(script(look))).await.unwrap();
    assert!(!host.log().contains("eth0"), "{}", host.log());
    let mut networked = script(look);
    networked.network = true;
    host.build(scripted(networked)).await.unwrap();
    assert!(host.log().contains("eth0"), "{}", host.log());
    host.finish().await;
}

#[tokio::test]
async fn secrets_and_mounts_leave_no_trace_in_the_layer_or_the_log() {
    let host = Host::start(225).await;
    let mounts = vec![
        Mount::Secret {
            name: "TOKEN".to_owned(),
            target: Some("/secrets/token".to_owned()),
            env: None,
            mode: 0o400,
            owner: None,
            required: true,
        },
        Mount::Cache {
            id: "store".to_owned(),
            target: "/cache".to_owned(),
            sharing: Sharing::Locked,
        },
        Mount::Bind {
            from_step: String::new(),
            path: "app.txt".to_owned(),
            target: "/bound.txt".to_owned(),
            writable: false,
        },
        Mount::Tmpfs { target: "/scratch".to_owned(), bytes_max: None },
        Mount::Tmpfs { target: "/made/for/it".to_owned(), bytes_max: None },
    ];
    let run = |text: &str| {
        let mut run = script(text);
        run.mounts.clone_from(&mounts);
        let mut request = host.request(scripted(run));
        request.variables = vec![variable("TOKEN", "hunter2-and-more", true)];
        request
    };
    let missing = host.build(scripted({
        let mut run = script("true");
        run.mounts.clone_from(&mounts);
        run
    }));
    assert_eq!(missing.await.unwrap_err().code, "build.secret-missing");
    let text = "cat /secrets/token; cat /bound.txt; echo kept > /cache/file; touch /scratch/x; \
                /bin/busybox env > /environment; mount | grep secrets";
    let built = host.builder.build(run(text)).await.unwrap();
    assert!(!host.log().contains("hunter2"), "{}", host.log());
    assert!(host.log().contains("[secret]") && host.log().contains("version 1"));
    {
        let snapshot = &built.artifact.outputs[0].snapshot;
        let mounted = host.runtime.mount_snapshot(snapshot, Access::ReadOnly).await.unwrap();
        let of_mounts = ["secrets", "cache", "bound.txt", "scratch", "made", "dev/windlass"];
        let of_every_container = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];
        for path in of_mounts.into_iter().chain(of_every_container) {
            assert!(!mounted.path().join(path).exists(), "{path} stayed");
        }
        assert!(mounted.path().join("etc/passwd").exists());
        let environment = std::fs::read_to_string(mounted.path().join("environment")).unwrap();
        assert!(environment.contains("PATH=") && !environment.contains("hunter2"), "{environment}");
    }
    host.builder.build(run("echo found $(cat /cache/file)")).await.unwrap();
    assert!(host.log().contains("found kept"), "the cache was lost: {}", host.log());
    assert_eq!(host.left().await, Vec::<&str>::new());
    let secrets = std::fs::read_dir("/run").unwrap().chain(std::fs::read_dir("/dev/shm").unwrap());
    let left = secrets.flatten().filter(|e| {
        e.file_name().to_string_lossy().contains(built.artifact.digest.short())
            || e.file_name().to_string_lossy().starts_with("windlass-secrets")
    });
    assert_eq!(left.count(), 0);
    host.finish().await;
}

#[tokio::test]
async fn a_static_tree_is_exported_for_the_proxy() {
    let host = Host::start(226).await;
    let make = "mkdir -p /out/assets; echo home > /out/index.html; echo 1 > /out/assets/a.js";
    let site = |root: &str| {
        let mut plan = scripted(script(make));
        let artifact = OutputKind::StaticTree {
            step: "app".to_owned(),
            root: root.to_owned(),
            spa_fallback: Some("index.html".to_owned()),
            not_found: None,
        };
        plan.outputs = vec![Output { name: "site".to_owned(), artifact }];
        plan
    };
    let built = host.build(site("/out")).await.unwrap();
    let ArtifactKind::StaticTree { tree, files, .. } = &built.artifact.outputs[0].kind else {
        panic!("{:?}", built.artifact.outputs);
    };
    assert_eq!(*files, 2);
    let dir = host.builder.static_tree_dir(tree);
    assert_eq!(std::fs::read_to_string(dir.join("index.html")).unwrap(), "home\n");
    let again = host.build(site("/out")).await.unwrap();
    assert!(again.all_cached());
    assert_eq!(again.artifact, built.artifact);
    let failure = host.build(site("/dist")).await.unwrap_err();
    assert_eq!(failure.code, "build.no-output");
    let found = host.builder.hold(&built.static_trees[0].0).await;
    host.builder.removing().await.delete(&built.artifact.digest).await.unwrap();
    assert!(dir.exists(), "another build has found it, and is not recorded yet");
    drop(found);
    host.builder.removing().await.prune(&BTreeSet::new(), Duration::ZERO).await.unwrap();
    assert!(!dir.exists());
    assert!(Path::new(host.data.path()).join("static").read_dir().unwrap().next().is_none());
    host.finish().await;
}

/// What is connected to the network.
async fn connected(host: &Host) -> Vec<String> {
    let mut found = host.engine.inventory().await.unwrap();
    let kinds = ["network namespaces", "network attachments"];
    kinds.iter().flat_map(|kind| found.remove(kind).unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_at_once_have_addresses_of_their_own_and_nothing_stays_connected() {
    let host = Host::start(198).await;
    let shows = |name: &str| {
        // Its steps are its own, and the second finds what the first was given.
        let text = format!("echo {name} $(ip -4 -o addr show eth0) | tee -a /addresses; sleep 1");
        let networked = || Op::Run(Run { network: true, ..script(&text) });
        let of = |id: &str| Base::Step(id.to_owned());
        let steps = vec![
            step("one", of("base"), vec![networked()]),
            step("two", of("one"), vec![networked()]),
        ];
        plan([vec![busybox()], steps].concat())
    };
    host.build(plan(vec![busybox()])).await.unwrap();
    let (left, right) = tokio::join!(host.build(shows("left")), host.build(shows("right")));
    let mut addresses = Vec::new();
    for built in [left.unwrap(), right.unwrap()] {
        let snapshot = &built.artifact.outputs[0].snapshot;
        let mounted = host.runtime.mount_snapshot(snapshot, Access::ReadOnly).await.unwrap();
        let text = std::fs::read_to_string(mounted.path().join("addresses")).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0], lines[1], "one place serves both commands");
        addresses.push(lines[0].split(' ').find(|word| word.contains('/')).unwrap().to_owned());
    }
    assert_ne!(addresses[0], addresses[1]);
    assert_eq!(connected(&host).await, Vec::<String>::new());

    let places = async || host.runtime.list_places("").await.unwrap();
    let steps = vec![
        busybox(),
        step("fails", Base::Step("base".to_owned()), vec![Op::Run(script("sleep 1; exit 7"))]),
        step(
            "never",
            Base::Step("fails".to_owned()),
            vec![Op::Run(Run { network: true, ..script("true") })],
        ),
    ];
    let mut takes_what_is_ready = false;
    for _ in 0..5 {
        // Some time after a build one is ready. The one that fails is given it, for the command that never comes.
        let start = Instant::now();
        while places().await.is_empty() {
            assert!(start.elapsed() < DEADLINE, "no place is ready for the next build");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ready = places().await;
        let failure = host.build(plan(steps.clone())).await.unwrap_err();
        assert_eq!(failure.code, "build.command-failed");
        let left = places().await;
        assert!(left.iter().all(|place| place.starts_with(SPARE_PLACE)), "{left:?}");
        // One that was still being made was not taken.
        takes_what_is_ready = left.iter().all(|place| !ready.contains(place));
        if takes_what_is_ready {
            break;
        }
    }
    assert!(takes_what_is_ready);
    host.finish().await;
}
