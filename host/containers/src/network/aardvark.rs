//! The DNS helper: one process for all networks of a host, which outlives `serve`.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};

use super::state::State;
use crate::error::{Result, RuntimeError};

/// aardvark-dns with its directory of names, which netavark writes.
pub(super) struct Aardvark {
    exe: PathBuf,
    dir: PathBuf,
}

impl Aardvark {
    pub(super) fn new(exe: PathBuf, state: &State) -> Self {
        Self { exe, dir: state.aardvark().join("aardvark-dns") }
    }

    pub(super) fn exe(&self) -> &Path {
        &self.exe
    }

    /// Its process id, if it lives.
    pub(super) fn pid(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.dir.join("aardvark.pid")).ok()?;
        let pid: u32 = text.trim().parse().ok()?;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        name.starts_with("aardvark").then_some(pid)
    }

    /// Starts it on the names that are there; it goes into the background by itself.
    pub(super) fn start(&self) -> Result<()> {
        let _ = std::fs::remove_file(self.dir.join("aardvark.pid"));
        Command::new(&self.exe)
            .arg("--config")
            .arg(&self.dir)
            .args(["--port", "53", "run"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .status()
            .map(drop)
            .map_err(RuntimeError::io("run", &self.exe))
    }

    /// Ends it.
    pub(super) fn stop(&self) {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
    }

    /// Drops the names of a network that a teardown that went wrong has left.
    pub(super) fn forget(&self, network: &str) {
        let _ = std::fs::remove_file(self.dir.join(network));
    }
}
