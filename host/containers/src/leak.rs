//! Everything on this machine that carries a host's id: for leak checks, and for people.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use windlass_model::HostId;

use crate::cgroup::{BUILDS, Cgroup};
use crate::engine::Engine;
use crate::error::Result;
use crate::network::leftovers;
use crate::runtime::{Labels, SPARE_PLACE};

/// Names of what is there, by kind. Kinds without anything are absent.
pub type Inventory = BTreeMap<&'static str, Vec<String>>;

/// What can be seen without containerd: processes, namespaces, bridges, rules, control groups, mounts.
pub fn machine(host: &HostId) -> Inventory {
    let run = Path::new("/run/windlass").join(host.as_str());
    let mut found = Inventory::new();
    add(&mut found, "processes", processes(host, &run));
    add(&mut found, "mounts", mounts(&run));
    add(&mut found, "cgroups", cgroups(host));
    add(&mut found, "network namespaces", entries(&run.join("network/netns")));
    add(&mut found, "network attachments", entries(&run.join("network/attachments")));
    add(&mut found, "networks", entries(&run.join("network/networks")));
    add(&mut found, "bridges", leftovers::bridges(host));
    add(&mut found, "nft tables", leftovers::tables(host));
    add(&mut found, "iptables rules", leftovers::iptables(host));
    add(&mut found, "run directory", entries(&run));
    found
}

impl Engine {
    /// What [`machine`] finds, without what belongs to the running engine itself and the place that is ready for
    /// the next build, and what containerd holds: containers, snapshots, leases, blobs.
    pub async fn inventory(&self) -> Result<Inventory> {
        let none = Labels::new();
        let mut found = machine(&self.config().host_id);
        found.remove("run directory");
        if let Some(pid) = self.containerd_pid()
            && let Some(processes) = found.get_mut("processes")
        {
            processes.retain(|process| !process.starts_with(&format!("{pid} ")));
        }
        leave_out_spare(&mut found);
        found.retain(|_, names| !names.is_empty());
        let containers = self.container_list(&none).await?;
        add(&mut found, "containers", containers.into_iter().map(|it| it.id).collect());
        let snapshots = self.snapshot_list(&none).await?;
        add(&mut found, "snapshots", snapshots.into_iter().map(|it| it.key).collect());
        add(&mut found, "leases", self.lease_list(&none).await?);
        let blobs = self.content_list(&none).await?;
        add(&mut found, "blobs", blobs.into_iter().map(|it| it.digest.to_string()).collect());
        Ok(found)
    }
}

/// Leaves out what a host that runs has for the next build: the newest place that is of nobody yet, and the DNS helper
/// for it.
pub fn leave_out_spare(found: &mut Inventory) {
    let numbers = found.get("network attachments").into_iter().flatten();
    let numbers = numbers.filter_map(|name| name.strip_prefix(SPARE_PLACE)?.parse::<u32>().ok());
    let Some(newest) = numbers.max() else { return };
    let spare = format!("{SPARE_PLACE}{newest}");
    for kind in ["network namespaces", "network attachments", "mounts"] {
        let names = found.entry(kind).or_default();
        names.retain(|name| Path::new(name).file_name() != Some(spare.as_ref()));
    }
    found.entry("processes").or_default().retain(|process| !process.contains("aardvark-dns"));
    found.retain(|_, names| !names.is_empty());
}

fn add(found: &mut Inventory, kind: &'static str, names: Vec<String>) {
    if !names.is_empty() {
        found.insert(kind, names);
    }
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Processes whose command line names the host: containerd, shims, loggers, the DNS helper.
fn processes(host: &HostId, run: &Path) -> Vec<String> {
    let marks = [format!("windlass-{host}"), run.display().to_string()];
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for pid in entries(Path::new("/proc")) {
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let is_part = ["containerd", "aardvark", "runc"].iter().any(|it| name.starts_with(it));
        let is_logger = line.contains(crate::logger::ROLE);
        if (is_part || is_logger) && marks.iter().any(|mark| line.contains(mark)) {
            found.push(format!("{pid} {}", line.trim()));
        }
    }
    found
}

fn mounts(run: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(1));
    points.filter(|point| Path::new(point).starts_with(run)).map(str::to_owned).collect()
}

/// Groups of containers; the empty parents of them do not count.
fn cgroups(host: &HostId) -> Vec<String> {
    let all = Cgroup::new(format!("windlass-{host}"));
    let parents = [all.dirs(), all.builds().dirs()].concat();
    let children = parents.iter().flat_map(|parent| {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !path.ends_with(BUILDS))
    });
    children.map(|path| path.display().to_string()).collect()
}

/// Output of a command as lines; none when it fails.
pub(crate) fn lines_of(program: &str, arguments: &[&str]) -> Vec<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}
