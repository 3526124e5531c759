//! The guest, a sandbox around it, and a source that tells it what to do.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use windlass_model::Digest;
use windlass_model::deployment::ArtifactProcess;
use windlass_model::limits::PluginLimits;
use windlass_model::plan::{Context, DetectReport, ProcessKind};
use windlass_sandbox::{Call, Plugin, Sandbox, SandboxConfig, Source};
pub(crate) use windlass_test_support::guest::{component as guest, stages};

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

/// A process that health components are asked about.
pub(crate) fn web() -> ArtifactProcess {
    ArtifactProcess {
        name: "web".parse().unwrap(),
        output: "site".to_owned(),
        kind: ProcessKind::Web,
        argv: Vec::new(),
        port: Some(3000),
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

fn compiler() -> PathBuf {
    target_dir().join("debug/examples/sandbox")
}

/// The target directory that this test was built in: `<target>/debug/deps/<test>`.
fn target_dir() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().to_owned()
}
