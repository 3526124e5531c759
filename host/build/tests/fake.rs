//! Builds on the runtime in memory: what the executor asks of it, without containerd.
//!
//! Files get root's ownership, so this too needs root.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_build::{
    BaseConfig, BasePolicy, Bases, BuildConfig, BuildRequest, BuildVariable, Builder, Earlier,
    StepEvent,
};
use windlass_containers::Runtime;
use windlass_containers::fake::{Behaviour, FakeRuntime};
use windlass_containers::runtime::{ContainerSpec, Labels, Mount as ContainerMount, Rootfs};
use windlass_model::build::{BuildRecord, Reason};
use windlass_model::plan::{
    Base, BuildPlan, BuildStep, Copy, Op, Origin, Output, OutputKind, ProcessKind, ProcessPlan,
    Run, RunConfig,
};
use windlass_model::{DeploymentId, Digest, Limits, LogLine, Secret, Stream};

struct Bench {
    runtime: FakeRuntime,
    builder: Builder,
    source: tempfile::TempDir,
    _data: tempfile::TempDir,
    lines: Arc<Mutex<Vec<LogLine>>>,
}

fn bench(exit: u32) -> Bench {
    scripted_bench(Limits::default(), move |_| Behaviour::exits(exit))
}

fn scripted_bench(
    limits: Limits,
    script: impl Fn(&ContainerSpec) -> Behaviour + Send + Sync + 'static,
) -> Bench {
    let runtime = FakeRuntime::scripted(script).unwrap();
    let (data, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(source.path().join("package.json"), "{}").unwrap();
    std::fs::write(source.path().join("index.js"), "1").unwrap();
    let shared: Arc<dyn Runtime> = Arc::new(runtime.clone());
    let data_dir = data.path().to_owned();
    let config = BaseConfig {
        data_dir: data_dir.clone(),
        policy: BasePolicy::Registry,
        cache_dir: None,
        certificates: None,
    };
    let bases = Bases::new(Arc::clone(&shared), config);
    let config = BuildConfig { data_dir, limits, certificates: None };
    let builder = Builder::new(shared, bases, config);
    Bench { runtime, builder, source, _data: data, lines: Arc::default() }
}

fn copy(source: &str) -> Op {
    Op::Copy(Copy {
        origin: Origin::Source,
        sources: vec![source.to_owned()],
        exclude: vec![],
        dest: "/app/".to_owned(),
        chown: None,
        chmod: None,
        parents: false,
    })
}

fn run(words: &[&str]) -> Op {
    Op::Run(Run {
        argv: words.iter().map(|w| (*w).to_owned()).collect(),
        env: vec![("NODE_ENV".to_owned(), "production".to_owned())],
        cwd: None,
        user: None,
        network: true,
        mounts: vec![],
        timeout_ms: None,
    })
}

/// Dependencies first, then the source: the usual plan of a Node application.
fn plan() -> BuildPlan {
    let step = |id: &str, base, ops| BuildStep {
        id: id.to_owned(),
        name: id.to_owned(),
        base,
        env: vec![],
        cwd: "/app".to_owned(),
        user: String::new(),
        ops,
    };
    BuildPlan {
        steps: vec![
            step("deps", Base::Scratch, vec![copy("package.json"), run(&["npm", "ci"])]),
            step(
                "app",
                Base::Step("deps".to_owned()),
                vec![copy("."), run(&["npm", "run", "build"])],
            ),
            step("unneeded", Base::Scratch, vec![run(&["never"])]),
        ],
        outputs: vec![Output {
            name: "app".to_owned(),
            artifact: OutputKind::Image { step: "app".to_owned(), config: RunConfig::default() },
        }],
        processes: vec![ProcessPlan {
            name: "web".to_owned(),
            output: "app".to_owned(),
            kind: ProcessKind::Web,
            argv: vec!["node".to_owned(), "index.js".to_owned()],
            ports: vec![8080],
        }],
        toolchains: vec![],
    }
}

fn request(bench: &Bench, plan: BuildPlan) -> BuildRequest {
    let lines = Arc::clone(&bench.lines);
    BuildRequest {
        project: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        deployment: DeploymentId::generate(),
        plan,
        source_dir: PathBuf::from(bench.source.path()),
        app_dir: String::new(),
        source_digests: None,
        variables: vec![],
        log: Arc::new(move |line| lines.lock().unwrap().push(line)),
        bases: Arc::new(|_, _| ()),
        cancel: CancellationToken::new(),
        access: windlass_build::Access::default(),
        cache: windlass_build::CacheUse::default(),
        labels: BTreeMap::from([("windlass.project".to_owned(), "shop".to_owned())]),
    }
}

fn ran(bench: &Bench) -> Vec<String> {
    bench.runtime.started().iter().map(|spec| spec.argv.join(" ")).collect()
}

#[tokio::test]
async fn an_unchanged_build_starts_no_container_and_a_changed_one_only_what_it_must() {
    let bench = bench(0);
    let first = bench.builder.build(request(&bench, plan())).await.unwrap();
    assert_eq!(ran(&bench), ["npm ci", "npm run build"]);
    assert_eq!(first.artifact.processes[0].port, Some(8080));

    let again = bench.builder.build(request(&bench, plan())).await.unwrap();
    assert!(again.all_cached());
    assert_eq!(ran(&bench).len(), 2);
    assert_eq!(again.artifact.digest, first.artifact.digest);

    std::fs::write(bench.source.path().join("index.js"), "2").unwrap();
    bench.builder.build(request(&bench, plan())).await.unwrap();
    assert_eq!(ran(&bench)[2..], ["npm run build"]);
}

#[tokio::test]
async fn a_variable_is_part_of_the_key_and_the_steps_own_environment_wins() {
    let bench = bench(0);
    let with = |value: &str| {
        let mut request = request(&bench, plan());
        let variable = |name: &str, value: &str| BuildVariable {
            name: name.to_owned(),
            value: Secret::new(value.to_owned()),
            secret: true,
        };
        request.variables = vec![variable("API_KEY", value), variable("NODE_ENV", "staging")];
        request
    };
    bench.builder.build(with("one")).await.unwrap();
    let built = bench.builder.build(with("two")).await.unwrap();
    assert!(!built.all_cached());
    let spec = &bench.runtime.started()[0];
    let value = |name: &str| spec.env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!((value("API_KEY"), value("NODE_ENV")), (Some("one"), Some("production")));
    assert_eq!(spec.log.mask, ["one", "staging"]);
    assert!(spec.network.as_ref().is_some_and(|network| network.isolated));
    assert!(matches!(spec.rootfs, Rootfs::Active(_)));
    assert_eq!(spec.labels["windlass.project"], "shop");
    let read_only = |m: &ContainerMount| matches!(m, ContainerMount::Bind { read_only: true, .. });
    assert!(spec.mounts.iter().all(read_only), "{:?}", spec.mounts);
}

#[tokio::test]
async fn what_a_killed_build_left_is_removed_by_the_next_attempt() {
    let bench = bench(1);
    let request = request(&bench, plan());
    let labels = Labels::from([(
        windlass_build::builder::LABEL_BUILD.to_owned(),
        request.deployment.to_string(),
    )]);
    let lease = format!("build-{}", request.deployment);
    let key = format!("build-{}-0", request.deployment);
    bench.runtime.create_lease(&lease, &labels, Duration::from_secs(60)).await.unwrap();
    bench.runtime.leased(&lease).prepare_snapshot(&key, None, &labels).await.unwrap();
    let failure = bench.builder.build(request).await.unwrap_err();
    assert_eq!(failure.code, "build.command-failed");
    assert_eq!(bench.runtime.list_snapshots(&Labels::new()).await.unwrap(), []);
    assert_eq!(bench.runtime.list(&Labels::new()).await.unwrap(), []);
    assert_eq!(bench.runtime.list_leases(&Labels::new()).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_build_that_fails_has_told_the_bases_that_it_came_to() {
    let bench = bench(1);
    // An image without layers, as `docker save` packs it.
    let uploaded = tempfile::tempdir().unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    std::fs::write(uploaded.path().join("config.json"), config.to_string()).unwrap();
    let manifest = r#"[{"Config":"config.json","Layers":[]}]"#;
    std::fs::write(uploaded.path().join("manifest.json"), manifest).unwrap();
    let image = windlass_build::Layout::open(uploaded.path()).unwrap();
    let base = || Base::Image(image.reference());

    let mut plan = plan();
    for step in &mut plan.steps {
        step.base = base();
    }
    let told: Arc<Mutex<Vec<(String, Digest)>>> = Arc::default();
    let mut request = request(&bench, plan);
    request.access.layout = Some(uploaded.path().to_owned());
    let bases = Arc::clone(&told);
    request.bases = Arc::new(move |reference, digest| {
        bases.lock().unwrap().push((reference.to_owned(), digest.clone()));
    });
    let failure = bench.builder.build(request).await.unwrap_err();
    assert_eq!(failure.code, "build.command-failed");
    let expected = (image.reference(), image.image().digest.clone());
    assert_eq!(*told.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn a_plan_that_is_not_valid_is_the_plugins_fault() {
    let bench = bench(0);
    let mut plan = plan();
    plan.outputs.clear();
    let failure = bench.builder.build(request(&bench, plan)).await.unwrap_err();
    assert_eq!(failure.code, "build.plan-invalid");
    assert!(matches!(failure.fault, windlass_model::failure::Fault::Plugin(_)));
}

/// A build that keeps its record, compared with the records before it.
async fn recorded(
    bench: &Bench,
    change: impl FnOnce(&mut BuildRequest),
    earlier: &[BuildRecord],
) -> (Result<windlass_build::BuildOutcome, windlass_model::Failure>, BuildRecord) {
    let seen: Arc<Mutex<BuildRecord>> = Arc::default();
    let told = Arc::clone(&seen);
    let mut request = request(bench, plan());
    let earlier = earlier.to_vec();
    request.cache.earlier = Earlier::read_by(move || earlier);
    request.cache.told = Arc::new(move |event| {
        if let StepEvent::Ended(step) = event {
            told.lock().unwrap().steps.push(step);
        }
    });
    change(&mut request);
    let built = bench.builder.build(request).await;
    let record = seen.lock().unwrap().clone();
    (built, record)
}

fn said(record: &BuildRecord, id: &str) -> Vec<String> {
    record.step(id).unwrap().reasons.iter().map(Reason::to_string).collect()
}

#[tokio::test]
async fn the_record_says_what_changed_of_each_step() {
    let bench = bench(0);
    let (_, first) = recorded(&bench, |_| (), &[]).await;
    assert_eq!(said(&first, "deps"), ["no earlier build of it is known"]);
    let before = [first];
    let (_, again) = recorded(&bench, |_| (), &before).await;
    assert!(again.steps.iter().all(|step| step.cached && step.reasons.is_empty()), "{again:?}");

    std::fs::write(bench.source.path().join("index.js"), "2").unwrap();
    std::fs::write(bench.source.path().join("new.js"), "2").unwrap();
    let (_, file) = recorded(&bench, |_| (), &before).await;
    assert!(file.step("deps").unwrap().cached);
    assert_eq!(said(&file, "app"), ["index.js changed", "new.js is new"]);

    std::fs::write(bench.source.path().join("package.json"), "{ }").unwrap();
    let (_, both) = recorded(&bench, |_| (), &[file]).await;
    assert_eq!(said(&both, "deps"), ["package.json changed"]);
    assert_eq!(said(&both, "app"), ["the step deps has another result", "package.json changed"]);

    let with_key = |value: &'static str| {
        move |request: &mut BuildRequest| {
            request.variables = vec![BuildVariable {
                name: "API_KEY".to_owned(),
                value: Secret::new(value.to_owned()),
                secret: true,
            }];
        }
    };
    let (_, keyed) = recorded(&bench, with_key("one-of-a-kind"), &[both]).await;
    assert_eq!(said(&keyed, "deps"), ["the variable API_KEY is new"]);
    let (_, other) = recorded(&bench, with_key("another"), std::slice::from_ref(&keyed)).await;
    assert_eq!(said(&other, "deps"), ["the variable API_KEY changed"]);
    let text = serde_json::to_string(&keyed).unwrap();
    let digest = Digest::of(b"one-of-a-kind");
    assert!(!text.contains("one-of-a-kind") && !text.contains(&digest.hex()[..16]), "{text}");

    let command = |request: &mut BuildRequest| {
        with_key("another")(request);
        request.plan.steps[1].ops[1] = run(&["npm", "run", "build:other"]);
    };
    let (_, command) = recorded(&bench, command, &[other]).await;
    assert_eq!(said(&command, "app"), ["`npm run build:other` changed"]);
    assert!(bench.lines.lock().unwrap().iter().any(|line| line.text.contains("(index.js changed")));
}

#[tokio::test]
async fn without_the_cache_all_is_done_again_and_the_new_results_count_from_then_on() {
    let bench = bench(0);
    let (first, record) = recorded(&bench, |_| (), &[]).await;
    let first = first.unwrap();
    let earlier = [record];
    let bypass = |request: &mut BuildRequest| request.cache.bypass = true;
    let (fresh, record) = recorded(&bench, bypass, &earlier).await;
    let fresh = fresh.unwrap();
    assert_eq!(ran(&bench).len(), 4, "both commands were run again");
    assert_eq!(said(&record, "deps"), ["it was asked for without the cache"]);
    assert_ne!(fresh.artifact.outputs[0].snapshot, first.artifact.outputs[0].snapshot);
    // The old artifact is untouched, and the next build takes the new results.
    bench.builder.verify_artifact(&first.artifact).await.unwrap();
    let (next, _) = recorded(&bench, |_| (), &earlier).await;
    let next = next.unwrap();
    assert!(next.all_cached());
    assert_eq!(next.artifact.digest, fresh.artifact.digest);
    assert_eq!(ran(&bench).len(), 4);
    // Once more, over a result that has taken another's place already.
    let (third, _) = recorded(&bench, bypass, &earlier).await;
    let (next, _) = recorded(&bench, |_| (), &earlier).await;
    assert_eq!(next.unwrap().artifact.digest, third.unwrap().artifact.digest);
}

#[tokio::test]
async fn clearing_leaves_what_artifacts_need_and_the_next_build_says_that_it_was_removed() {
    let bench = bench(0);
    let (built, record) = recorded(&bench, |_| (), &[]).await;
    let built = built.unwrap();
    let cleared = bench.builder.clear_cache(None).await.unwrap();
    assert_eq!((cleared.steps, cleared.in_use), (0, 0), "the artifact is built on both steps");
    bench.builder.verify_artifact(&built.artifact).await.unwrap();

    bench.builder.delete_artifact(&built.artifact.digest).await.unwrap();
    let other = "blog".parse().unwrap();
    assert_eq!(bench.builder.clear_cache(Some(&other)).await.unwrap().steps, 0);
    let cleared = bench.builder.clear_cache(Some(&"shop".parse().unwrap())).await.unwrap();
    assert_eq!(cleared.steps, 2);
    let (_, again) = recorded(&bench, |_| (), &[record]).await;
    let expected = "nothing changed, but its result was removed since";
    assert_eq!(said(&again, "deps"), [expected]);
}

#[tokio::test]
async fn steps_that_two_projects_use_are_cleared_with_neither() {
    let bench = bench(0);
    let (one, _) = recorded(&bench, |_| (), &[]).await;
    let blog = |request: &mut BuildRequest| request.project = "blog".parse().unwrap();
    let (two, _) = recorded(&bench, blog, &[]).await;
    assert!(two.unwrap().all_cached());
    bench.builder.delete_artifact(&one.unwrap().artifact.digest).await.unwrap();
    assert_eq!(bench.builder.clear_cache(Some(&"shop".parse().unwrap())).await.unwrap().steps, 0);
    assert_eq!(bench.builder.clear_cache(None).await.unwrap().steps, 2);
}

/// Steps that each run one command of their name; `needs` are copied from.
fn graph(steps: &[(&str, &[&str])]) -> BuildPlan {
    let step = |(id, needs): &(&str, &[&str])| {
        let from = |id: &&str| {
            Op::Copy(Copy {
                origin: Origin::Step((*id).to_owned()),
                sources: vec![".".to_owned()],
                exclude: vec![],
                dest: "/".to_owned(),
                chown: None,
                chmod: None,
                parents: false,
            })
        };
        let mut ops: Vec<Op> = needs.iter().map(from).collect();
        ops.push(run(&[id]));
        BuildStep {
            id: (*id).to_owned(),
            name: (*id).to_owned(),
            base: Base::Scratch,
            env: vec![],
            cwd: "/".to_owned(),
            user: String::new(),
            ops,
        }
    };
    let last = steps.last().unwrap().0.to_owned();
    let artifact = OutputKind::Image { step: last, config: RunConfig::default() };
    BuildPlan {
        steps: steps.iter().map(step).collect(),
        outputs: vec![Output { name: "app".to_owned(), artifact }],
        ..BuildPlan::default()
    }
}

#[tokio::test]
async fn independent_steps_are_carried_out_at_once_and_told_one_after_the_other() {
    // Each of the three ends only when all three have begun.
    let begun: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&begun);
    let bench = scripted_bench(Limits::default(), move |spec| {
        let name = spec.argv[0].clone();
        seen.lock().unwrap().push(name.clone());
        let lines = vec![(Stream::Stdout, format!("{name} says"))];
        let exit = (name == "all").then_some((Duration::ZERO, 0));
        Behaviour { lines, exit, ..Behaviour::default() }
    });
    let plan = graph(&[("a", &[]), ("b", &[]), ("c", &[]), ("all", &["a", "b", "c"])]);
    let (builder, request) = (bench.builder.clone(), request(&bench, plan));
    let build = tokio::spawn(async move { builder.build(request).await });
    let start = std::time::Instant::now();
    while begun.lock().unwrap().len() < 3 {
        assert!(start.elapsed() < Duration::from_secs(20), "{begun:?}");
        assert!(!build.is_finished());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ids: Vec<String> = bench.runtime.started().iter().map(|spec| spec.id.clone()).collect();
    // The last one ends first: its lines wait for those before it.
    for id in ids.iter().rev() {
        bench.runtime.crash(id, 0);
    }
    let built = build.await.unwrap().unwrap();
    let order: Vec<&str> = built.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(order, ["a", "b", "c", "all"]);
    let lines = bench.lines.lock().unwrap().clone();
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    for name in ["a", "b", "c"] {
        let first = texts.iter().position(|text| text.ends_with(&format!(" {name}"))).unwrap();
        let block = &texts[first..first + 3];
        let command = format!("$ {name}");
        assert_eq!(block[1..], [command, format!("{name} says")], "{texts:?}");
    }
}

#[tokio::test]
async fn no_more_steps_run_than_the_budget_has_places_for() {
    let running: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&running);
    let mut limits = Limits::default();
    limits.build.steps_running_max = 2;
    let bench = scripted_bench(limits, move |spec| {
        seen.lock().unwrap().push(spec.id.clone());
        Behaviour { exit: Some((Duration::from_millis(20), 0)), ..Behaviour::default() }
    });
    let plan = graph(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &["a", "b", "c"])]);
    let peak = Arc::new(Mutex::new(0_usize));
    let at_once: Arc<Mutex<usize>> = Arc::default();
    let mut request = request(&bench, plan);
    let (most, now) = (Arc::clone(&peak), Arc::clone(&at_once));
    request.cache.told = Arc::new(move |event| {
        let mut now = now.lock().unwrap();
        match event {
            StepEvent::Begun { .. } => *now += 1,
            StepEvent::Ended(_) => *now -= 1,
            StepEvent::Committing { .. } => {}
        }
        let mut most = most.lock().unwrap();
        *most = (*most).max(*now);
    });
    bench.builder.build(request).await.unwrap();
    assert_eq!(*peak.lock().unwrap(), 2);
    assert_eq!(running.lock().unwrap().len(), 4);
    let said = bench.lines.lock().unwrap().iter().any(|l| l.text.contains("waiting for a place"));
    assert!(said, "who waits is told why");
}

#[tokio::test]
async fn the_first_failure_ends_the_others_and_is_the_one_that_is_told() {
    let bench = scripted_bench(Limits::default(), |spec| match spec.argv[0].as_str() {
        "fails" => Behaviour::exits(7),
        _ => Behaviour::default(),
    });
    let plan = graph(&[("hangs", &[]), ("fails", &[]), ("never", &["hangs", "fails"])]);
    let failure = bench.builder.build(request(&bench, plan)).await.unwrap_err();
    assert_eq!(failure.code, "build.command-failed");
    assert!(failure.what.contains("fails"), "{failure:?}");
    assert!(!ran(&bench).contains(&"never".to_owned()));
    assert_eq!(bench.runtime.list(&Labels::new()).await.unwrap(), []);
    assert_eq!(bench.runtime.list_snapshots(&Labels::new()).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_running_build_uses_is_not_cleared() {
    let hangs = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = Arc::clone(&hangs);
    let bench = scripted_bench(Limits::default(), move |_| {
        match asked.load(std::sync::atomic::Ordering::SeqCst) {
            true => Behaviour::default(),
            false => Behaviour::exits(0),
        }
    });
    let first = bench.builder.build(request(&bench, plan())).await.unwrap();
    bench.builder.delete_artifact(&first.artifact.digest).await.unwrap();
    hangs.store(true, std::sync::atomic::Ordering::SeqCst);
    std::fs::write(bench.source.path().join("index.js"), "2").unwrap();
    let (builder, request) = (bench.builder.clone(), request(&bench, plan()));
    let build = tokio::spawn(async move { builder.build(request).await });
    let start = std::time::Instant::now();
    while bench.runtime.started().len() < 3 {
        assert!(start.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The old result of `app` goes; `deps`, which the new one is built on, is in use.
    let cleared = bench.builder.clear_cache(None).await.unwrap();
    assert_eq!((cleared.steps, cleared.in_use), (1, 1), "{cleared:?}");
    bench.runtime.crash(&bench.runtime.started()[2].id, 0);
    let built = build.await.unwrap().unwrap();
    assert_eq!(built.steps.iter().map(|step| step.cached).collect::<Vec<_>>(), [true, false]);
    bench.builder.verify_artifact(&built.artifact).await.unwrap();
}
