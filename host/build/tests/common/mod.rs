//! What the tests on a real containerd share: a host of its own for each test, a source tree with a root
//! file system of busybox, plans made of shell scripts, and a registry on the loopback address.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod proxy;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use windlass_build::{
    BaseConfig, BasePolicy, Bases, BuildConfig, BuildOutcome, BuildRequest, BuildVariable, Builder,
};
use windlass_containers::{Config, Engine, Runtime};
use windlass_model::plan::{
    Base, BuildPlan, BuildStep, Copy, Op, Origin, Output, OutputKind, Run, RunConfig,
};
use windlass_model::{DeploymentId, Digest, Failure, HostId, Limits, LogLine, Secret};
use windlass_test_support::addresses::TestAddresses;
use windlass_test_support::registry::DockerRegistry;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// One Windlass host with its builder.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) builder: Builder,
    pub(crate) bases: Bases,
    pub(crate) host_id: HostId,
    pub(crate) data: tempfile::TempDir,
    pub(crate) source: tempfile::TempDir,
    pub(crate) lines: Arc<Mutex<Vec<LogLine>>>,
}

impl Host {
    /// A host with the usual limits.
    pub(crate) async fn start(pool: u8) -> Self {
        Self::with_limits(pool, Limits::default()).await
    }

    /// A host with a containerd of its own; `pool` keeps the subnets of tests apart.
    pub(crate) async fn with_limits(pool: u8, limits: Limits) -> Self {
        let data = tempfile::tempdir().unwrap();
        let host_id = HostId::generate();
        let config = Config {
            data_dir: data.path().to_owned(),
            host_id: host_id.clone(),
            containerd: None,
            logger_exe: PathBuf::from(env!("CARGO_BIN_EXE_windlass-build-test-logger")),
            limits: limits.clone(),
        };
        let addresses = TestAddresses::new(pool);
        let engine = Engine::start(config, addresses).await.unwrap();
        let runtime: Arc<dyn Runtime> = Arc::new(engine.clone());
        let bases = Bases::new(
            Arc::clone(&runtime),
            BaseConfig {
                data_dir: data.path().to_owned(),
                policy: BasePolicy::Registry,
                cache_dir: None,
                certificates: None,
            },
        );
        let config = BuildConfig { data_dir: data.path().to_owned(), limits, certificates: None };
        let builder = Builder::new(Arc::clone(&runtime), bases.clone(), config);
        let source = source_tree();
        let lines = Arc::default();
        Self { engine, runtime, builder, bases, host_id, data, source, lines }
    }

    /// A request for this plan.
    pub(crate) fn request(&self, plan: BuildPlan) -> BuildRequest {
        let lines = Arc::clone(&self.lines);
        BuildRequest {
            project: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            deployment: DeploymentId::generate(),
            plan,
            source_dir: self.source.path().to_owned(),
            app_dir: String::new(),
            source_digests: None,
            variables: Vec::new(),
            log: Arc::new(move |line| lines.lock().unwrap().push(line)),
            bases: Arc::new(|_, _| ()),
            cancel: CancellationToken::new(),
            access: windlass_build::Access::default(),
            cache: windlass_build::CacheUse::default(),
            labels: BTreeMap::new(),
        }
    }

    /// Builds a plan.
    pub(crate) async fn build(&self, plan: BuildPlan) -> Result<BuildOutcome, Failure> {
        self.builder.build(self.request(plan)).await
    }

    /// What was logged so far, one line each.
    pub(crate) fn log(&self) -> String {
        self.lines.lock().unwrap().iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// Kinds of things that are left in the host, but for the cache of builds.
    pub(crate) async fn left(&self) -> Vec<&'static str> {
        let inventory = self.engine.inventory().await.unwrap();
        inventory
            .into_keys()
            .filter(|kind| !["snapshots", "content", "blobs"].contains(kind))
            .collect()
    }

