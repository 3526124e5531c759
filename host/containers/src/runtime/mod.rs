//! What the rest of Windlass asks of a container runtime, as one trait and plain data.
//!
//! **Invariant: every call is idempotent by the name it is given.** Creating what exists and removing
//! what is gone both succeed; names come from the deployment's id, so a call that was cut off by a
//! crash is simply made again.

mod container;
mod session;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncRead;
use windlass_model::{Digest, Timestamp};

use crate::error::Result;
pub use container::{
    Attachment, Container, ContainerSpec, ExecResult, ExecSpec, Exit, LogSpec, Mount,
    ResourceLimits, Rootfs, SPARE_PLACE, Started, TaskStatus, Usage,
};
pub use session::{Session, SessionControl, SessionSpec, TerminalSize};

/// Labels of a resource: what it is and whose.
pub type Labels = BTreeMap<String, String>;

/// A stream of bytes that is handed over: a blob, a layer, an archive.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// On a snapshot, a blob or a lease: keeps it, and what it refers to, from garbage collection.
pub const LABEL_GC_ROOT: &str = "containerd.io/gc.root";

/// Prefix of a blob's labels that name the snapshots it keeps: add `/` and any suffix, the value is the key.
pub const LABEL_GC_REF_SNAPSHOT: &str = "containerd.io/gc.ref.snapshot.overlayfs";

/// Container runtime of one Windlass host. Implemented by [`crate::Engine`] and
/// [`crate::fake::FakeRuntime`].
#[async_trait]
pub trait Runtime: Send + Sync {
    // ---- leases -------------------------------------------------------------------------------

    /// Creates a lease. What is created through [`Runtime::leased`] under it is kept until the lease is
    /// deleted or expires.
    async fn create_lease(&self, name: &str, labels: &Labels, expires_in: Duration) -> Result<()>;
    /// Deletes a lease and collects what only it kept.
    async fn delete_lease(&self, name: &str) -> Result<()>;
    /// Deletes a lease at once, and leaves what only it kept to the next collection: while it collects, the runtime
    /// changes nothing else.
    async fn release_lease(&self, name: &str) -> Result<()>;
    /// Collects what nothing keeps any more.
    async fn collect(&self) -> Result<()>;
    /// All leases with all of these labels.
    async fn list_leases(&self, labels: &Labels) -> Result<Vec<String>>;
    /// The same runtime, with everything it creates put under the lease.
    fn leased(&self, lease: &str) -> Arc<dyn Runtime>;

    // ---- content ------------------------------------------------------------------------------

