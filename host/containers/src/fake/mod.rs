//! A container runtime in memory, for pipeline tests without root.
//!
//! **Invariant: it keeps every promise of the [`Runtime`] trait that can be kept without a kernel**: the
//! conformance suite says which. Snapshots are directories, so what is written is really there; a
//! container is a scripted behaviour instead of a process.

mod archive;
mod containers;
mod leases;
mod runtime;
mod tree;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use windlass_model::{Digest, Stream, Timestamp};

use crate::error::{Result, RuntimeError};
use crate::runtime::{Blob, ContainerSpec, Exit, Labels, Snapshot, TaskStatus};

/// What a container of the fake does.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Lines that it writes at once.
    pub lines: Vec<(Stream, String)>,
    /// Its exit, after this time; `None` runs until it is killed.
    pub exit: Option<(Duration, u32)>,
    /// Whether its exit counts as out of memory.
    pub oom: bool,
    /// Whether SIGTERM ends it.
    pub heeds_term: bool,
    /// The address it is said to have.
    pub address: Ipv4Addr,
    /// Refuses to start, with this reason.
    pub start_error: Option<String>,
    /// What commands in it answer.
    pub exec_code: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            exit: None,
            oom: false,
            heeds_term: true,
            address: Ipv4Addr::LOCALHOST,
            start_error: None,
            exec_code: 0,
        }
    }
}

impl Behaviour {
    /// Ends at once with this status.
    pub fn exits(code: u32) -> Self {
        Self { exit: Some((Duration::ZERO, code)), ..Self::default() }
    }
}

type Script = dyn Fn(&ContainerSpec) -> Behaviour + Send + Sync;

/// The fake. Cheap to clone; all clones are the same runtime.
#[derive(Clone)]
pub struct FakeRuntime {
    inner: Arc<Inner>,
    lease: Option<String>,
}

struct Inner {
    dir: TempDir,
    script: Box<Script>,
    state: Mutex<FakeState>,
}

#[derive(Default)]
struct FakeState {
    leases: BTreeMap<String, leases::FakeLease>,
    /// What leases kept that are gone, until it is looked at whether anything else does.
    released: Vec<leases::Held>,
    blobs: BTreeMap<Digest, (Blob, Vec<u8>)>,
    snapshots: BTreeMap<String, FakeSnapshot>,
    networks: BTreeMap<String, u8>,
    /// Places, with their network.
    places: BTreeMap<String, String>,
    containers: BTreeMap<String, containers::FakeContainer>,
    started: Vec<ContainerSpec>,
    /// The next start that is made once gets no answer; its task is then in this state.
    cut_off: Option<TaskStatus>,
    /// The next list of containers gets no answer.
    list_cut_off: bool,
    next_pid: u32,
}

#[derive(Clone)]
struct FakeSnapshot {
    info: Snapshot,
    path: PathBuf,
}

impl FakeRuntime {
    /// A fake whose containers run until they are killed.
    ///
    /// # Errors
    /// When no temporary directory can be made.
    pub fn new() -> Result<Self> {
        Self::scripted(|_| Behaviour::default())
    }

    /// A fake whose containers do what the script says.
    ///
    /// # Errors
    /// When no temporary directory can be made.
    pub fn scripted(
        script: impl Fn(&ContainerSpec) -> Behaviour + Send + Sync + 'static,
    ) -> Result<Self> {
        let dir = tempfile::tempdir().map_err(RuntimeError::io("create", "temporary directory"))?;
        let inner = Inner { dir, script: Box::new(script), state: Mutex::default() };
        Ok(Self { inner: Arc::new(inner), lease: None })
    }

    /// Every container that was started, in order.
    pub fn started(&self) -> Vec<ContainerSpec> {
        self.state().started.clone()
    }

    /// Ends a running container from the outside, as a crash of the application would.
    pub fn crash(&self, id: &str, code: u32) {
        containers::end(&mut self.state(), id, Exit { code, oom: false, at: Timestamp::now() });
    }

    /// Forgets a container's task, as a restart of the machine would.
    pub fn lose_task(&self, id: &str) {
        if let Some(container) = self.state().containers.get_mut(id) {
            container.status = TaskStatus::Missing;
        }
    }

    /// Starts the task of a container that was only made, as a start does that took its time.
    pub fn start_late(&self, id: &str) {
        let mut state = self.state();
        state.next_pid += 1;
        let pid = 1_000_000 + state.next_pid;
        if let Some(container) = state.containers.get_mut(id)
            && container.status == TaskStatus::Created
        {
            container.status = TaskStatus::Running { pid };
        }
    }

    /// The next [`Runtime::start_once`](crate::Runtime::start_once) takes effect and gets no answer, as when containerd
    /// goes away; the task is in this state then.
    pub fn cut_off_next_start(&self, status: TaskStatus) {
        self.state().cut_off = Some(status);
    }

    /// The next [`Runtime::list`](crate::Runtime::list) gets no answer, as when containerd goes away.
    pub fn cut_off_next_list(&self) {
        self.state().list_cut_off = true;
    }

    /// Makes the root file system `name` out of these files, as an import would.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn add_rootfs(&self, name: &str, files: &[(&str, &[u8])]) -> Result<()> {
        let path = self.fresh_dir()?;
        for (file, bytes) in files {
            let target = path.join(file.trim_start_matches('/'));
            if let Some(dir) = target.parent() {
                std::fs::create_dir_all(dir).map_err(RuntimeError::io("create", dir))?;
            }
            std::fs::write(&target, bytes).map_err(RuntimeError::io("write", &target))?;
        }
        let snapshot = new_snapshot(name, None, true, &Labels::new());
        self.state().snapshots.insert(name.to_owned(), FakeSnapshot { info: snapshot, path });
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, FakeState> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh_dir(&self) -> Result<PathBuf> {
        let path = self.inner.dir.path().join(ulid::Ulid::new().to_string());
        std::fs::create_dir(&path).map_err(RuntimeError::io("create directory", &path))?;
        Ok(path)
    }
}

fn new_snapshot(key: &str, parent: Option<&str>, committed: bool, labels: &Labels) -> Snapshot {
    Snapshot {
        key: key.to_owned(),
        parent: parent.map(str::to_owned),
        committed,
        labels: labels.clone(),
        created_at: Timestamp::now(),
    }
}

fn matches(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn cut_off() -> RuntimeError {
    let why = "the connection was cut off".to_owned();
    RuntimeError::Unavailable { socket: "fake".into(), why }
}

fn no_snapshot(key: &str) -> RuntimeError {
    RuntimeError::NotFound { what: "snapshot", name: key.to_owned() }
}
