//! Ending everything of a host on this machine: for tests, the demo and an uninstallation.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Engine, own};
use crate::cgroup::Cgroup;
use crate::error::{Result, RuntimeError};
use crate::mount;
use crate::runtime::{Labels, Runtime};
use crate::shims;
use crate::snapshots::blocking;

impl Engine {
    /// Kills and deletes every container of this host.
    pub async fn shutdown_all(&self) -> Result<()> {
        for container in self.container_list(&Labels::new()).await? {
            self.delete(&container.id).await?;
        }
        Ok(())
    }

    /// Removes everything of this host from the machine but its data directory: containers, networks,
    /// nft table, control groups, mounts, helpers and our own containerd.
    pub async fn teardown_host(self) -> Result<()> {
        self.shutdown_all().await?;
        for task in &self.inner.background {
            task.abort();
        }
        let network = self.network();
        blocking(move || network.teardown()).await?;
        if self.inner.config.containerd.is_none() {
            own::stop(self.paths()).await;
        }
        let paths = self.paths().clone();
        blocking(move || {
            for shim in shims::of(paths.namespace()) {
                shim.end(paths.namespace());
            }
            Cgroup::new(paths.cgroup()).destroy();
            for mounted in mounts_below(paths.run()).into_iter().chain(mounts_below(paths.data())) {
                mount::unmount(&mounted);
            }
            remove_tree(paths.run())
        })
        .await
    }
}

/// Mount points below a directory, deepest first.
pub(crate) fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(1));
    let mut points: Vec<PathBuf> =
        points.map(PathBuf::from).filter(|point| point.starts_with(dir)).collect();
    points.sort();
    points.reverse();
    points
}

/// Removes a tree; the last shim may be writing into it for a moment.
fn remove_tree(dir: &Path) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        match std::fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(RuntimeError::io("remove", dir)(error)),
        }
    }
}
