//! The control plane: API, pipeline, plugins, state. `windlass serve`.
//!
//! **Invariants**
//! - Only the pipeline's runner writes a deployment's state; handlers store intents.
//! - This process may be killed and started again at any moment: what serves goes on serving, and
//!   what was being done goes on by the pipeline's table.
//!
//! Reading order: [`pipeline`] (the whole pipeline is one table), [`host`], `reconcile`, [`control`],
//! [`api`].

pub mod access;
pub mod api;
pub mod backup;
mod commands;
mod config;
pub mod control;
mod cron;
mod diagnose;
mod disk;
mod failpoint;
pub mod host;
mod logs;
mod observe;
mod pipeline;
mod plugins;
mod probe;
mod proxy_process;
mod reconcile;
pub mod recover;
mod resolve;
mod routes;
mod running;
mod sessions;
pub mod source;
pub mod steplog;
mod supervise;
mod teardown;
#[cfg(test)]
mod testing;
pub mod volumes;
mod webhook;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use windlass_build::{BaseConfig, BasePolicy, Bases, BuildConfig, Builder, Mirror};
use windlass_containers::{Engine, Runtime};
use windlass_model::{Failure, Limits, Timestamp};
use windlass_sandbox::{Sandbox, SandboxConfig};
use windlass_store::{Store, StoreAddresses};

pub use config::ServeConfig;
pub use host::Host;
pub use recover::{RecoverConfig, recover};
pub use teardown::{TeardownConfig, teardown};

/// Runs the control plane until SIGTERM or SIGINT. Deployments that run then are taken up by the next
/// start; live ones are not touched.
///
/// # Errors
/// Why it could not start, as a person can mend it.
pub async fn serve(config: ServeConfig) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = signals()?;
    // To remove what a build has nested deeply takes one for each level.
    if let Err(error) = windlass_proxy::raise_open_files() {
        tracing::debug!(%error, "the open-file limit stays as it is");
    }
    backup::check(&config.limits)?;
    let store = open_store(&config.data_dir, &config.limits).await?;
    failpoint::arm(&config.data_dir);
    source::ssh::remove_leftovers(&config.data_dir);
    let access = access::Access::open(&config.data_dir, &config.limits)?;
    let listener = bind(&config)?;
    let host = assemble(config, store).await?;
    pipeline::ahead::remove_leftovers(&host);
    let work = {
        let host = host.clone();
        tokio::spawn(async move {
            reconcile::reconcile(&host).await;
            let sweep = pipeline::prune::sweep(host.clone());
            let hooks = webhook::run(host.clone());
            let supervision = supervise::work(host.clone());
            let record = observe::recorder::record(host.clone());
            let disk = disk::keep(host.clone());
            let plugins = plugins::watch(host.clone());
            let cron = cron::work(host.clone());
            let accounts = plugins::keep_accounts(host.clone());
            let queue = pipeline::queue::work(host);
            tokio::join!(queue, sweep, hooks, supervision, record, disk, plugins, cron, accounts);
        })
    };
    let keeper = tokio::spawn(proxy_process::keep(host.config.clone()));
    tokio::spawn(access::key::resume(host.clone()));
    announce(&host).await;
    let backup = tokio::spawn(backup::keep(host.clone()));
    let served = tokio::select! {
        served = api::serve(listener, host.clone(), access) => served,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    work.abort();
    keeper.abort();
    backup.abort();
    host.plugins.keep_accounts(&host.store).await;
    tracing::info!("stopped; what is live goes on serving");
    served
}

fn signals() -> Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal), Failure> {
    let failed = |e: std::io::Error| {
        Failure::host("serve.signals", "signals cannot be received", e.to_string(), "restart")
    };
    Ok((
        signal(SignalKind::terminate()).map_err(failed)?,
        signal(SignalKind::interrupt()).map_err(failed)?,
    ))
}

async fn open_store(data_dir: &Path, limits: &Limits) -> Result<Store, Failure> {
    let (data_dir, limits) = (data_dir.to_owned(), limits.clone());
    let opened = tokio::task::spawn_blocking(move || Store::open(&data_dir, limits)).await;
    match opened {
        Ok(Ok(store)) => Ok(store),
        Ok(Err(error)) => Err(error.to_failure()),
        Err(error) => Err(Failure::host(
            "store.open-failed",
            "the state could not be opened",
            error.to_string(),
            "report it with the log; the newest backup is in `backups` in the data directory",
        )),
    }
}

fn bind(config: &ServeConfig) -> Result<tokio::net::TcpListener, Failure> {
    windlass_proxy::listen_on(config.api_listen).map_err(|e| {
        Failure::host(
            "serve.api-address",
            format!("the API cannot listen on {}", config.api_listen),
            e.to_string(),
            "free the port, or choose another with `--api-listen`",
        )
    })
}

