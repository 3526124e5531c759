//! What the host needs, what is there, and how to get what is not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::cgroup;
use crate::engine::{Config, Paths};
use crate::error::{Result, RuntimeError};
use crate::userns::{self, IdMap};

/// Directories where programs are looked up, besides those of `PATH`.
const DIRECTORIES: [&str; 9] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/lib/podman",
    "/usr/libexec/podman",
    "/usr/local/lib/podman",
];

/// The programs that the engine runs.
#[derive(Debug, Clone)]
pub struct Parts {
    /// containerd.
    pub containerd: PathBuf,
    /// runc.
    pub runc: PathBuf,
    /// netavark.
    pub netavark: PathBuf,
    /// aardvark-dns.
    pub aardvark: PathBuf,
    /// nft.
    pub nft: PathBuf,
}

impl Parts {
    /// Finds them all.
    ///
    /// # Errors
    /// [`RuntimeError::MissingPart`] for the first that is not installed.
    pub fn find() -> Result<Self> {
        let find =
            |part, package| find_program(part).ok_or(RuntimeError::MissingPart { part, package });
        find("iptables", "iptables")?;
        find("containerd-shim-runc-v2", "containerd")?;
        Ok(Self {
            containerd: find("containerd", "containerd")?,
            runc: find("runc", "runc")?,
            netavark: find("netavark", "netavark")?,
            aardvark: find("aardvark-dns", "aardvark-dns")?,
            nft: find("nft", "nftables")?,
        })
    }
}

/// A program by name, in `PATH` and where distributions hide helpers.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::split_paths(&path).chain(DIRECTORIES.iter().map(PathBuf::from));
    named.map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There and in force.
    Ok,
    /// Usable with a restriction.
    Warn,
    /// Absent: nothing works without it.
    Missing,
}

/// One part that the host needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// The version that was found.
    pub version: Option<String>,
    /// How it is.
    pub state: State,
    /// What is in force.
    pub in_force: String,
    /// How to mend it; empty when there is nothing to mend.
    pub fix: String,
}

impl Check {
    fn new(name: &str, state: State, in_force: impl Into<String>, fix: impl Into<String>) -> Self {
        let fix = if state == State::Ok { String::new() } else { fix.into() };
        Self { name: name.to_owned(), version: None, state, in_force: in_force.into(), fix }
    }

    fn with_version(mut self, version: Option<String>) -> Self {
        self.version = version;
        self
    }
}

/// Inspects the machine. Changes nothing.
pub fn inspect(config: &Config) -> Vec<Check> {
    let mut checks = vec![user(), kernel()];
    checks.extend(programs(config));
    checks.extend([control_groups(), freezer(), overlay(), seccomp(), user_namespaces(config)]);
    checks.extend([forwarding(), disk(&config.data_dir)]);
    checks
}

fn programs(config: &Config) -> Vec<Check> {
    let required = [
        ("containerd", "containerd", "--version"),
        ("containerd-shim-runc-v2", "containerd", "-v"),
        ("runc", "runc", "--version"),
        ("netavark", "netavark", "--version"),
        ("aardvark-dns", "aardvark-dns", "--version"),
        ("nft", "nftables", "--version"),
        ("iptables", "iptables", "--version"),
        ("git", "git", "--version"),
        ("ssh", "openssh-client", "-V"),
        ("mmdebstrap", "mmdebstrap", "--version"),
    ];
    let mut checks: Vec<Check> =
        required.iter().map(|(name, package, flag)| program(name, package, flag)).collect();
    let (socket, whose) = match &config.containerd {
        Some(socket) => (socket.clone(), "given"),
        None => (Paths::new(config).socket(), "our own"),
    };
    let answers = std::os::unix::net::UnixStream::connect(&socket).is_ok();
    let (state, how) = match (answers, &config.containerd) {
        (true, _) => (State::Ok, "answers"),
        (false, None) => (State::Ok, "not running, `windlass serve` starts it"),
        (false, Some(_)) => (State::Missing, "does not answer"),
    };
    let in_force = format!("{whose} at {}: {how}", socket.display());
    checks.push(Check::new("containerd socket", state, in_force, "start that containerd"));
    checks
}

fn program(name: &str, package: &str, flag: &str) -> Check {
    let fix = format!("apt-get install {package}");
    match find_program(name) {
        None => {
            let (state, found) = match name {
                "mmdebstrap" => {
                    (State::Warn, "not installed; needed where no registry can be reached")
                }
                "ssh" => (State::Warn, "not installed; needed for repositories with a deploy key"),
                _ => (State::Missing, "not installed"),
            };
            Check::new(name, state, found, fix)
        }
        Some(path) => Check::new(name, State::Ok, path.display().to_string(), fix)
            .with_version(version(&path, flag)),
    }
}

/// The first word with a digit and a dot of what a program says about itself.
fn version(path: &Path, flag: &str) -> Option<String> {
    let output = Command::new(path).arg(flag).stdin(Stdio::null()).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    version_in(&String::from_utf8_lossy(&said))
}

fn version_in(text: &str) -> Option<String> {
    let number =
        |word: &str| word.trim_start_matches("OpenSSH_").trim_start_matches('v').to_owned();
    let is_version =
        |word: &String| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    text.split_whitespace().map(number).find(is_version)
}