    /// Writes a blob and returns its digest and size. With `expected`, other content is refused. A blob
    /// that nothing keeps (lease, [`LABEL_GC_ROOT`]) is collected at once.
    async fn put_blob(
        &self,
        body: Reader,
        expected: Option<&Digest>,
        labels: &Labels,
    ) -> Result<Blob>;
    /// A whole blob of at most `bytes_max` bytes; `None` when there is none.
    async fn read_blob(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>>;
    /// A blob as a stream, from this byte on; `None` when there is none.
    async fn open_blob(&self, digest: &Digest, offset: u64) -> Result<Option<Reader>>;
    /// Looks a blob up.
    async fn blob(&self, digest: &Digest) -> Result<Option<Blob>>;
    /// All blobs with all of these labels.
    async fn list_blobs(&self, labels: &Labels) -> Result<Vec<Blob>>;
    /// Adds or replaces labels of a blob.
    async fn label_blob(&self, digest: &Digest, labels: &Labels) -> Result<()>;
    /// Deletes a blob.
    async fn delete_blob(&self, digest: &Digest) -> Result<()>;

    // ---- snapshots ----------------------------------------------------------------------------

    /// Makes a writable snapshot `key` on the committed `parent` (or an empty one).
    async fn prepare_snapshot(
        &self,
        key: &str,
        parent: Option<&str>,
        labels: &Labels,
    ) -> Result<()>;
    /// Commits the writable snapshot `key` under `name`. When `name` is there already the work was done
    /// before: `key` is dropped and the answer is [`Committed::Existed`].
    async fn commit_snapshot(&self, key: &str, name: &str, labels: &Labels) -> Result<Committed>;
    /// Looks a snapshot up, by key or name.
    async fn snapshot(&self, key: &str) -> Result<Option<Snapshot>>;
    /// All snapshots with all of these labels.
    async fn list_snapshots(&self, labels: &Labels) -> Result<Vec<Snapshot>>;
    /// Adds or replaces labels of a snapshot, for instance its last use.
    async fn label_snapshot(&self, key: &str, labels: &Labels) -> Result<()>;
    /// Removes a snapshot. One that others are built on is refused.
    async fn remove_snapshot(&self, key: &str) -> Result<()>;
    /// Directories with what each snapshot of a committed chain changed, the lowest first, in the form of
    /// the overlay file system. They are only read, and stay as long as the snapshot.
    async fn snapshot_dirs(&self, name: &str) -> Result<Vec<PathBuf>>;
    /// Bytes on disk of this snapshot alone, without its parents.
    async fn snapshot_bytes(&self, key: &str) -> Result<u64>;
    /// Mounts a snapshot in a private directory until the answer is dropped. Writing needs a snapshot
    /// that is not committed; a committed one is mounted read-only.
    async fn mount_snapshot(&self, key: &str, access: Access) -> Result<Mounted>;
    /// Applies one image layer (tar, plain, gzip or zstd; OCI whiteouts), which is in the content store,
    /// on `parent` and commits the outcome as `name`, if its diff id is `expected` or none is. The answer's diff id
    /// is the digest of the uncompressed tar; it is `None` when `name` was there already.
    async fn apply_layer(
        &self,
        parent: Option<&str>,
        name: &str,
        layer: &Digest,
        expected: Option<&Digest>,
        labels: &Labels,
    ) -> Result<Applied>;
    /// Imports a root file system (tar, plain, gzip or zstd) as the committed snapshot `name`.
    async fn import_rootfs(&self, name: &str, archive: Reader, labels: &Labels) -> Result<Applied>;

    // ---- networks -----------------------------------------------------------------------------

    /// Makes sure that a network exists and returns its subnet's gateway.
    async fn ensure_network(&self, name: &str) -> Result<Ipv4Addr>;
    /// Removes a network and gives its subnet back. One with containers in it is refused.
    async fn remove_network(&self, name: &str) -> Result<()>;
    /// Lets the containers of a network reach these, beyond the defaults, in place of what was allowed
    /// before; one that does not exist is made, unless nothing is allowed.
    async fn allow(&self, network: &str, destinations: &[SocketAddrV4]) -> Result<()>;
    /// Opens a connection to each address from inside the network, as a container would, and closes it:
    /// `None` where it was accepted, else the reason. `name` names what is made for it meanwhile.
    async fn dial(
        &self,
        name: &str,
        network: &str,
        addresses: &[SocketAddr],
        timeout: Duration,
    ) -> Result<Vec<Option<String>>>;
    /// The networks that exist.
    async fn list_networks(&self) -> Result<Vec<String>>;
    /// Makes a place in a network for containers that are to come, see [`Attachment::place`]; one of this name
    /// that is there is left as it is. Names are as those of containers, and never the same as one's. What a host
    /// that was killed has left of them goes at the next start.
    async fn ensure_place(&self, name: &str, attachment: &Attachment) -> Result<()>;
    /// Removes a place that no container is in any more.
    async fn remove_place(&self, name: &str) -> Result<()>;
    /// Names of the places that begin so, half-made ones among them.
    async fn list_places(&self, prefix: &str) -> Result<Vec<String>>;

    // ---- containers ---------------------------------------------------------------------------

    /// Makes sure that the container runs or has run: created and started when it is absent, left alone
    /// when it was started before (`existed`). One left half made by a crash is made anew.
    async fn create_and_start(&self, spec: &ContainerSpec) -> Result<Started>;
    /// The same for a command that must not run twice: what may have been started is never started again. With
    /// [`RuntimeError::Unavailable`](crate::RuntimeError::Unavailable) nobody knows whether it was, and what there is
    /// of it stays: [`Runtime::status`] tells when containerd is back.
    async fn start_once(&self, spec: &ContainerSpec) -> Result<Started>;
    /// Waits until the container's first process has exited, through restarts of containerd.
    async fn wait(&self, id: &str) -> Result<Exit>;
    /// State of one container; `None` when there is none of this id.
    async fn status(&self, id: &str) -> Result<Option<TaskStatus>>;
    /// Sends a signal to the first process, or to all processes. An exited one is no error.
    async fn kill(&self, id: &str, signal: i32, all: bool) -> Result<()>;
    /// Halts every process of a container, by the kernel's freezer. One that does not run is no error.
    async fn freeze(&self, _id: &str) -> Result<()> {
        Ok(())
    }
    /// Lets a frozen container go on. One that does not run, or is not frozen, is no error.
    async fn thaw(&self, _id: &str) -> Result<()> {
        Ok(())
    }
    /// How often the kernel refused a container a further process; 0 when it is not known.
    async fn forks_refused(&self, _id: &str) -> Result<u64> {
        Ok(0)
    }
    /// Bytes on the disk of files that were removed and that processes of a container still hold; 0 when it is not known.
    async fn unlinked_bytes(&self, _id: &str) -> Result<u64> {
        Ok(0)
    }
    /// Kills and deletes a container with everything that belongs to it: task, record, writable
    /// snapshot (unless it was given as [`Rootfs::Active`]), network namespace, address, generated
    /// files. Its logs stay. When this returns, its last lines are in the log.
    async fn delete(&self, id: &str) -> Result<()>;
    /// All containers with all of these labels.
    async fn list(&self, labels: &Labels) -> Result<Vec<Container>>;
    /// Runs a command in a running container and keeps the last bytes of its output.
    async fn exec(&self, id: &str, command: &ExecSpec) -> Result<ExecResult>;
    /// Opens a session: a command in a running container that a person works with.
    async fn open_session(&self, id: &str, _spec: &SessionSpec) -> Result<Session> {
        Err(no_sessions(id))
    }
    /// Creates a container whose first process is the session; its output goes there and to no log.
    async fn run_session(
        &self,
        spec: &ContainerSpec,
        _terminal: Option<TerminalSize>,
    ) -> Result<Session> {
        Err(no_sessions(&spec.id))
    }
    /// What the container uses now; `None` when it does not run.
    async fn usage(&self, id: &str) -> Result<Option<Usage>>;
}

fn no_sessions(id: &str) -> crate::RuntimeError {
    crate::RuntimeError::Refused {
        operation: "open a session in",
        name: id.to_owned(),
        why: "this runtime has no processes to work with".to_owned(),
    }
}

/// A blob of the content store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// Its labels.
    pub labels: Labels,
}

