//! The leak check: what is on the machine now that was not there before.
//!
//! Two looks that complete each other: what carries a host's id (also the containers crate's own
//! inventory), and what appeared on the machine since a [`Machine`] was taken. The second look leaves
//! out what carries the id of another Windlass host that is on the machine at the same time.
//!
//! Both come after a teardown, which takes away what the host itself would have left lying. So there is a
//! third look, at a host that runs: [`kept_for_nobody`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};
use windlass_model::{DeploymentId, HostId};

/// What a test itself makes on the machine, and removes, has this in its name.
const OF_A_TEST: &str = "wlt-";

/// How a deployment stands, as far as what it may hold depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits, is at work, serves, drains, was stopped (`start` brings it back), or is stuck with what
    /// could not be removed.
    MayHold,
    /// It has retired, failed, was cancelled, or was only built: its end was stored after all this had
    /// gone. What it may keep is an artifact, under names that are not its own.
    Over,
    /// There is no record of it: its project or environment was deleted.
    Unknown,
}

/// Kinds that lie in the data directory: a state that was lost or put back does not know all of them.
const OF_THE_DATA_DIR: [&str; 2] = ["workspaces", "scratch files of builds"];

/// What a host holds for deployments that may hold nothing any more, as `kind: name`. Only what has its
/// name from a deployment counts, and no one-off command: that outlives the deployment it was begun in.
pub fn kept_for_nobody(
    held: &[(&'static str, Vec<String>)],
    mut standing: impl FnMut(&DeploymentId) -> Standing,
) -> Vec<String> {
    let mut kept = Vec::new();
    for (kind, names) in held {
        for name in names {
            let Some(owner) = owner(name) else { continue };
            let is_kept = match standing(&owner) {
                Standing::MayHold => false,
                Standing::Over => true,
                Standing::Unknown => !OF_THE_DATA_DIR.contains(kind),
            };
            if is_kept {
                kept.push(format!("{kind}: {name}"));
            }
        }
    }
    kept
}

/// The deployment that a thing has its name from: `ID.web.0`, `container-ID.web.0`, `build-ID-0-1`,
/// `ID.prepared`, `ID.gone`, `ID`; of a path the last part counts.
fn owner(name: &str) -> Option<DeploymentId> {
    const ID_CHARS: usize = 26;
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.strip_prefix("container-").unwrap_or(name);
    let name = name.strip_prefix("build-").unwrap_or(name);
    let (id, rest) = name.split_at_checked(ID_CHARS)?;
    let is_one_off = rest.starts_with(".run-");
    let ends_there = rest.is_empty() || rest.starts_with(['.', '-']);
    (ends_there && !is_one_off).then(|| id.parse().ok()).flatten()
}

/// Everything of the kinds that Windlass makes, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Names by kind.
    found: BTreeMap<&'static str, BTreeSet<String>>,
    /// Ids of all hosts that are on the machine.
    hosts: BTreeSet<String>,
}

impl Machine {
    /// The machine as it is.
    pub fn now() -> Self {
        let found = BTreeMap::from([
            ("network namespace", names_in("/run/netns")),
            ("bridge", bridges()),
            ("nft table", lines_of("nft", &["list", "tables"])),
            ("iptables rule", netavark_rules()),
            ("cgroup", cgroups()),
            ("mount", mounts().into_iter().filter(|point| point.starts_with("/run/")).collect()),
            ("run directory", names_in("/run/windlass")),
            ("process", helpers()),
        ]);
        let mut machine = Self { found, hosts: names_in("/run/windlass") };
        for names in machine.found.values_mut() {
            names.retain(|name| !name.contains(OF_A_TEST));
        }
        machine
    }

    /// What is here and was not there, as `kind: name`, without what belongs to other hosts.
    pub fn since(&self, before: &Self, own: Option<&HostId>) -> Vec<String> {
        let others: Vec<&String> = self
            .hosts
            .union(&before.hosts)
            .filter(|id| own.is_none_or(|own| own.as_str() != id.as_str()))
            .collect();
        let none = BTreeSet::new();
        let mut appeared = Vec::new();
        for (kind, names) in &self.found {
            for name in names.difference(before.found.get(kind).unwrap_or(&none)) {
                if !others.iter().any(|id| is_of(name, id)) {
                    appeared.push(format!("{kind}: {name}"));
                }
            }
        }
        appeared
    }
}

/// Whether a name carries a host's id: whole, or the six digits that a bridge's name has room for.
fn is_of(name: &str, host: &str) -> bool {
    let bridge = host.get(..6).map(|six| format!("wl{six}"));
    name.contains(host) || bridge.is_some_and(|bridge| name.contains(&bridge))
}

/// What a host has left on the machine since `before`: empty after its teardown.
pub fn leftovers(before: &Machine, host: Option<&HostId>, data_dir: &Path) -> Vec<String> {
    let mut left = Machine::now().since(before, host);
    if let Some(host) = host {
        for (kind, names) in windlass_containers::leak::machine(host) {
            left.extend(names.into_iter().map(|name| format!("{kind}: {name}")));
        }
    }
    let dir = data_dir.display().to_string();
    for pid in pids_naming(&dir) {
        left.push(format!("process: {pid} {}", command_line(pid)));
    }
    let mounted = mounts().into_iter().filter(|point| Path::new(point).starts_with(data_dir));
    left.extend(mounted.map(|point| format!("mount: {point}")));
    left.sort();
    left.dedup();
    left
}

/// Processes (this one and its parents left out) whose command line contains a text.
pub fn pids_naming(text: &str) -> Vec<u32> {
    let own = std::process::id();
    let pids = names_in("/proc").into_iter().filter_map(|name| name.parse().ok());
    let mut pids: Vec<u32> =
        pids.filter(|pid| *pid != own && command_line(*pid).contains(text)).collect();
    pids.sort_unstable();
    pids
}

/// Removes what a host that could not be torn down has left. Best effort.
pub fn force_clean(host: Option<&HostId>, data_dir: &Path) {
    let mut marks = vec![data_dir.display().to_string()];
    marks.extend(host.map(|host| format!("windlass-{host}")));
    marks.extend(host.map(|host| format!("/run/windlass/{host}")));
    for pid in marks.iter().flat_map(|mark| pids_naming(mark)) {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    let Some(host) = host else { return };
    let run = PathBuf::from(format!("/run/windlass/{host}"));
    let mut points: Vec<String> = mounts().into_iter().collect();
    points.retain(|point| {
        Path::new(point).starts_with(&run) || Path::new(point).starts_with(data_dir)
    });
    points.sort();
    for point in points.iter().rev() {
        quietly("umount", &["--lazy", point]);
    }
    for bridge in bridges().into_iter().filter(|name| is_of(name, host.as_str())) {
        quietly("ip", &["link", "delete", &bridge]);
    }
    for table in lines_of::<Vec<_>>("nft", &["list", "tables"]) {
        if table.contains(host.as_str()) {
            let mut words = vec!["delete"];
            words.extend(table.split(' '));
            quietly("nft", &words);
        }
    }
    for group in cgroups().iter().filter(|group| group.contains(host.as_str())).rev() {
        let _ = std::fs::write(Path::new(group).join("cgroup.kill"), "1");
        let _ = std::fs::remove_dir(group);
    }
    let _ = std::fs::remove_dir_all(run);
}

pub(crate) fn names_in(dir: impl AsRef<Path>) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn bridges() -> BTreeSet<String> {
    let is_bridge = |name: &String| Path::new("/sys/class/net").join(name).join("bridge").is_dir();
    names_in("/sys/class/net").into_iter().filter(is_bridge).collect()
}

/// Rules of single networks. netavark's shared chains, and jumps to them, go with the last network of
/// all hosts.
fn netavark_rules() -> BTreeSet<String> {
    let rules_of = |table| lines_of::<Vec<_>>("iptables-save", &["-t", table]);
    let rules = ["filter", "nat"].into_iter().flat_map(rules_of);
    rules.filter(|rule| rule.contains("wl-") || names_bridge(rule)).collect()
}

fn names_bridge(rule: &str) -> bool {
    rule.split_whitespace().any(|word| word.len() == 15 && word.starts_with("wl"))
}

/// Control groups of hosts and of their containers; an empty group of a host itself counts too.
fn cgroups() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if path.to_string_lossy().contains("windlass-") {
                found.insert(path.display().to_string());
            }
            // Groups of containers lie at most four folders deep under either version's root.
            if path.components().count() < 9 {
                open.push(path);
            }
        }
    }
    found
}

