//! What `windlass serve` is started with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use windlass_model::{HostId, Limits};

/// Settings of the control plane.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where the API listens.
    pub api_listen: SocketAddr,
    /// Socket of an existing containerd; Windlass runs its own when absent.
    pub containerd: Option<PathBuf>,
    /// Where the proxy listens; empty means port 80, or 8080 when that is taken or not permitted.
    pub proxy_listen: Vec<SocketAddr>,
    /// Folder of the plugins that came with Windlass.
    pub bundled_plugins: PathBuf,
    /// Folder of assembled base images that several hosts on a machine may share.
    pub base_cache_dir: Option<PathBuf>,
    /// Mirrors of registries, each `REGISTRY=ADDRESS`.
    pub registry_mirrors: Vec<String>,
    /// The limits in force.
    pub limits: Limits,
    /// This binary, by a path that survives upgrades: the proxy and the loggers are started from it.
    pub exe: PathBuf,
}

impl ServeConfig {
    /// The proxy's control socket.
    pub fn proxy_socket(&self) -> PathBuf {
        proxy_socket(&self.data_dir)
    }

    /// How the container runtime is started.
    pub(crate) fn engine(&self, host_id: HostId) -> windlass_containers::Config {
        windlass_containers::Config {
            data_dir: self.data_dir.clone(),
            host_id,
            containerd: self.containerd.clone(),
            logger_exe: self.exe.clone(),
            limits: self.limits.clone(),
        }
    }

    /// The file in which the proxy keeps its table.
    pub fn proxy_table(&self) -> PathBuf {
        self.data_dir.join("proxy-table.json")
    }
}

/// The control socket of the proxy of a data directory.
pub(crate) fn proxy_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("proxy.sock")
}