fn user() -> Check {
    let root = rustix::process::geteuid().is_root();
    let state = if root { State::Ok } else { State::Missing };
    let who = if root { "root" } else { "not root" };
    Check::new("user", state, who, "run as root: `sudo windlass serve`")
}

fn kernel() -> Check {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let number = |part: Option<&str>| part.and_then(|part| part.parse().ok()).unwrap_or(0_u32);
    let mut parts = release.split(['.', '-']);
    let version = (number(parts.next()), number(parts.next()));
    let state = if version >= (5, 10) { State::Ok } else { State::Warn };
    Check::new("kernel", state, "Linux", "use Linux 5.10 or newer").with_version(Some(release))
}

fn control_groups() -> Check {
    let fix = "boot with `cgroup_enable=memory systemd.unified_cgroup_hierarchy=1`";
    let (version, names) = if cgroup::is_v2() {
        (2, std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default())
    } else {
        let table = std::fs::read_to_string("/proc/cgroups").unwrap_or_default();
        let mounted = |name: &&str| Path::new(cgroup::ROOT).join(name).is_dir();
        let names = table.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        (1, names.filter(mounted).collect::<Vec<_>>().join(" "))
    };
    let missing: Vec<&str> = ["memory", "cpu", "pids"]
        .into_iter()
        .filter(|needed| !names.split_whitespace().any(|name| name == *needed))
        .collect();
    let state = if missing.is_empty() { State::Ok } else { State::Missing };
    let swap = if cgroup::limits_swap() { "limited with memory" } else { "not limited" };
    let in_force = match missing.is_empty() {
        true => format!("memory, cpu and pids limits hold; swap is {swap}"),
        false => format!("no limits for {}", missing.join(", ")),
    };
    Check::new("control groups", state, in_force, fix).with_version(Some(format!("v{version}")))
}

fn overlay() -> Check {
    let table = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let there = table.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay");
    let state = if there { State::Ok } else { State::Warn };
    let in_force = if there { "known to the kernel" } else { "not loaded (yet)" };
    Check::new("overlayfs", state, in_force, "modprobe overlay")
}

fn seccomp() -> Check {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let there = status.lines().any(|line| line.starts_with("Seccomp_filters:"))
        || Path::new("/proc/sys/kernel/seccomp/actions_avail").exists();
    let state = if there { State::Ok } else { State::Missing };
    let in_force = if there { "default profile for every container" } else { "no filters" };
    Check::new("seccomp", state, in_force, "use a kernel with CONFIG_SECCOMP_FILTER")
}

/// What keeps a build that is over its disk limit from writing on while it is measured.
fn freezer() -> Check {
    let there = cgroup::is_v2() || Path::new(cgroup::ROOT).join("freezer").is_dir();
    let state = if there { State::Ok } else { State::Warn };
    let in_force = match there {
        true => "a build over its disk limit is frozen before it is ended",
        false => "a build over its disk limit is ended without being frozen first",
    };
    Check::new("freezer", state, in_force, "mount the cgroup controller `freezer`")
}

/// Tries out whether root in a build can be nobody on the host, and says what is in force.
fn user_namespaces(config: &Config) -> Check {
    const FIX: &str = "nothing must be done; a kernel of 5.19 or later on ext4, xfs or btrfs, with \
                       user.max_user_namespaces above 0, is able to";
    let root = config.data_dir.join("containerd/root");
    let dir = root.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let scratch = dir.join(format!("probe-{}", ulid::Ulid::new()));
    let (state, in_force) = match IdMap::probe(&scratch, &scratch, config.containerd.as_deref()) {
        Ok(_) => (State::Ok, format!("root in a build is the user {} on the host", userns::FIRST)),
        Err(why) => (
            State::Warn,
            format!(
                "not in use ({why}): root in a build is the host's root with twelve capabilities, \
                 seccomp and no new privileges"
            ),
        ),
    };
    Check::new("user namespaces", state, in_force, FIX)
}

fn forwarding() -> Check {
    let value = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap_or_default();
    let on = value.trim() == "1";
    let state = if on { State::Ok } else { State::Warn };
    let in_force = if on { "on" } else { "off; the first network switches it on" };
    Check::new("net.ipv4.ip_forward", state, in_force, "sysctl -w net.ipv4.ip_forward=1")
}

fn disk(data_dir: &Path) -> Check {
    const FLOOR_BYTES: u64 = 2 << 30;
    let there = data_dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let free = rustix::fs::statvfs(there).map(|stat| stat.f_bavail * stat.f_frsize);
    let free = free.unwrap_or_default();
    let state = if free > FLOOR_BYTES { State::Ok } else { State::Warn };
    let in_force = format!("{} MiB free for {}", free >> 20, data_dir.display());
    Check::new("disk", state, in_force, "free at least 2 GiB, or use another --data-dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        for (said, version) in [
            ("containerd containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3", "1.6.20~ds1"),
            ("runc version 1.1.5+ds1\ncommit: x", "1.1.5+ds1"),
            ("nftables v1.0.6 (Lester Gooch #5)", "1.0.6"),
            ("iptables v1.8.9 (nf_tables)", "1.8.9"),
            ("OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17", "9.2p1"),
        ] {
            assert_eq!(version_in(said).as_deref(), Some(version));
        }
    }
}