    /// Ends the host and proves that nothing is left of it on the machine.
    pub(crate) async fn finish(self) {
        let Self { engine, runtime, builder, bases, host_id, data, .. } = self;
        drop((runtime, builder, bases));
        engine.teardown_host().await.unwrap();
        let start = Instant::now();
        loop {
            let left = windlass_containers::leak::machine(&host_id);
            if left.is_empty() {
                break;
            }
            assert!(start.elapsed() < DEADLINE, "left: {left:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(data);
    }
}

/// A repository: `rootfs` is a root file system of busybox, `app.txt` the application.
fn source_tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_rootfs(&dir.path().join("rootfs"));
    std::fs::write(dir.path().join("app.txt"), "version 1\n").unwrap();
    std::fs::create_dir(dir.path().join(".git")).unwrap();
    std::fs::write(dir.path().join(".git/config"), "token").unwrap();
    dir
}

pub(crate) fn write_rootfs(root: &Path) {
    for dir in ["bin", "etc", "tmp", "proc", "sys", "dev"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|p| Path::new(p).exists());
    let busybox = busybox.expect("busybox is missing: run `apt-get install busybox-static`");
    std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n")
        .unwrap();
    std::fs::write(root.join("etc/group"), "root:x:0:\napp:x:1000:\n").unwrap();
    let names = [
        "sh", "cat", "echo", "ls", "sleep", "grep", "id", "nc", "wget", "head", "dd", "tail", "tr",
        "touch", "mkdir", "mount", "rm", "seq", "stat", "find", "yes", "test", "printf", "ip",
    ];
    for name in names {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
}

/// A step on the result of another.
pub(crate) fn step(id: &str, base: Base, ops: Vec<Op>) -> BuildStep {
    BuildStep {
        id: id.to_owned(),
        name: format!("the step {id}"),
        base,
        env: vec![("PATH".to_owned(), "/bin".to_owned())],
        cwd: "/".to_owned(),
        user: String::new(),
        ops,
    }
}

/// The step that makes busybox a base.
pub(crate) fn busybox() -> BuildStep {
    step("base", Base::Scratch, vec![copy("rootfs", "/")])
}

/// A copy from the source.
pub(crate) fn copy(source: &str, dest: &str) -> Op {
    Op::Copy(Copy {
        origin: Origin::Source,
        sources: vec![source.to_owned()],
        exclude: Vec::new(),
        dest: dest.to_owned(),
        chown: None,
        chmod: None,
        parents: false,
    })
}

/// A shell script without network.
pub(crate) fn script(text: &str) -> Run {
    Run {
        argv: ["/bin/sh", "-c", text].map(str::to_owned).to_vec(),
        env: Vec::new(),
        cwd: None,
        user: None,
        network: false,
        mounts: Vec::new(),
        timeout_ms: Some(60_000),
    }
}

/// A plan whose only output is the result of its last step.
pub(crate) fn plan(steps: Vec<BuildStep>) -> BuildPlan {
    let step = steps.last().unwrap().id.clone();
    let config = RunConfig { cmd: vec!["/bin/sh".to_owned()], ..RunConfig::default() };
    let output = Output { name: "app".to_owned(), artifact: OutputKind::Image { step, config } };
    BuildPlan { steps, outputs: vec![output], ..BuildPlan::default() }
}

/// busybox and one script on it.
pub(crate) fn scripted(run: Run) -> BuildPlan {
    plan(vec![busybox(), step("app", Base::Step("base".to_owned()), vec![Op::Run(run)])])
}

/// A variable of the build.
pub(crate) fn variable(name: &str, value: &str, secret: bool) -> BuildVariable {
    BuildVariable { name: name.to_owned(), value: Secret::new(value.to_owned()), secret }
}

/// A registry on the loopback address.
pub(crate) struct Registry {
    pub(crate) address: String,
    _running: DockerRegistry,
}

impl Registry {
    /// Starts an empty one on a free port.
    pub(crate) fn start() -> Self {
        Self::of(DockerRegistry::start())
    }

    /// The same, for the login of guarded registries alone.
    pub(crate) fn start_guarded() -> Self {
        Self::of(DockerRegistry::start_guarded())
    }

    fn of(running: DockerRegistry) -> Self {
        Self { address: running.address.clone(), _running: running }
    }

    /// Pushes a blob of an image that is pushed afterwards.
    pub(crate) fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let url = format!("http://{}/v2/{repository}/blobs/uploads/", self.address);
        let answer = ureq::post(&url).send_empty().unwrap();
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        let put = ureq::put(&location).query("digest", digest.as_str());
        put.header("content-type", "application/octet-stream").send(bytes).unwrap();
        digest
    }

    /// Pushes an image of busybox and returns the manifest's digest.
    pub(crate) fn push(&self, repository: &str, tag: &str, architecture: &str) -> Digest {
        self.push_with(repository, tag, architecture, "")
    }

    /// The same with a file of this content in it.
    pub(crate) fn push_with(
        &self,
        repository: &str,
        tag: &str,
        architecture: &str,
        note: &str,
    ) -> Digest {
        let root = tempfile::tempdir().unwrap();
        write_rootfs(root.path());
        if !note.is_empty() {
            std::fs::write(root.path().join("note"), note).unwrap();
        }
        self.push_image(repository, tag, architecture, &[packed(root.path())])
    }

    /// Pushes an image of busybox with more layers, each with files of its own.
    pub(crate) fn push_layers(&self, repository: &str, architecture: &str, more: usize) -> Digest {
        let root = tempfile::tempdir().unwrap();
        write_rootfs(root.path());
        let mut layers = vec![packed(root.path())];
        for n in 0..more {
            let dir = tempfile::tempdir().unwrap();
            let write = |name: &str, text: String| {
                std::fs::write(dir.path().join(name), text + "\n").unwrap();
            };
            write(&format!("layer-{n}"), format!("of layer {n}"));
            write("same", format!("written by {n}"));
            write(&format!("gone-{n}"), String::new());
            if let Some(before) = n.checked_sub(1) {
                write(&format!(".wh.gone-{before}"), String::new());
            }
            layers.push(packed(dir.path()));
        }
        self.push_image(repository, "1", architecture, &layers)
    }

    /// Pushes an image of one layer, which has a file of so many zeros.
    pub(crate) fn push_zeros(&self, repository: &str, architecture: &str, bytes: u64) -> Digest {
        let dir = tempfile::tempdir().unwrap();
        std::fs::File::create(dir.path().join("zeros")).unwrap().set_len(bytes).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        tar.sparse(false);
        tar.append_path_with_name(dir.path().join("zeros"), "zeros").unwrap();
        self.push_image(repository, "1", architecture, &[tar.into_inner().unwrap()])
    }

    fn push_image(
        &self,
        repository: &str,
        tag: &str,
        architecture: &str,
        layers: &[Vec<u8>],
    ) -> Digest {
        let mut described = Vec::new();
        for layer in layers {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut gz, layer).unwrap();
            let gz = gz.finish().unwrap();
            described.push(serde_json::json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": gz.len(),
                "digest": self.push_blob(repository, &gz).as_str(),
            }));
        }
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux",
            "config": {"Env": ["PATH=/bin", "GREETING=hello"], "WorkingDir": "/tmp", "User": "app"},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        })
        .to_string();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(),
                "digest": self.push_blob(repository, config.as_bytes()).as_str(),
            },
            "layers": described,
        });
        self.push_document(repository, tag, &manifest)
    }

    /// Pushes an index, whose images are there, or a manifest, whose blobs are.
    pub(crate) fn push_index(
        &self,
        repository: &str,
        tag: &str,
        index: &serde_json::Value,
    ) -> Digest {
        self.push_document(repository, tag, index)
    }

    fn push_document(&self, repository: &str, tag: &str, document: &serde_json::Value) -> Digest {
        let text = document.to_string();
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.address);
        let media_type = document["mediaType"].as_str().unwrap();
        ureq::put(&url).header("content-type", media_type).send(text.as_bytes()).unwrap();
        Digest::of(text.as_bytes())
    }

    /// The first layer of an image.
    pub(crate) fn layer_of(&self, repository: &str, tag: &str) -> Digest {
        let manifest = self.document(repository, &format!("manifests/{tag}"));
        manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap()
    }

    /// A document as the registry has it: `manifests/TAG`, or `blobs/DIGEST` of a configuration.
    pub(crate) fn document(&self, repository: &str, name: &str) -> serde_json::Value {
        let url = format!("http://{}/v2/{repository}/{name}", self.address);
        let accept = "application/vnd.oci.image.manifest.v1+json";
        let mut answer = ureq::get(&url).header("accept", accept).call().unwrap();
        answer.body_mut().read_json().unwrap()
    }
}

/// A directory as a tar.
pub(crate) fn packed(dir: &Path) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    tar.mode(tar::HeaderMode::Deterministic);
    tar.append_dir_all("", dir).unwrap();
    tar.into_inner().unwrap()
}
