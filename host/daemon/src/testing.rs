//! A host for tests: a store in memory, a fake container runtime and a real proxy. No containerd, no
//! root.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use windlass_containers::fake::FakeRuntime;
use windlass_model::deployment::{
    Artifact, ArtifactKind, ArtifactOutput, ArtifactProcess, Kind, MigrationRecord, Source,
};
use windlass_model::plan::{Migration, MigrationVerdict, ProcessKind, RunConfig};
use windlass_model::project::Project;
use windlass_model::settings::Settings;
use windlass_model::{
    Deployment, DeploymentStatus, Digest, EnvironmentName, Limits, ProjectName, Timestamp,
};
use windlass_proxy::{Listen, ProxyClient, ProxyConfig, ProxyLimits};
use windlass_store::Store;

use crate::config::ServeConfig;
use crate::control::Target;
use crate::host::Host;
use crate::pipeline::Row;
use crate::plugins::Plugins;
use crate::steplog::StepLogs;

pub(crate) struct TestHost {
    pub(crate) host: Arc<Host>,
    /// Its container runtime.
    pub(crate) runtime: Arc<FakeRuntime>,
    proxy: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Drop for TestHost {
    fn drop(&mut self) {
        self.proxy.abort();
    }
}

impl TestHost {
    pub(crate) async fn with(limits: Limits, table: &'static [Row]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = ServeConfig {
            data_dir: dir.path().to_owned(),
            api_listen: any,
            containerd: None,
            proxy_listen: vec![any],
            trusted_proxies: Vec::new(),
            bundled_plugins: dir.path().join("no-plugins"),
            base_cache_dir: None,
            registry_mirrors: Vec::new(),
            limits: limits.clone(),
            exe: PathBuf::from("/bin/false"),
        };
        let proxy = ProxyConfig {
            listen: Listen::Addresses(vec![any]),
            control_socket: config.proxy_socket(),
            table_file: config.proxy_table(),
            limits: ProxyLimits::default(),
            trusted_proxies: Vec::new(),
        };
        let proxy = tokio::spawn(async move { windlass_proxy::run(proxy).await.unwrap() });
        let runtime = Arc::new(FakeRuntime::new().unwrap());
        let store = Store::in_memory(limits).unwrap();
        let host = assemble(config, store, runtime.clone(), table).await;
        Self { host, runtime, proxy, _dir: dir }
    }

    /// What a killed host is after its next start: another one on the same store, containers and proxy,
    /// which has nothing of what the one before kept in memory. Nothing of that one may be at work.
    pub(crate) async fn start_anew(&mut self) {
        let store = self.host.store.opened_anew().unwrap();
        let config = self.host.config.clone();
        self.host = assemble(config, store, self.runtime.clone(), self.host.table).await;
    }

    /// The project `shop`, and what its [`artifact`]s run on.
    pub(crate) async fn shop(&self) -> Target {
        let project: ProjectName = "shop".parse().unwrap();
        self.host.store.create_project(&Project::new(project.clone())).await.unwrap();
        self.runtime.add_rootfs("app", &[("/etc/passwd", b"")]).unwrap();
        Target { project, environment: EnvironmentName::production() }
    }

    /// A new deployment with these settings is live, since then, without instances.
    pub(crate) async fn go_live(
        &self,
        target: &Target,
        settings: Settings,
        live_at: Option<Timestamp>,
    ) -> Deployment {
        let Target { project, environment } = target.clone();
        let queued = Deployment { project, environment, ..queued(0) };
        let stored = self.host.store.create_deployment(queued).await.unwrap();
        let mut deployment = stored.value;
        let (generation, replaced) = self.host.next_generation(&deployment).await.unwrap();
        deployment.status = DeploymentStatus::Live;
        deployment.live_at = live_at;
        deployment.outputs.generation = Some(generation);
        deployment.outputs.replaced = replaced;
        deployment.outputs.settings = Some(settings);
        deployment.outputs.artifact = Some(artifact());
        self.host.go_live(&deployment, stored.revision).await.unwrap();
        deployment
    }
}

/// A deployment of `shop` that nothing was done for yet. The store gives it a number of its own.
pub(crate) fn queued(number: u64) -> Deployment {
    let source = Source::Git { url: "file:///x".into(), reference: None };
    let (project, environment) = ("shop".parse().unwrap(), EnvironmentName::production());
    Deployment::queued(project, environment, number, Kind::Deploy, source, "test".into())
}

/// A web process and a worker, both in the root file system `app`.
pub(crate) fn artifact() -> Artifact {
    let process = |name: &str, kind| ArtifactProcess {
        name: name.parse().unwrap(),
        output: "app".into(),
        kind,
        argv: vec!["serve".into()],
        port: None,
    };
    Artifact {
        digest: Digest::of(b"artifact"),
        outputs: vec![ArtifactOutput {
            name: "app".into(),
            snapshot: "app".into(),
            kind: ArtifactKind::Image { config: RunConfig::default() },
        }],
        processes: vec![process("web", ProcessKind::Web), process("worker", ProcessKind::Worker)],
        bases: Vec::new(),
        toolchains: Vec::new(),
        plan: Digest::of(b"plan"),
    }
}

/// A migration that was run to its end.
pub(crate) fn migrated() -> MigrationRecord {
    MigrationRecord {
        migration: Migration {
            tool: "acme".into(),
            output: "app".into(),
            argv: vec!["acme".into()],
            cwd: String::new(),
            evidence: Vec::new(),
            verdict: MigrationVerdict::Run,
        },
        container: "c".into(),
        exit_code: Some(0),
    }
}

/// A host that stands on these, as `serve` makes it.
async fn assemble(
    config: ServeConfig,
    store: Store,
    runtime: Arc<FakeRuntime>,
    table: &'static [Row],
) -> Arc<Host> {
    let epoch = crate::next_epoch(&store).await.unwrap();
    let proxy = ProxyClient::connect(config.proxy_socket(), epoch).await.unwrap();
    let builder = crate::builder(&config, runtime.clone(), Vec::new());
    builder.sweep_work().await.unwrap();
    let sandbox = crate::sandbox(&config).unwrap();
    let installed = config.data_dir.join("plugins");
    let plugins = Plugins::load(sandbox, &config.bundled_plugins, &installed);
    plugins.restore_accounts(&store).unwrap();
    Arc::new(Host {
        plugins,
        logs: StepLogs::new(&config.data_dir, &config.limits),
        observe: crate::observe::Observe::new(&config.data_dir, &config.limits),
        store,
        builder,
        runtime,
        proxy,
        wake: tokio::sync::Notify::new(),
        since: Timestamp::now(),
        locks: Mutex::new(HashMap::new()),
        looks: tokio::sync::Semaphore::new(config.limits.deployments_running_max.max(1)),
        lookups: crate::pipeline::egress::Lookups::default(),
        building: crate::pipeline::Building::default(),
        built: tokio::sync::Notify::new(),
        cron: crate::cron::Cron::new(&config.limits),
        stages: crate::pipeline::custom::Stages::new(&config.limits),
        table,
        config,
    })
}
