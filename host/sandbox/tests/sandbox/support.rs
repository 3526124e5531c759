//! The guest, a sandbox around it, and a source that tells it what to do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use windlass_model::Digest;
use windlass_model::limits::PluginLimits;
use windlass_model::plan::{Context, DetectReport};
use windlass_sandbox::{Call, Plugin, Sandbox, SandboxConfig, Source};

/// A sandbox with the guest loaded.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) guest: Plugin,
    pub(crate) cache: TempDir,
    pub(crate) config: SandboxConfig,
}

/// Limits that keep the tests short, without being so tight that a busy machine breaks them.
pub(crate) fn limits() -> PluginLimits {
    PluginLimits {
        wall_ms: 4_000,
        cpu_ms: 1_000,
        memory_bytes_max: 64 << 20,
        log_bytes_max: 4_096,
        resources_max: 1_000,
        ..PluginLimits::default()
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(limits())
    }

    pub(crate) fn with(limits: PluginLimits) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let config = SandboxConfig {
            cache_dir: cache.path().to_owned(),
            limits,
            compiler: compiler(),
            compiler_args: vec!["__compile".to_owned()],
            images: None,
        };
        let sandbox = Sandbox::new(config.clone()).unwrap();
        let guest = sandbox.load(&guest(), false).unwrap();
        Self { sandbox, guest, cache, config }
    }

    /// `detect` on a source that asks for a behaviour.
    pub(crate) async fn detect(&self, behaviour: &str) -> Call<DetectReport> {
        let folder = Folder::new(behaviour);
        self.sandbox.detect(&self.guest, &folder.source(), &context()).await
    }

    /// That the sandbox still works, whatever happened before.
    pub(crate) async fn assert_works(&self) {
        let call = self.detect("ok").await;
        assert_eq!(call.result.unwrap().detections[0].id, "test-guest");
    }
}

pub(crate) fn context() -> Context {
    Context {
        platform: "linux/amd64".to_owned(),
        config_json: "{}".to_owned(),
        ..Context::default()
    }
}

/// A source folder.
pub(crate) struct Folder {
    source: PathBuf,
    _parent: TempDir,
}

impl Folder {
    /// With a file that tells the guest what to do.
    pub(crate) fn new(behaviour: &str) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = Self { source: parent.path().join("source"), _parent: parent };
        folder.write("behave", behaviour);
        folder
    }

    /// The source. What lies beside it is outside, and goes with it.
    pub(crate) fn path(&self) -> &Path {
        &self.source
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.source.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Opened under a digest that only this folder has.
    pub(crate) fn source(&self) -> Source {
        let digest = Digest::of(self.source.as_os_str().as_encoded_bytes());
        Source::open(&self.source, digest).unwrap()
    }
}

/// The guest's file, built on first use; other test processes wait for the one that builds.
pub(crate) fn guest() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("windlass-test-guest")).clone()
}

/// The same of the guest with custom stages.
pub(crate) fn stages() -> PathBuf {
    built("windlass-test-stages")
}

fn built(package: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = target_dir();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", package])
        .args(["--target", "wasm32-wasip2", "--profile", "plugin", "--target-dir"])
        .arg(&target)
        .current_dir(root);
    // What cargo set for this test must not make the guest be built anew each time.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let sets = text.starts_with("CARGO_") || text.starts_with("NEXTEST") || text == "RUSTFLAGS";
        if sets && text != "CARGO_HOME" {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.status().unwrap();
    assert!(status.success(), "{package} does not build");
    target.join(format!("wasm32-wasip2/plugin/{}.wasm", package.replace('-', "_")))
}

fn compiler() -> PathBuf {
    target_dir().join("debug/examples/sandbox")
}

/// The target directory that this test was built in: `<target>/debug/deps/<test>`.
fn target_dir() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().to_owned()
}