/// Whether a commit was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// The name is new.
    New,
    /// The name was there: a cache hit.
    Existed,
    /// A layer was not what it was expected to be: nothing has the name.
    Refused,
}

/// Outcome of applying a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Whether the snapshot is new.
    pub committed: Committed,
    /// Digest of the uncompressed tar, when it was read.
    pub diff_id: Option<Digest>,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Key while writable, name once committed.
    pub key: String,
    /// The committed snapshot it is built on.
    pub parent: Option<String>,
    /// Whether it is committed, and so read-only.
    pub committed: bool,
    /// Its labels.
    pub labels: Labels,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How a snapshot is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing can be written.
    ReadOnly,
    /// The snapshot itself is written.
    ReadWrite,
}

/// A mounted snapshot; dropping it unmounts.
pub struct Mounted {
    path: PathBuf,
    unmount: Option<Box<dyn FnOnce() + Send>>,
}

impl Mounted {
    /// A mount at `path` that `unmount` ends.
    pub fn new(path: PathBuf, unmount: impl FnOnce() + Send + 'static) -> Self {
        Self { path, unmount: Some(Box::new(unmount)) }
    }

    /// Where it is mounted. Symbolic links inside belong to the snapshot: never follow one from here.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(unmount) = self.unmount.take() {
            unmount();
        }
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mounted({})", self.path.display())
    }
}
