//! The peer of builds: Debian's docker.io with BuildKit, as a private daemon.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::host::kill;
use crate::wait::wait_for;

/// A daemon with its own files, socket and containerd, and without the rules of a firewall that it would leave; it
/// ends, and its images go, when this is dropped.
#[derive(Debug)]
pub struct PrivateDocker {
    child: Child,
    dir: tempfile::TempDir,
    data: tempfile::TempDir,
    _bridge: Option<Bridge>,
}

/// What a daemon finds on the machine where it may make its own `docker0`: a bridge, with a way out.
#[derive(Debug)]
struct Bridge {
    name: String,
    table: String,
}

/// Addresses of networks that are measured (RFC 2544).
const BRIDGE_ADDRESS: &str = "198.18.19.1/24";
const BRIDGE_NETWORK: &str = "198.18.19.0/24";

impl Bridge {
    fn new() -> Self {
        let name = format!("wlt-{:x}", std::process::id());
        let bridge = Self { table: name.replace('-', "_"), name };
        let (name, table) = (&bridge.name, &bridge.table);
        run("ip", &format!("link add {name} type bridge"));
        run("ip", &format!("address add {BRIDGE_ADDRESS} dev {name}"));
        run("ip", &format!("link set {name} up"));
        run("nft", &format!("add table ip {table}"));
        run(
            "nft",
            &format!("add chain ip {table} out {{ type nat hook postrouting priority srcnat ; }}"),
        );
        let leaves = format!("ip saddr {BRIDGE_NETWORK} oifname != {name}");
        run("nft", &format!("add rule ip {table} out {leaves} masquerade"));
        bridge
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _gone = Command::new("ip").args(["link", "delete", &self.name]).status();
        let _gone = Command::new("nft").args(["delete", "table", "ip", &self.table]).status();
    }
}

fn run(program: &str, words: &str) {
    let output =
        Command::new(program).args(words.split(' ')).stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {words}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl PrivateDocker {
    /// Starts one whose containers have the machine's network, or none.
    ///
    /// # Panics
    /// When docker.io is not installed, or does not answer within a minute.
    pub fn start() -> Self {
        Self::start_at(None)
    }

    /// Starts one that gives each container, and each command of a build, a network namespace of its own behind a
    /// bridge, as every installed daemon does.
    ///
    /// # Panics
    /// As [`PrivateDocker::start`], and when the bridge cannot be made.
    pub fn start_with_network() -> Self {
        Self::start_at(Some(Bridge::new()))
    }

    fn start_at(bridge: Option<Bridge>) -> Self {
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
            .args(["--bridge", bridge.as_ref().map_or("none", |bridge| &bridge.name)])
            .args(["--iptables=false", "--ip6tables=false"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("dockerd is missing: run `apt-get install docker.io`");
        let docker = Self { child, dir, data, _bridge: bridge };
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
