//! Removes a host from its machine: everything that runs, and everything outside the data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use windlass_containers::Engine;
use windlass_model::{Failure, Limits};
use windlass_proxy::ProxyClient;
use windlass_store::StoreAddresses;

use crate::config::proxy_socket;
use crate::open_store;

/// Which host to remove.
#[derive(Debug, Clone)]
pub struct TeardownConfig {
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Socket of the containerd that it was given, if it was.
    pub containerd: Option<PathBuf>,
    /// This binary.
    pub exe: PathBuf,
}

/// How long the proxy may take to end its requests.
const PROXY_ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Stops the proxy, every container and Windlass's own containerd, and removes networks, rules and
/// control groups. The data directory stays, so `windlass serve` on it starts from the same state;
/// its live deployments are started again then.
///
/// # Errors
/// `store.in-use` while `windlass serve` runs on the data directory, or what could not be removed.
pub async fn teardown(config: TeardownConfig) -> Result<(), Failure> {
    refuse_no_host(&config.data_dir)?;
    let store = open_store(&config.data_dir, &Limits::default()).await?;
    stop_proxy(&config.data_dir, &store).await?;
    let addresses = StoreAddresses::new(store.clone(), Arc::new(|_| false));
    let engine = windlass_containers::Config {
        data_dir: config.data_dir,
        host_id: store.host_id().clone(),
        containerd: config.containerd,
        logger_exe: config.exe,
        limits: Limits::default(),
    };
    let engine = Engine::start(engine, Arc::new(addresses))
        .await
        .map_err(|e| e.failure("the container runtime could not be reached"))?;
    engine.teardown_host().await.map_err(|e| e.failure("not everything could be removed"))
}

/// Opening a store makes one: a mistyped folder must not become a host.
fn refuse_no_host(data_dir: &Path) -> Result<(), Failure> {
    if data_dir.join("store").is_dir() {
        return Ok(());
    }
    Err(Failure::app(
        "teardown.no-host",
        format!("there is no host in {}", data_dir.display()),
        "the folder holds no state of Windlass; nothing was stopped",
        "name the folder that `windlass serve` uses with --data-dir",
    ))
}

async fn stop_proxy(data_dir: &Path, store: &windlass_store::Store) -> Result<(), Failure> {
    let socket = proxy_socket(data_dir);
    if !ProxyClient::answers(&socket).await {
        return Ok(());
    }
    let failed = |why: String| {
        Failure::host(
            "teardown.proxy",
            "the proxy could not be stopped",
            why,
            "find it with `pgrep -f 'windlass proxy'`, stop it, and run this again",
        )
    };
    let epoch = crate::next_epoch(store).await?;
    let client = ProxyClient::connect(&socket, epoch).await.map_err(|e| failed(e.to_string()))?;
    client.shutdown().await.map_err(|e| failed(e.to_string()))?;
    let gone = async {
        while ProxyClient::answers(&socket).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PROXY_ENDS_WITHIN, gone)
        .await
        .map_err(|_| failed(format!("it still answers after {} s", PROXY_ENDS_WITHIN.as_secs())))
}