fn mounts() -> BTreeSet<String> {
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(1));
    points.filter(|point| !point.starts_with("/proc/")).map(str::to_owned).collect()
}

/// Processes of the kinds that a host starts: containerd, shims, runc, loggers, DNS helpers, proxies.
fn helpers() -> BTreeSet<String> {
    let pids = names_in("/proc").into_iter().filter_map(|name| name.parse::<u32>().ok());
    let lines = pids.map(|pid| (pid, command_line(pid)));
    let kinds = ["containerd", "aardvark-dns", "netavark", "windlass"];
    let is_helper = |line: &str| {
        let program = line.split(' ').next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default();
        kinds.iter().any(|kind| program.starts_with(kind)) || program == "runc"
    };
    let found = lines.filter(|(_, line)| is_helper(line) && line.contains("/run/windlass/"));
    found.map(|(pid, line)| format!("{pid} {line}")).collect()
}

fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

fn lines_of<T: FromIterator<String>>(program: &str, args: &[&str]) -> T {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

fn quietly(program: &str, args: &[&str]) {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = command.status();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thing of each kind, named as the host names it.
    fn held(id: &DeploymentId) -> Vec<(&'static str, Vec<String>)> {
        let names = |names: &[String]| names.to_vec();
        vec![
            ("containers", names(&[format!("{id}.web.0"), format!("{id}.migrate")])),
            ("tasks", names(&[format!("build-{id}-0-1")])),
            ("snapshots", names(&[format!("container-{id}.web.0"), format!("{id}.prepared")])),
            ("leases", names(&[format!("build-{id}")])),
            ("cgroups", names(&[format!("/sys/fs/cgroup/windlass-0a1b2c3d/{id}.web.0")])),
            ("workspaces", names(&[id.to_string(), format!("{id}.gone")])),
            ("scratch files of builds", names(&[id.to_string()])),
        ]
    }

    #[test]
    fn what_is_held_for_a_deployment_that_is_over_is_named_whatever_it_is() {
        let id = DeploymentId::generate();
        let held = held(&id);
        let all = held.iter().map(|(_, names)| names.len()).sum::<usize>();
        let kept = kept_for_nobody(&held, |_| Standing::Over);
        assert_eq!(kept.len(), all, "{kept:#?}");
        assert!(kept.contains(&format!("tasks: build-{id}-0-1")), "{kept:#?}");
        assert_eq!(kept_for_nobody(&held, |_| Standing::MayHold), Vec::<String>::new());
    }

    #[test]
    fn each_thing_counts_for_the_deployment_it_has_its_name_from() {
        let (live, over) = (DeploymentId::generate(), DeploymentId::generate());
        let both: Vec<_> = held(&live).into_iter().chain(held(&over)).collect();
        let kept = kept_for_nobody(&both, |id| match *id == live {
            true => Standing::MayHold,
            false => Standing::Over,
        });
        assert_eq!(kept, kept_for_nobody(&held(&over), |_| Standing::Over));
    }

    #[test]
    fn what_may_stay_is_not_named() {
        let id = DeploymentId::generate();
        let digest = windlass_model::Digest::of(b"step").hex().to_owned();
        let stays = [
            format!("{id}.run-0123456789"),
            format!("container-{id}.run-0123456789"),
            // The result of a step, and one that was asked for without the cache.
            format!("step-{digest}"),
            format!("step-{digest}-{id}"),
            format!("base-{digest}"),
            format!("{id}x.web.0"),
            "KEY".to_owned(),
        ];
        let held = vec![("snapshots", stays.to_vec())];
        assert_eq!(kept_for_nobody(&held, |_| Standing::Over), Vec::<String>::new());
    }

    #[test]
    fn of_a_deployment_without_a_record_only_files_may_be_left() {
        let id = DeploymentId::generate();
        let kept = kept_for_nobody(&held(&id), |_| Standing::Unknown);
        assert!(kept.contains(&format!("containers: {id}.web.0")), "{kept:#?}");
        assert!(kept.contains(&format!("leases: build-{id}")), "{kept:#?}");
        assert!(kept.iter().all(|one| !one.starts_with("workspaces")), "{kept:#?}");
    }
}
