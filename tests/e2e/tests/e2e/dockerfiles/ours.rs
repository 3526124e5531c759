//! Windlass's side: the real plugin in the sandbox, the real builder on a containerd of its own, without the
//! control plane around them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use windlass_build::{
    Access as ImageAccess, ArchiveFormat, BaseConfig, BasePolicy, Bases, BuildConfig, BuildRequest,
    BuildVariable, Builder,
};
use windlass_containers::runtime::Access;
use windlass_containers::{Config, Engine, Runtime};
use windlass_model::plan::{BuildPlan, Context};
use windlass_model::settings::Settings;
use windlass_model::{DeploymentId, Digest, EnvironmentName, HostId, Limits, Secret};
use windlass_sandbox::{
    ImageConfig, ImageError, ImageLookup, Plugin, Sandbox, SandboxConfig, Source,
};
use windlass_test_support::addresses::TestAddresses;
use windlass_test_support::{binary, scratch};

use super::peer::Wanted;
use super::tree::{Tree, of_dir, of_saved};

/// Windlass without its control plane.
pub(crate) struct Ours {
    engine: Engine,
    runtime: Arc<dyn Runtime>,
    builder: Builder,
    sandbox: Sandbox,
    plugin: Plugin,
    host_id: HostId,
    data: tempfile::TempDir,
}

/// What came out.
pub(crate) struct Built {
    pub(crate) tree: Tree,
    pub(crate) config: Tree,
    pub(crate) cached: bool,
}

impl Ours {
    pub(crate) async fn start() -> Self {
        let data = scratch("ours");
        let host_id = HostId::generate();
        let config = Config {
            data_dir: data.path().to_owned(),
            host_id: host_id.clone(),
            containerd: None,
            logger_exe: binary(),
            limits: Limits::default(),
        };
        let engine = Engine::start(config, TestAddresses::new(217)).await.unwrap();
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
        let (data_dir, limits) = (data.path().to_owned(), Limits::default());
        let config = BuildConfig { data_dir, limits, certificates: None };
        let builder = Builder::new(Arc::clone(&runtime), bases, config);
        let sandbox = Sandbox::new(SandboxConfig {
            cache_dir: data.path().join("plugins"),
            limits: Limits::default().plugin,
            compiler: binary(),
            compiler_args: vec!["__compile".to_owned()],
            images: Some(Arc::new(Lookup(builder.clone()))),
        })
        .unwrap();
        let plugin = binary().with_file_name("plugins").join("dockerfile.wasm");
        let plugin = sandbox.load(&plugin, true).unwrap();
        Self { engine, runtime, builder, sandbox, plugin, host_id, data }
    }

    /// Plans as a deployment would.
    async fn plan(&self, wanted: &Wanted<'_>) -> Result<BuildPlan, String> {
        let mut file = format!("[build]\ndockerfile = {:?}\n", wanted.dockerfile);
        file.extend(wanted.target.iter().map(|target| format!("target = {target:?}\n")));
        file.push_str("[build.args]\n");
        file.extend(wanted.args.iter().map(|(name, value)| format!("{name} = {value:?}\n")));
        let settings = Settings::parse(&file, &EnvironmentName::production()).unwrap();
        let context = Context {
            platform: format!(
                "linux/{}",
                if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
            ),
            config_json: settings.plugin_config(),
            options_json: String::new(),
            variable_names: wanted.secret.iter().map(|_| "BUILD_TOKEN".to_owned()).collect(),
            ..Context::default()
        };
        let tree = Digest::of(wanted.context.to_str().unwrap().as_bytes());
        let source = Source::open(wanted.context, tree).unwrap();
        let report = self.sandbox.detect(&self.plugin, &source, &context).await.result.unwrap();
        let chosen = report.detections.into_iter().next().unwrap();
        let plan = self.sandbox.plan(&self.plugin, &source, &context, &chosen).await.result;
        plan.map_err(|fault| fault.to_string())
    }

    /// Builds, saves the image, and gives the files and the configuration.
    pub(crate) async fn build(&self, wanted: &Wanted<'_>) -> Result<Built, String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let variable = |value: &&str| BuildVariable {
            name: "BUILD_TOKEN".to_owned(),
            value: Secret::new((*value).to_owned()),
            secret: true,
        };
        let request = BuildRequest {
            project: "shop".parse().unwrap(),
            environment: EnvironmentName::production(),
            deployment: DeploymentId::generate(),
            plan: self.plan(wanted).await?,
            source_dir: wanted.context.to_owned(),
            app_dir: String::new(),
            source_digests: None,
            variables: wanted.secret.iter().map(variable).collect(),
            log: Arc::new(move |line| sink.lock().unwrap().push(line.text)),
            bases: Arc::new(|_, _| ()),
            cancel: CancellationToken::new(),
            access: ImageAccess::default(),
            cache: windlass_build::CacheUse::default(),
            labels: BTreeMap::new(),
        };
        let outcome = self.builder.build(request).await;
        let log = || lines.lock().unwrap().join("\n");
        let outcome = outcome.map_err(|failure| format!("{failure:#?}\n{}", log()))?;
        let cached = outcome.all_cached();
        let output = &outcome.artifact.outputs[0];
        let saved = self.data.path().join("saved.tar");
        let save = self.builder.save(&outcome.artifact, None, ArchiveFormat::Docker, &saved).await;
        save.map_err(|failure| format!("{failure:#?}"))?;
        let mounted =
            self.runtime.mount_snapshot(&output.snapshot, Access::ReadOnly).await.unwrap();
        Ok(Built { tree: of_dir(mounted.path()), config: of_saved(&saved), cached })
    }

    /// Ends it and proves that nothing is left of it on the machine.
    pub(crate) async fn finish(self) {
        let Self { engine, runtime, builder, sandbox, host_id, .. } = self;
        drop((runtime, builder, sandbox));
        engine.teardown_host().await.unwrap();
        let left = || windlass_containers::leak::machine(&host_id);
        windlass_test_support::wait_for(
            "nothing is left",
            std::time::Duration::from_secs(20),
            || if left().is_empty() { Ok(()) } else { Err(format!("{:?}", left())) },
        );
    }
}

/// What the control plane answers, see `daemon/src/pipeline/images.rs`.
struct Lookup(Builder);

#[async_trait::async_trait]
impl ImageLookup for Lookup {
    async fn config(&self, reference: &str, _platform: &str) -> Result<ImageConfig, ImageError> {
        let found = self.0.describe_image(reference, ImageAccess::default()).await;
        let (digest, config) = found.map_err(|_| ImageError::NotFound)?;
        Ok(ImageConfig::new(&digest, config))
    }
}
