//! What the network driver remembers, in small files that live as long as the machine runs.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use windlass_model::HostId;
use windlass_model::network::Subnet;

use crate::error::{Result, RuntimeError};

/// Serialises the calls of all Windlass hosts on this machine: netavark's rules are shared.
const LOCK: &str = "/run/lock/windlass-netavark.lock";

/// A network that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NetworkRecord {
    pub(super) name: String,
    pub(super) bridge: String,
    pub(super) subnet: Subnet,
    /// What its containers may reach beyond the defaults.
    #[serde(default)]
    pub(super) allow: Vec<SocketAddrV4>,
}

/// A container in a network, or a place for some.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AttachmentRecord {
    pub(super) container: String,
    pub(super) network: String,
    pub(super) address: Ipv4Addr,
    /// What netavark was told, and is told again at teardown.
    pub(super) request: serde_json::Value,
    /// Whether it is a place, which is of no container.
    #[serde(default)]
    pub(super) is_place: bool,
}

/// The lock, held while the answer lives.
pub(super) fn lock() -> Result<std::fs::File> {
    let path = Path::new(LOCK);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(RuntimeError::io("create directory", dir))?;
    }
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(RuntimeError::io("open", path))?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)
        .map_err(RuntimeError::os("lock", path))?;
    Ok(file)
}

/// Records in a directory, one file each.
#[derive(Debug, Clone)]
pub(super) struct State {
    dir: PathBuf,
}

impl State {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// aardvark's own files.
    pub(super) fn aardvark(&self) -> PathBuf {
        self.dir.join("dns")
    }

    /// Network namespaces.
    pub(super) fn netns(&self, container: &str) -> PathBuf {
        self.dir.join("netns").join(container)
    }

    pub(super) fn netns_all(&self) -> Vec<String> {
        names(&self.dir.join("netns"))
    }

    pub(super) fn networks(&self) -> Result<Vec<NetworkRecord>> {
        all(&self.dir.join("networks"))
    }

    pub(super) fn network(&self, name: &str) -> Result<Option<NetworkRecord>> {
        read(&self.dir.join("networks").join(name))
    }

    pub(super) fn put_network(&self, record: &NetworkRecord) -> Result<()> {
        write(&self.dir.join("networks"), &record.name, record)
    }

    pub(super) fn remove_network(&self, name: &str) -> Result<()> {
        remove(&self.dir.join("networks").join(name))
    }

    pub(super) fn attachments(&self) -> Result<Vec<AttachmentRecord>> {
        all(&self.dir.join("attachments"))
    }

    /// Names of the attachments, without what they say.
    pub(super) fn attached(&self) -> Vec<String> {
        names(&self.dir.join("attachments"))
    }

    pub(super) fn attachment(&self, container: &str) -> Result<Option<AttachmentRecord>> {
        read(&self.dir.join("attachments").join(container))
    }

    pub(super) fn put_attachment(&self, record: &AttachmentRecord) -> Result<()> {
        write(&self.dir.join("attachments"), &record.container, record)
    }

    pub(super) fn remove_attachment(&self, container: &str) -> Result<()> {
        remove(&self.dir.join("attachments").join(container))
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with(".new-"));
    names.sort();
    names
}

fn all<T: DeserializeOwned>(dir: &Path) -> Result<Vec<T>> {
    let read_one = |name: String| read(&dir.join(name)).transpose();
    names(dir).into_iter().filter_map(read_one).collect()
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RuntimeError::io("read", path)(error)),
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => Err(RuntimeError::io("understand", path)(error.into())),
        },
    }
}

fn write<T: Serialize>(dir: &Path, name: &str, record: &T) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(RuntimeError::io("create directory", dir))?;
    let (fresh, path) = (dir.join(format!(".new-{name}")), dir.join(name));
    let bytes = serde_json::to_vec(record).unwrap_or_default();
    std::fs::write(&fresh, bytes).map_err(RuntimeError::io("write", &fresh))?;
    std::fs::rename(&fresh, &path).map_err(RuntimeError::io("replace", &path))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RuntimeError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// First letters of the names of all bridges of a host: `wl` and six digits of its id.
pub(crate) fn bridge_prefix(host: &HostId) -> String {
    format!("wl{}", &host.as_str()[..6])
}

/// A bridge's name, 15 characters: the host's prefix and seven of the network's digest.
pub(super) fn bridge_name(host: &HostId, network: &str) -> String {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let digest = Sha256::new().chain_update(host.as_str()).chain_update(network).finalize();
    let tail: String =
        digest.iter().take(7).map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    format!("{}{tail}", bridge_prefix(host))
}

/// The name of the port that keeps a bridge, in 15 characters: with one that no bridge's name has.
pub(super) fn keeper_name(bridge: &str) -> String {
    let (prefix, tail) = bridge.split_at_checked(8).unwrap_or((bridge, ""));
    format!("{prefix}-{}", tail.get(..6).unwrap_or(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridge_names_fit_the_kernel_and_differ_between_hosts() {
        let (a, b): (HostId, HostId) = ("0011aabb".parse().unwrap(), "0011aacc".parse().unwrap());
        let name = bridge_name(&a, "shop-production");
        assert_eq!(name.len(), 15);
        assert!(name.starts_with(&bridge_prefix(&a)));
        assert_ne!(name, bridge_name(&b, "shop-production"));
        assert_ne!(name, bridge_name(&a, "shop-staging"));
        assert_eq!(keeper_name(&name).len(), 15);
        assert!(keeper_name(&name).starts_with(&format!("{}-", bridge_prefix(&a))));
        assert_ne!(keeper_name(&name), keeper_name(&bridge_name(&a, "shop-staging")));
    }
}
