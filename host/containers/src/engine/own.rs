//! Our own containerd: found alive and adopted, or started; started again when it exits.
//!
//! **Invariant: at most one lives for a host.** A second one on the same root blocks silently, so the
//! process in the pid file is identified by its start time and the machine's boot, never by its id alone.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Paths;
use crate::boot::boot_id;
use crate::doctor::Parts;
use crate::error::{Result, RuntimeError};

/// containerd's log is started anew above this size, the one before is kept.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Between two attempts to start a containerd that does not start.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long a living containerd may be silent before it is replaced.
const SILENCE: Duration = Duration::from_secs(10);

/// What identifies a process beyond its id.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct PidFile {
    pid: u32,
    start_ticks: u64,
    boot: String,
}

/// How to run our containerd.
pub(super) struct Own {
    paths: Paths,
    containerd: PathBuf,
    runc: PathBuf,
}

impl Own {
    pub(super) fn new(paths: &Paths, parts: &Parts) -> Self {
        Self {
            paths: paths.clone(),
            containerd: parts.containerd.clone(),
            runc: parts.runc.clone(),
        }
    }

    /// Adopts the living containerd or starts one; returns when its socket answers.
    pub(super) async fn ensure(&self, deadline: Duration) -> Result<()> {
        if let Some(pid) = live_pid(&self.paths) {
            if self.wait_socket(SILENCE).await.is_ok() {
                tracing::info!(pid, "adopted containerd");
                return Ok(());
            }
            tracing::warn!(pid, "containerd is alive but silent: replacing it");
            stop(&self.paths).await;
        }
        self.spawn()?;
        self.wait_socket(deadline).await
    }

    /// Starts it again whenever it exits. Containers go on meanwhile: their shims hold them.
    pub(super) async fn supervise(self) {
        loop {
            self.until_exit().await;
            tracing::warn!("containerd exited: starting it again");
            if let Err(error) = self.ensure(super::START_DEADLINE).await {
                tracing::error!(%error, "containerd could not be started");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }

    async fn until_exit(&self) {
        let Some(pid) = live_pid(&self.paths) else { return };
        let Some(watch) = watch_process(pid) else { return };
        let _ = watch.readable().await;
        reap(pid);
    }

    fn spawn(&self) -> Result<()> {
        let config = self.write_config()?;
        let socket = self.paths.socket();
        let _ = std::fs::remove_file(&socket);
        let log = self.open_log()?;
        let errors =
            log.try_clone().map_err(RuntimeError::io("open", self.paths.containerd_log()))?;
        let mut command = Command::new(&self.containerd);
        command
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .env_clear()
            .env("PATH", self.search_path())
            .current_dir("/");
        // SAFETY: both calls are async-signal-safe and touch no memory of the parent.
        unsafe {
            command.pre_exec(|| {
                // Root of a user namespace must get to its container's folder.
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
                rustix::process::setsid().map(|_| ()).map_err(Into::into)
            });
        }
        let child = command.spawn().map_err(RuntimeError::io("start", &self.containerd))?;
        let pid = child.id();
        tracing::info!(pid, "started containerd");
        self.write_pidfile(pid)
    }

    /// The shim is looked up in PATH, and so is `mkfs` and the like.
    fn search_path(&self) -> String {
        let dir = |path: &Path| path.parent().unwrap_or(Path::new("/")).display().to_string();
        format!(
            "{}:{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            dir(&self.containerd),
            dir(&self.runc)
        )
    }

    fn write_config(&self) -> Result<PathBuf> {
        let path = self.paths.run().join("containerd.toml");
        let text = format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.internal.v1.opt\", \"io.containerd.snapshotter.v1.aufs\", \
             \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.devmapper\", \
             \"io.containerd.snapshotter.v1.zfs\", \"io.containerd.snapshotter.v1.native\", \
             \"io.containerd.internal.v1.tracing\", \"io.containerd.tracing.processor.v1.otlp\"]\n\
             [grpc]\naddress = {socket:?}\n[debug]\nlevel = \"warn\"\n\
             [plugins.\"io.containerd.gc.v1.scheduler\"]\nschedule_delay = \"0ms\"\n",
            root = self.paths.data().join("root"),
            state = self.paths.run().join("state"),
            socket = self.paths.socket(),
        );
        std::fs::write(&path, text).map_err(RuntimeError::io("write", &path))?;
        Ok(path)
    }

    fn open_log(&self) -> Result<std::fs::File> {
        let path = self.paths.containerd_log();
        if std::fs::metadata(&path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
            let _ = std::fs::rename(&path, path.with_extension("log.1"));
        }
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(RuntimeError::io("open", &path))
    }

    fn write_pidfile(&self, pid: u32) -> Result<()> {
        let path = self.paths.pidfile();
        let record =
            PidFile { pid, start_ticks: start_ticks(pid).unwrap_or_default(), boot: boot_id() };
        let text = serde_json::to_vec(&record).unwrap_or_default();
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, text).map_err(RuntimeError::io("write", &fresh))?;
        std::fs::rename(&fresh, &path).map_err(RuntimeError::io("replace", &path))
    }

