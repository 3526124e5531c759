//! The engine: one containerd, its own or a given one, in a namespace of this host's id.
//!
//! **Invariant: everything the engine makes outside the data directory carries the host id**, so that
//! two hosts on one machine never meet: namespace, runc's root, sockets, cgroups, bridges, nft table.

pub(crate) mod again;
mod own;
mod paths;
mod runtime;
mod teardown;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use containerd_client::tonic::Request;
use prost_types::Any;
use windlass_model::network::Addresses;
use windlass_model::{HostId, Limits};

use crate::client::Client;
use crate::doctor;
use crate::error::{Result, RuntimeError};
use crate::init;
use crate::network::{Netavark, Network};
use crate::runtime::Labels;
use crate::userns::IdMap;
pub use paths::Paths;

/// What the engine needs to know to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory, for instance `/var/lib/windlass`.
    pub data_dir: PathBuf,
    /// Id of this host.
    pub host_id: HostId,
    /// Socket of a containerd to use; `None` runs our own.
    pub containerd: Option<PathBuf>,
    /// The `windlass` binary, under a path that stays the same across upgrades: containerd's shims
    /// start it as the logger of every container.
    pub logger_exe: PathBuf,
    /// The limits in force.
    pub limits: Limits,
}

/// A container runtime on a real containerd. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    lease: Option<String>,
}

struct Inner {
    config: Config,
    paths: Paths,
    client: Client,
    runtime_options: Any,
    network: Arc<dyn Network>,
    /// For containers with a user namespace of their own, where the machine is able to.
    id_map: OnceLock<Arc<IdMap>>,
    /// Tasks in the background; they end with the engine.
    background: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.background {
            task.abort();
        }
    }
}

/// How long a start or an adoption of containerd may take.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// How often the network is looked after.
const HEAL_EVERY: Duration = Duration::from_secs(2);

/// How long after a start containerd has ended, or given up, all that a killed predecessor asked for.
const CALMS_DOWN_AFTER: Duration = Duration::from_secs(30);

impl Engine {
    /// Whether this process and this machine can run containers at all; nothing is started.
    ///
    /// # Errors
    /// [`RuntimeError::NotRoot`], or [`RuntimeError::MissingPart`] with the Debian package to install.
    pub fn check_machine() -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(RuntimeError::NotRoot);
        }
        doctor::Parts::find().map(drop)
    }

    /// Starts or adopts containerd and connects to it. Containers that run go on undisturbed.
    ///
    /// # Errors
    /// [`RuntimeError::MissingPart`] names the Debian package to install; [`RuntimeError::NotRoot`].
    pub async fn start(config: Config, addresses: Arc<dyn Addresses>) -> Result<Self> {
        let parts = doctor::Parts::find()?;
        let paths = Paths::new(&config);
        paths.create()?;
        init::install(paths.data())?;
        let network: Arc<dyn Network> =
            Arc::new(Netavark::new(&config.host_id, paths.network(), addresses, &parts));
        let mut background = vec![tokio::spawn(heal(Arc::clone(&network)))];
        let client = match &config.containerd {
            Some(socket) => Client::connect(socket, paths.namespace()).await?,
            None => {
                let own = own::Own::new(&paths, &parts);
                own.ensure(START_DEADLINE).await?;
                background.push(tokio::spawn(own.supervise()));
                spread_snapshots(&paths);
                Client::connect(&paths.socket(), paths.namespace()).await?
            }
        };
        let runtime_options = runc_options(&paths, &parts);
        sweep_mounts(&paths);
        // It takes as long as all of the rest, and meets none of it.
        let probing = tokio::spawn(id_map(paths.clone(), config.containerd.clone()));
        let id_map = OnceLock::new();
        let inner = Inner { config, paths, client, runtime_options, network, id_map, background };
        let engine = Self { inner: Arc::new(inner), lease: None };
        engine.ensure_namespace().await?;
        engine.sweep_temporary().await?;
        engine.sweep_orphans().await?;
        engine.sweep_sessions().await;
        tokio::spawn(sweep_shims(Arc::downgrade(&engine.inner)));
        match probing.await.map_err(|e| e.to_string()).flatten() {
            Ok(map) => drop(engine.inner.id_map.set(Arc::new(map))),
            Err(why) => {
                tracing::info!(why, "root in builds is the host's root, without its capabilities");
            }
        }
        Ok(engine)
    }

    /// Where the engine keeps things.
    pub fn paths(&self) -> &Paths {
        &self.inner.paths
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Id of the process of our own containerd; `None` when a given one is used or none lives.
    pub fn containerd_pid(&self) -> Option<u32> {
        self.inner.config.containerd.is_none().then(|| own::live_pid(&self.inner.paths)).flatten()
    }

    pub(crate) fn with_lease(&self, lease: &str) -> Self {
        Self { inner: Arc::clone(&self.inner), lease: Some(lease.to_owned()) }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.inner.client
    }

    pub(crate) fn id_map(&self) -> Option<Arc<IdMap>> {
        self.inner.id_map.get().cloned()
    }

    pub(crate) fn network(&self) -> Arc<dyn Network> {
        Arc::clone(&self.inner.network)
    }

    pub(crate) fn runtime_options(&self) -> Any {
        self.inner.runtime_options.clone()
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        self.inner.client.request(message, self.lease.as_deref())
    }

    async fn ensure_namespace(&self) -> Result<()> {
        use crate::client::Idempotent;
        use containerd_client::services::v1::namespaces_client::NamespacesClient;
        use containerd_client::services::v1::{CreateNamespaceRequest, Namespace};
        let labels = crate::client::to_wire(&Labels::from([(
            "windlass/host".to_owned(),
            self.inner.config.host_id.to_string(),
        )]));
        let namespace = Namespace { name: self.paths().namespace().to_owned(), labels };
        let name = namespace.name.clone();
        NamespacesClient::new(self.client().channel())
            .create(self.request(CreateNamespaceRequest { namespace: Some(namespace) }))
            .await
            .unless_exists()
            .map_err(self.client().refused("create namespace", name))?;
        Ok(())
    }
}

