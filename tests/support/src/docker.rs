//! The peer of builds: Debian's docker.io with BuildKit, as a private daemon.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use crate::host::kill;
use crate::wait::wait_for;

/// A daemon with its own files, socket and containerd, without a bridge and without rules of a firewall; it
/// ends, and its images go, when this is dropped.
#[derive(Debug)]
pub struct PrivateDocker {
    child: Child,
    dir: tempfile::TempDir,
    data: tempfile::TempDir,
}

impl PrivateDocker {
    /// Starts one.
    ///
    /// # Panics
    /// When docker.io is not installed, or does not answer within a minute.
    pub fn start() -> Self {
        // The socket's path must be short.
        let dir = tempfile::Builder::new().prefix("peer").tempdir().unwrap();
        let data = crate::scratch("peer");
        let at = |name: &str| format!("{}/{name}", dir.path().display());
        let log = std::fs::File::create(at("log")).unwrap();
        let child = Command::new("dockerd")
            .arg("--data-root")
            .arg(data.path())
            .args(["--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["--host", &format!("unix://{}", at("socket"))])
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("dockerd is missing: run `apt-get install docker.io`");
        let docker = Self { child, dir, data };
        wait_for("the peer's daemon answers", Duration::from_secs(60), || {
            let output = docker.command(&["version"]).output().unwrap();
            let log = || std::fs::read_to_string(docker.dir.path().join("log")).unwrap_or_default();
            if output.status.success() { Ok(()) } else { Err(log()) }
        });
        docker
    }

    /// Docker's command line, told where this daemon is.
    pub fn command(&self, args: &[&str]) -> Command {
        // Debian's own client: a newer one wants another program for BuildKit.
        let own = Path::new("/usr/bin/docker");
        let mut command = Command::new(if own.exists() { own } else { Path::new("docker") });
        command
            .env("DOCKER_BUILDKIT", "1")
            .env("DOCKER_CONFIG", self.dir.path().join("config"))
            .arg("--host")
            .arg(format!("unix://{}/socket", self.dir.path().display()))
            .args(args);
        command
    }

    /// A folder that goes with it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for PrivateDocker {
    fn drop(&mut self) {
        kill(self.child.id(), rustix::process::Signal::TERM);
        let _ended = self.child.wait();
        // Its containerd ends with it; mounts that a crash left would keep the folders.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for line in mounts.lines().rev() {
            let at = Path::new(line.split(' ').nth(1).unwrap_or_default());
            if at.starts_with(self.data.path()) || at.starts_with(self.dir.path()) {
                let _left = Command::new("umount").arg("--lazy").arg(at).status();
            }
        }
    }
}