    async fn wait_socket(&self, deadline: Duration) -> Result<()> {
        let socket = self.paths.socket();
        let until = Instant::now() + deadline;
        loop {
            let why = match answers(&socket).await {
                Ok(()) => return Ok(()),
                Err(why) => why,
            };
            if live_pid(&self.paths).is_none() || Instant::now() > until {
                let why = last_log_line(&self.paths).unwrap_or(why);
                return Err(RuntimeError::Unavailable { socket, why });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Whether containerd at this socket serves requests.
async fn answers(socket: &Path) -> Result<(), String> {
    let channel = containerd_client::connect(socket).await.map_err(|error| error.to_string())?;
    let mut client = containerd_client::Client::from(channel).version();
    let ask = client.version(());
    match tokio::time::timeout(Duration::from_secs(2), ask).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err("no answer within 2 s".to_owned()),
    }
}

fn last_log_line(paths: &Paths) -> Option<String> {
    let text = std::fs::read(paths.containerd_log()).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().last().map(str::to_owned)
}

/// The process id of this host's containerd, if it lives.
pub(super) fn live_pid(paths: &Paths) -> Option<u32> {
    let text = std::fs::read(paths.pidfile()).ok()?;
    let record: PidFile = serde_json::from_slice(&text).ok()?;
    let alive = record.boot == boot_id()
        && start_ticks(record.pid) == Some(record.start_ticks)
        && !is_zombie(record.pid);
    alive.then_some(record.pid)
}

/// Ends this host's containerd and waits until it is gone.
pub(super) async fn stop(paths: &Paths) {
    let Some(pid) = live_pid(paths) else { return };
    let watch = watch_process(pid);
    signal(pid, Signal::TERM);
    if let Some(watch) = watch
        && tokio::time::timeout(Duration::from_secs(5), watch.readable()).await.is_err()
    {
        signal(pid, Signal::KILL);
        let _ = tokio::time::timeout(Duration::from_secs(5), watch.readable()).await;
    }
    reap(pid);
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Collects the exit of a process if it was our child.
fn reap(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
    }
}

fn watch_process(pid: u32) -> Option<AsyncFd<std::os::fd::OwnedFd>> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // SAFETY: the descriptor is owned by the answer and stays the same as long as it lives.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.ok()
}

fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses can hold anything; what follows its end is regular.
    let rest = text.rsplit_once(')')?.1;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// Start of a process in clock ticks since boot: field 22, the 20th after the name.
fn start_ticks(pid: u32) -> Option<u64> {
    stat_fields(pid)?.get(19)?.parse().ok()
}

fn is_zombie(pid: u32) -> bool {
    stat_fields(pid).is_none_or(|fields| fields.first().is_some_and(|state| state == "Z"))
}