/// Snapshots of many files come and go.
fn spread_snapshots(paths: &Paths) {
    let snapshots = paths.data().join("root/io.containerd.snapshotter.v1.overlayfs/snapshots");
    if let Err(error) = crate::spread_children(&snapshots) {
        tracing::debug!(%error, "snapshots lie beside each other on the disk");
    }
}

/// Once more, when what was asked for before a restart has come to its end in containerd as well.
async fn sweep_shims(engine: Weak<Inner>) {
    tokio::time::sleep(CALMS_DOWN_AFTER).await;
    let Some(inner) = engine.upgrade() else { return };
    if let Err(error) = (Engine { inner, lease: None }).sweep_shims().await {
        tracing::warn!(%error, "shims that containerd has lost may be left");
    }
}

/// Unmounts what a killed predecessor had mounted.
fn sweep_mounts(paths: &Paths) {
    for entry in std::fs::read_dir(paths.mounts()).into_iter().flatten().flatten() {
        crate::mount::unmount(&entry.path());
    }
}

/// The translation of owners, where the machine and its containerd are able to; else why not.
async fn id_map(paths: Paths, given: Option<PathBuf>) -> Result<IdMap, String> {
    let own = paths.data().join("root");
    let dir = if own.is_dir() { own } else { paths.data().to_owned() };
    let socket = given.unwrap_or_else(|| paths.socket());
    let probe = move || IdMap::probe(&dir.join("probe"), &paths.mounts(), Some(&socket));
    tokio::task::spawn_blocking(probe).await.map_err(|e| e.to_string()).flatten()
}

/// Looks after the network's helper and walls, now and at intervals.
async fn heal(network: Arc<dyn Network>) {
    loop {
        let network = Arc::clone(&network);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || network.heal()).await {
            tracing::warn!(%error, "the network could not be looked after");
        }
        tokio::time::sleep(HEAL_EVERY).await;
    }
}

/// `containerd.runc.v1.Options`, of which the client crate has no copy.
#[derive(Clone, PartialEq, prost::Message)]
struct RuncOptions {
    #[prost(string, tag = "6")]
    binary_name: String,
    #[prost(string, tag = "7")]
    root: String,
}

/// Without its own root, runc of two containerds share their state and kill each other's containers.
fn runc_options(paths: &Paths, parts: &doctor::Parts) -> Any {
    use prost::Message;
    let options = RuncOptions {
        binary_name: parts.runc.to_string_lossy().into_owned(),
        root: paths.runc().to_string_lossy().into_owned(),
    };
    Any { type_url: "containerd.runc.v1.Options".to_owned(), value: options.encode_to_vec() }
}
