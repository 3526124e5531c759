//! Containers as plain data: what is asked for, and what is seen.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_model::{Limits, Timestamp};

use super::Labels;

/// What a container runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rootfs {
    /// A fresh writable snapshot on this committed one, removed with the container.
    Committed(String),
    /// This writable snapshot itself, which stays: a build step.
    Active(String),
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// A directory or file of the host.
    Bind {
        /// Path on the host.
        source: PathBuf,
        /// Path in the container.
        target: String,
        /// Whether writing is refused.
        read_only: bool,
    },
    /// A directory of the host with what the container changes kept apart from it: an overlay, which is
    /// mounted in the container's own namespace and so is gone with it, whatever happens to the host.
    Overlay {
        /// The directory, which must not change meanwhile.
        lower: PathBuf,
        /// What is changed ends up here: an empty directory.
        upper: PathBuf,
        /// An empty directory on the same file system as `upper`.
        work: PathBuf,
        /// Path in the container.
        target: String,
    },
    /// Memory, gone with the container.
    Tmpfs {
        /// Path in the container.
        target: String,
        /// Most bytes it can hold.
        bytes_max: u64,
        /// Mode of its root, for instance `0o1777`.
        mode: u32,
    },
}

/// What the names of places begin with that were of nobody when they were made, before their number. The newest may be
/// there as long as a host runs.
pub const SPARE_PLACE: &str = "spare-";

/// Membership of a container in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Name of the network; made at first use.
    pub network: String,
    /// Names under which the other members of the network find this one.
    pub aliases: Vec<String>,
    /// Cut off from the other members of the network: only egress is left. For builds.
    pub isolated: bool,
    /// Name of a place that was made before ([`super::Runtime::ensure_place`]), for the container to be in: it
    /// says all of the rest, and stays when the container goes. One container at a time. `None` is a place that
    /// comes and goes with the container.
    pub place: Option<String>,
}

impl Attachment {
    /// Member of an environment's network.
    pub fn member(network: impl Into<String>, aliases: Vec<String>) -> Self {
        Self { network: network.into(), aliases, isolated: false, place: None }
    }

    /// The network of builds: egress and names of the outside, no other container.
    pub fn build() -> Self {
        let network = "windlass-build".to_owned();
        Self { network, aliases: Vec::new(), isolated: true, place: None }
    }

    /// The same, in a place that was made with it.
    pub fn at(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }
}

/// Limits of one container; 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResourceLimits {
    /// Memory, in bytes. Swap is not given on top.
    pub memory_bytes: u64,
    /// CPU, in thousandths of a core.
    pub cpu_millis: u32,
    /// Share of the CPU when it is short, of the usual 1024.
    pub cpu_shares: u32,
    /// Processes and threads.
    pub pids: u32,
}

/// Where a container's output goes and how much of it.
#[derive(Clone)]
pub struct LogSpec {
    /// Directory of this container's log alone; made when absent. See [`crate::logs`].
    pub dir: PathBuf,
    /// One file before it is rotated, in bytes.
    pub file_bytes_max: u64,
    /// Rotated files kept.
    pub files_max: u32,
    /// Lines a second; more are counted and dropped. 0 means no limit.
    pub lines_per_s_max: u32,
    /// One line; longer ones are split.
    pub line_bytes_max: usize,
    /// Values that must not appear in it.
    pub mask: Vec<String>,
}

impl LogSpec {
    /// With the limits of an instance's log.
    pub fn instance(dir: PathBuf, limits: &Limits, mask: Vec<String>) -> Self {
        Self {
            dir,
            file_bytes_max: limits.instance_log_file_bytes_max,
            files_max: limits.instance_log_files_max,
            lines_per_s_max: limits.instance_log_lines_per_s_max,
            line_bytes_max: limits.log_line_bytes_max,
            mask,
        }
    }
}

impl fmt::Debug for LogSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogSpec({}, {} masked values)", self.dir.display(), self.mask.len())
    }
}

