//! The DNS helper: one process for all networks of a host, which outlives `serve`.

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::state::State;
use crate::error::{Result, RuntimeError};

/// How long a new name may take to be known.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);
/// How long the first question waits for its answer, and the longest that one does: what is asked while the names
/// are read anew is lost.
const ANSWERS_WITHIN: Duration = Duration::from_millis(10);
const ANSWERS_WITHIN_MAX: Duration = Duration::from_millis(200);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(5);

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

    /// Waits until the name of a container that was just attached resolves inside it. netavark tells the
    /// helper by a signal and does not wait; and a helper that reads the names just while netavark writes
    /// them finds none, and ends: then it is started again.
    pub(super) fn settle(&self, netns: &Path, gateway: Ipv4Addr, name: &str) -> Result<()> {
        let until = Instant::now() + SETTLES_WITHIN;
        let mut patience = ANSWERS_WITHIN;
        while !super::dial::resolves(netns, gateway, name, patience)? {
            patience = (patience * 2).min(ANSWERS_WITHIN_MAX);
            if Instant::now() >= until {
                tracing::warn!(name, "aardvark-dns does not answer for a new container");
                return Ok(());
            }
            if self.pid().is_none() {
                tracing::warn!("aardvark-dns ended while names changed: starting it again");
                self.start()?;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
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
