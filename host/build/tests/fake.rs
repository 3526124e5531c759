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
use windlass_containers::runtime::{
    Access, ContainerSpec, Labels, Mount as ContainerMount, Rootfs,
};
use windlass_model::build::{BuildRecord, Reason};
use windlass_model::plan::{
    Base, BuildPlan, BuildStep, Copy, Op, Origin, Output, OutputKind, ProcessKind, ProcessPlan,
    Run, RunConfig,
};
use windlass_model::{DeploymentId, Digest, Limits, LogLine, Secret, Stream};

#[path = "fake/cache.rs"]
mod cache;
#[path = "fake/graph.rs"]
mod graph;
#[path = "fake/places.rs"]
mod places;
#[path = "fake/variables.rs"]
mod variables;

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

/// Labels of what an attempt of the same deployment makes.
fn of_attempt(request: &BuildRequest) -> Labels {
    let label = windlass_build::builder::LABEL_BUILD.to_owned();
    Labels::from([(label, request.deployment.to_string())])
}

#[tokio::test]
async fn what_a_killed_build_left_is_removed_by_the_next_attempt() {
    let bench = bench(1);
    let request = request(&bench, plan());
    let labels = of_attempt(&request);
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
async fn what_is_left_of_an_attempt_whose_lease_has_ended_is_not_gone_on_with() {
    let bench = bench(0);
    let request = request(&bench, plan());
    let labels = of_attempt(&request);
    for place in 0..3 {
        let key = format!("build-{}-{place}", request.deployment);
        bench.runtime.prepare_snapshot(&key, None, &labels).await.unwrap();
        let mounted = bench.runtime.mount_snapshot(&key, Access::ReadWrite).await.unwrap();
        std::fs::write(mounted.path().join("half-written"), "").unwrap();
    }
    bench.builder.build(request).await.unwrap();
    let cached = bench.runtime.list_snapshots(&Labels::new()).await.unwrap();
    let committed: Vec<_> = cached.iter().filter(|snapshot| snapshot.committed).collect();
    assert!(!committed.is_empty(), "{cached:?}");
    for snapshot in committed {
        let mounted = bench.runtime.mount_snapshot(&snapshot.key, Access::ReadOnly).await.unwrap();
        assert!(!mounted.path().join("half-written").exists(), "{}", snapshot.key);
    }
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