/// Starts or adopts everything that the host stands on.
async fn assemble(config: ServeConfig, store: Store) -> Result<Arc<Host>, Failure> {
    let in_use = Arc::new(windlass_containers::subnet_in_use);
    let addresses = Arc::new(StoreAddresses::new(store.clone(), in_use));
    let engine_config = config.engine(store.host_id().clone());
    let epoch = next_epoch(&store).await?;
    let mirrors = config.registry_mirrors.iter().map(|text| text.parse());
    let mirrors = mirrors.collect::<Result<Vec<Mirror>, Failure>>()?;
    // Before anything is started: a proxy without a host would stay behind.
    Engine::check_machine().map_err(|e| e.failure("the container runtime could not be started"))?;
    let (engine, proxy) = tokio::join!(
        Engine::start(engine_config, addresses),
        proxy_process::ensure(&config, epoch)
    );
    let runtime: Arc<dyn Runtime> =
        Arc::new(engine.map_err(|e| e.failure("the container runtime could not be started"))?);
    let proxy = proxy?;
    let builder = builder(&config, runtime.clone(), mirrors);
    builder.sweep_work().await?;
    let sandbox = sandbox(&config)?;
    let installed = config.data_dir.join("plugins");
    let plugins = plugins::Plugins::load(sandbox, &config.bundled_plugins, &installed);
    plugins.restore_accounts(&store)?;
    Ok(Arc::new(Host {
        logs: steplog::StepLogs::new(&config.data_dir, &config.limits),
        observe: observe::Observe::new(&config.data_dir, &config.limits),
        store,
        runtime,
        builder,
        plugins,
        proxy,
        wake: Notify::new(),
        since: Timestamp::now(),
        locks: Mutex::new(HashMap::new()),
        looks: tokio::sync::Semaphore::new(config.limits.deployments_running_max.max(1)),
        lookups: pipeline::egress::Lookups::default(),
        building: pipeline::Building::default(),
        built: Notify::new(),
        cron: cron::Cron::new(&config.limits),
        stages: pipeline::custom::Stages::new(&config.limits),
        table: &pipeline::TABLE,
        config,
    }))
}

fn builder(config: &ServeConfig, runtime: Arc<dyn Runtime>, mirrors: Vec<Mirror>) -> Builder {
    let bases = BaseConfig {
        data_dir: config.data_dir.clone(),
        policy: BasePolicy::Auto,
        cache_dir: config.base_cache_dir.clone(),
        certificates: None,
    };
    let bases = Bases::with_mirrors(runtime.clone(), bases, mirrors);
    let build = BuildConfig {
        data_dir: config.data_dir.clone(),
        limits: config.limits.clone(),
        certificates: None,
    };
    Builder::new(runtime, bases, build)
}

fn sandbox(config: &ServeConfig) -> Result<Sandbox, Failure> {
    let sandbox = SandboxConfig {
        cache_dir: config.data_dir.join("cache").join("plugins"),
        limits: config.limits.plugin.clone(),
        compiler: config.exe.clone(),
        compiler_args: vec!["__compile".to_owned()],
        images: None,
    };
    Sandbox::new(sandbox).map_err(|e| {
        Failure::host(
            "serve.sandbox",
            "the plugin sandbox could not be set up",
            e.to_string(),
            "check the permissions of `cache/plugins` in the data directory",
        )
    })
}

/// A number that grows with every start of this host: an older `serve` can no longer change routes.
async fn next_epoch(store: &Store) -> Result<u64, Failure> {
    let epoch = last_epoch(store)? + 1;
    keep_epoch(store, epoch).await?;
    Ok(epoch)
}

/// Where the epoch is kept.
const EPOCH: (&str, &str) = ("proxy", "epoch");

/// The epoch of the last start; 0 before the first.
pub(crate) fn last_epoch(store: &Store) -> Result<u64, Failure> {
    let last: Option<u64> = store.cache_get_as(EPOCH.0, EPOCH.1).map_err(|e| e.to_failure())?;
    Ok(last.unwrap_or(0))
}

pub(crate) async fn keep_epoch(store: &Store, epoch: u64) -> Result<(), Failure> {
    store.cache_put_as(EPOCH.0, EPOCH.1, &epoch).await.map_err(|e| e.to_failure())
}

/// Says aloud where things listen.
async fn announce(host: &Host) {
    let listeners = host.proxy.listeners().await.unwrap_or_default();
    for listener in &listeners {
        tracing::info!("the proxy serves on http://{listener}");
    }
    tracing::info!("the API listens on http://{}", host.config.api_listen);
}
