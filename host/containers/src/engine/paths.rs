//! Where things are.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::engine::Config;
use crate::error::{Result, RuntimeError};

/// The engine's directories. What must outlive a reboot is under the data directory; sockets and
/// what dies with the machine are under a short path in `/run`, for a socket's path has at most 108
/// bytes.
#[derive(Debug, Clone)]
pub struct Paths {
    run: PathBuf,
    data: PathBuf,
    name: String,
}

impl Paths {
    /// The directories of this configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            run: Path::new("/run/windlass").join(config.host_id.as_str()),
            data: config.data_dir.join("containerd"),
            name: format!("windlass-{}", config.host_id),
        }
    }

    /// Makes them, readable by root alone. Who is root in a user namespace gets through to the folder that
    /// containerd made for its container, of which it knows the name.
    pub(crate) fn create(&self) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(RuntimeError::NotRoot);
        }
        let outer = self.run.parent().unwrap_or(Path::new("/run")).to_owned();
        for (dir, mode) in [(&outer, 0o711), (&self.run, 0o711), (&self.data, 0o700)] {
            std::fs::create_dir_all(dir).map_err(RuntimeError::io("create directory", dir))?;
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode))
                .map_err(RuntimeError::io("restrict directory", dir))?;
        }
        for dir in [self.mounts(), self.network(), self.containers(), self.runc()] {
            std::fs::create_dir_all(&dir).map_err(RuntimeError::io("create directory", &dir))?;
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700))
                .map_err(RuntimeError::io("restrict directory", &dir))?;
        }
        Ok(())
    }

    /// Everything under `/run`.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// containerd's part of the data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The socket of our own containerd.
    pub fn socket(&self) -> PathBuf {
        self.run.join("containerd.sock")
    }

    pub(crate) fn pidfile(&self) -> PathBuf {
        self.run.join("containerd.pid.json")
    }

    /// The log of our own containerd.
    pub fn containerd_log(&self) -> PathBuf {
        self.data.join("containerd.log")
    }

    /// runc's state.
    pub(crate) fn runc(&self) -> PathBuf {
        self.run.join("runc")
    }

    /// Private mounts of snapshots.
    pub(crate) fn mounts(&self) -> PathBuf {
        self.run.join("mounts")
    }

    /// State of the networks and network namespaces.
    pub fn network(&self) -> PathBuf {
        self.run.join("network")
    }

    /// Generated files of containers.
    pub(crate) fn containers(&self) -> PathBuf {
        self.run.join("containers")
    }

    /// Name of the control group that holds those of all containers.
    pub(crate) fn cgroup(&self) -> &str {
        &self.name
    }

    /// The namespace of containerd that holds all that is ours.
    pub(crate) fn namespace(&self) -> &str {
        &self.name
    }
}