/// One container to be. `Debug` shows no variable's value.
#[derive(Clone)]
pub struct ContainerSpec {
    /// Name: 1 to 76 of `A-Za-z0-9_.-`, starting with a letter or digit.
    pub id: String,
    /// What it is and whose.
    pub labels: Labels,
    /// What it runs on.
    pub rootfs: Rootfs,
    /// Whether the root file system is mounted read-only.
    pub read_only_root: bool,
    /// The command. The first word is looked up in the `PATH` of [`ContainerSpec::env`].
    pub argv: Vec<String>,
    /// Variables. `PATH`, `HOME` and `HOSTNAME` are added where they are absent.
    pub env: Vec<(String, String)>,
    /// Absolute working directory; made when absent.
    pub cwd: String,
    /// `user`, `user:group`, `uid` or `uid:gid`, by the root file system's own `/etc/passwd` and
    /// `/etc/group`; `None` is root.
    pub user: Option<String>,
    /// Whether the command is the child of a first process of ours, which hands it signals and reaps orphans.
    /// Not where the command is such a program itself (`tini`, s6's `/init`).
    pub init: bool,
    /// Whether its root is to be nobody on the host: in a user namespace, where the machine allows it.
    pub user_namespace: bool,
    /// Whether it is a command of a build: all that are share one part of the CPU, see
    /// [`windlass_model::limits::BuildLimits::cpu_millis_all_max`].
    pub of_builds: bool,
    /// Additional mounts, in order.
    pub mounts: Vec<Mount>,
    /// Network; `None` leaves a loopback interface alone.
    pub network: Option<Attachment>,
    /// Host name; the id, shortened, when absent.
    pub hostname: Option<String>,
    /// Limits.
    pub limits: ResourceLimits,
    /// Log.
    pub log: LogSpec,
}

impl ContainerSpec {
    /// A container with the defaults: root, `/`, no network, no limits.
    pub fn new(id: impl Into<String>, rootfs: Rootfs, argv: Vec<String>, log: LogSpec) -> Self {
        Self {
            id: id.into(),
            labels: Labels::new(),
            rootfs,
            read_only_root: false,
            argv,
            env: Vec::new(),
            cwd: "/".to_owned(),
            user: None,
            init: false,
            user_namespace: false,
            of_builds: false,
            mounts: Vec::new(),
            network: None,
            hostname: None,
            limits: ResourceLimits::default(),
            log,
        }
    }
}

impl fmt::Debug for ContainerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ContainerSpec")
            .field("id", &self.id)
            .field("rootfs", &self.rootfs)
            .field("argv", &self.argv)
            .field("env", &names)
            .field("network", &self.network)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A container that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Process id on the host; 0 when it has exited since.
    pub pid: u32,
    /// Its address, when it is in a network.
    pub address: Option<Ipv4Addr>,
    /// Whether it had been started before.
    pub existed: bool,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status; 128 + signal when a signal ended it.
    pub code: u32,
    /// Whether the kernel killed something in it for want of memory.
    pub oom: bool,
    /// When.
    pub at: Timestamp,
}

/// State of a container's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStatus {
    /// Made, not started.
    Created,
    /// Running with this process id.
    Running {
        /// Process id on the host.
        pid: u32,
    },
    /// Ended.
    Exited(Exit),
    /// There is a record but no task: the machine restarted, or a crash came between the two.
    Missing,
}

/// A container and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its labels.
    pub labels: Labels,
    /// Its task's state.
    pub status: TaskStatus,
    /// Its address, when it is in a network.
    pub address: Option<Ipv4Addr>,
}

/// A command to run in a running container.
#[derive(Clone)]
pub struct ExecSpec {
    /// The command.
    pub argv: Vec<String>,
    /// Variables on top of the container's own.
    pub env: Vec<(String, String)>,
    /// Working directory; the container's own when absent.
    pub cwd: Option<String>,
    /// Killed after this time.
    pub timeout: Duration,
    /// Last bytes kept of each stream.
    pub tail_bytes_max: usize,
}

/// How a command in a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecResult {
    /// Exit status; 128 + signal when a signal ended it.
    pub code: u32,
    /// Whether the time was up.
    pub timed_out: bool,
    /// End of its standard output.
    pub stdout_tail: String,
    /// End of its standard error.
    pub stderr_tail: String,
}

/// What a container uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Memory now, in bytes, without what the kernel keeps of files and gives up first.
    pub memory_bytes: u64,
    /// Memory it may use, in bytes; 0 when it has no limit.
    pub memory_limit_bytes: u64,
    /// CPU time since start, in microseconds.
    pub cpu_us: u64,
    /// Processes and threads now.
    pub pids: u64,
    /// Processes killed for want of memory since start.
    pub oom_kills: u64,
}
