//! Control groups of containers, of both versions.
//!
//! **Invariant: only groups under our own parent group are read, killed in or removed.**

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::error::{Result, RuntimeError};
use crate::runtime::Usage;

/// Where control groups are mounted.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";
/// Period of CPU quotas, in microseconds.
pub(crate) const CPU_PERIOD_US: u64 = 100_000;
/// Below the parent of all: the parent of the groups of builds. No container's id begins with a dot.
pub(crate) const BUILDS: &str = ".builds";
/// The least quota that the kernel takes, in microseconds.
const QUOTA_US_MIN: u64 = 1000;

/// The part of a period that so many thousandths of a core are, in microseconds.
pub(crate) fn quota_us(millis: u32) -> u64 {
    (u64::from(millis) * CPU_PERIOD_US / 1000).max(QUOTA_US_MIN)
}

/// Whether only version 2 is in use. runc decides by the same sign.
pub(crate) fn is_v2() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// Whether memory and swap can be limited together.
pub(crate) fn limits_swap() -> bool {
    if !is_v2() {
        return Path::new(ROOT).join("memory/memory.memsw.limit_in_bytes").exists();
    }
    let groups = std::fs::read_dir(ROOT).into_iter().flatten().flatten();
    groups.into_iter().any(|group| group.path().join("memory.swap.max").exists())
}

/// The group of one container, or the parent of all.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup {
    name: String,
}

impl Cgroup {
    /// The group with this path below the root, without a leading slash.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// The group of this name below it.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self::new(format!("{}/{name}", self.name))
    }

    /// The parent of the groups of builds, below this parent of all.
    pub(crate) fn builds(&self) -> Self {
        self.child(BUILDS)
    }

    /// Its path from the root, as runc is told it.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Whether there is one.
    pub(crate) fn exists(&self) -> bool {
        !self.dirs().is_empty()
    }

    /// Makes the group, and limits the CPU of everything below it together, in thousandths of a core; 0 is
    /// all. `shares` is its part when the CPU is short, of the usual 1024; 0 is the usual.
    pub(crate) fn limit_cpu(&self, millis: u32, shares: u32) -> Result<()> {
        let v2 = is_v2();
        if v2 {
            self.pass_cpu_on();
        }
        let dir = Path::new(ROOT).join(if v2 { "" } else { "cpu" }).join(&self.name);
        std::fs::create_dir_all(&dir).map_err(RuntimeError::io("make control group", &dir))?;
        let files = if v2 { cpu_files_v2(millis, shares) } else { cpu_files_v1(millis, shares) };
        for (file, value) in files {
            let path = dir.join(file);
            let known = std::fs::read_to_string(&path).unwrap_or_default();
            if known.trim() == value {
                continue;
            }
            match std::fs::write(&path, value) {
                // Without a limit there is nothing that must hold.
                Err(error) if millis == 0 => {
                    tracing::debug!(%error, path = %path.display(), "builds have the usual CPU");
                }
                written => written.map_err(RuntimeError::io("limit", &path))?,
            }
        }
        Ok(())
    }

    /// Version 2 limits the CPU of a group only if those above it say so.
    fn pass_cpu_on(&self) {
        let mut dir = PathBuf::from(ROOT);
        for part in Path::new(&self.name) {
            let _ = std::fs::create_dir(&dir);
            let control = dir.join("cgroup.subtree_control");
            // What comes of it shows when the limit is written.
            let _ = std::fs::write(control, "+cpu");
            dir.push(part);
        }
    }

    /// Makes the group, below an existing one, and moves a process with all that it has started into it.
    /// One hierarchy is enough to hold processes together, and limits go on holding from above.
    pub(crate) fn adopt(&self, pid: u32) {
        let dir = match is_v2() {
            true => Path::new(ROOT).join(&self.name),
            false => Path::new(ROOT).join("pids").join(&self.name),
        };
        if let Err(error) = std::fs::create_dir_all(&dir) {
            tracing::warn!(%error, group = self.name, "a control group could not be made");
            return;
        }
        let (inside, above) = (dir.join("cgroup.procs"), dir.join("../cgroup.procs"));
        let mut adopted = vec![pid];
        // One that has ended meanwhile cannot be moved, and need not be.
        let _ = std::fs::write(&inside, pid.to_string());
        loop {
            let outside = std::fs::read_to_string(&above).unwrap_or_default();
            let is_theirs = |pid: &u32| parent_of(*pid).is_some_and(|it| adopted.contains(&it));
            let new: Vec<u32> =
                outside.lines().filter_map(|line| line.parse().ok()).filter(is_theirs).collect();
            if new.is_empty() {
                return;
            }
            for pid in &new {
                let _ = std::fs::write(&inside, pid.to_string());
            }
            adopted.extend(new);
        }
    }

    /// Its directories: one in version 2, one of every controller in version 1.
    pub(crate) fn dirs(&self) -> Vec<PathBuf> {
        if is_v2() {
            return existing(Path::new(ROOT).join(&self.name));
        }
        let controllers = std::fs::read_dir(ROOT).into_iter().flatten().flatten();
        let mut dirs: Vec<PathBuf> = controllers
            .flat_map(|controller| existing(controller.path().join(&self.name)))
            .collect();
        dirs.sort();
        dirs.dedup();
        dirs
    }

    /// Processes that the kernel killed in it for want of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let (controller, file) =
            if is_v2() { ("", "memory.events") } else { ("memory", "memory.oom_control") };
        self.keyed(controller, file, "oom_kill").unwrap_or_default()
    }

    /// How often a process was refused because there were as many as may be.
    pub(crate) fn forks_refused(&self) -> u64 {
        let controller = if is_v2() { "" } else { "pids" };
        self.keyed(controller, "pids.events", "max").unwrap_or_default()
    }

    /// The processes in it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let dir = match is_v2() {
            true => Path::new(ROOT).join(&self.name),
            false => Path::new(ROOT).join("pids").join(&self.name),
        };
        let listed = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        listed.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// What it uses now.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let v2 = is_v2();
        let memory = if v2 { ("", "memory.current") } else { ("memory", "memory.usage_in_bytes") };
        let cpu_us = if v2 {
            self.keyed("", "cpu.stat", "usage_usec")
        } else {
            self.number("cpuacct", "cpuacct.usage").map(|ns| ns / 1000)
        };
        let stat = if v2 { "inactive_file" } else { "total_inactive_file" };
        // What the kernel gives up first is no need of the application.
        let cache = self.keyed(memory.0, "memory.stat", stat).unwrap_or_default();
        Some(Usage {
            memory_bytes: self.number(memory.0, memory.1)?.saturating_sub(cache),
            memory_limit_bytes: self.memory_limit(),
            cpu_us: cpu_us.unwrap_or_default(),
            pids: self.number(if v2 { "" } else { "pids" }, "pids.current").unwrap_or_default(),
            oom_kills: self.oom_kills(),
        })
    }

    /// The memory it may use; 0 when it has no limit.
    fn memory_limit(&self) -> u64 {
        let (controller, file) =
            if is_v2() { ("", "memory.max") } else { ("memory", "memory.limit_in_bytes") };
        // "max" in version 2, and about 2^63 in version 1, stand for none.
        self.number(controller, file).filter(|bytes| *bytes < 1 << 60).unwrap_or_default()
    }

    /// Kills what is left in it and removes it, with the groups below it.
    pub(crate) fn destroy(&self) {
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let dirs = self.dirs();
            if dirs.is_empty() {
                return;
            }
            let killed = dirs.iter().map(|dir| kill_and_remove(dir)).sum::<usize>();
            if killed > 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        tracing::warn!(group = self.name, "a control group could not be removed");
    }

    fn file(&self, controller: &str, file: &str) -> PathBuf {
        Path::new(ROOT).join(controller).join(&self.name).join(file)
    }

    fn number(&self, controller: &str, file: &str) -> Option<u64> {
        std::fs::read_to_string(self.file(controller, file)).ok()?.trim().parse().ok()
    }

    fn keyed(&self, controller: &str, file: &str, key: &str) -> Option<u64> {
        let text = std::fs::read_to_string(self.file(controller, file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
    }
}

/// The parent of a process, by `/proc`; the name in it may hold anything but ends at the last `)`.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn cpu_files_v1(millis: u32, shares: u32) -> Vec<(&'static str, String)> {
    let quota = if millis == 0 { "-1".to_owned() } else { quota_us(millis).to_string() };
    let mut files =
        vec![("cpu.cfs_period_us", CPU_PERIOD_US.to_string()), ("cpu.cfs_quota_us", quota)];
    if shares > 0 {
        files.push(("cpu.shares", shares.to_string()));
    }
    files
}

fn cpu_files_v2(millis: u32, shares: u32) -> Vec<(&'static str, String)> {
    let quota = if millis == 0 { "max".to_owned() } else { quota_us(millis).to_string() };
    let mut files = vec![("cpu.max", format!("{quota} {CPU_PERIOD_US}"))];
    if shares > 0 {
        files.push(("cpu.weight", weight(shares).to_string()));
    }
    files
}

/// Shares as version 2 counts them, as runc turns them: 2 to 262144 become 1 to 10000.
fn weight(shares: u32) -> u64 {
    1 + (u64::from(shares).clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn existing(path: PathBuf) -> Vec<PathBuf> {
    if path.is_dir() { vec![path] } else { Vec::new() }
}

/// Kills every process below a group and removes the empty groups; how many were killed.
fn kill_and_remove(dir: &Path) -> usize {
    let mut killed = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            killed += kill_and_remove(&entry.path());
        }
    }
    for line in std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
        if let Some(pid) = line.parse().ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            killed += 1;
        }
    }
    let _ = std::fs::remove_dir(dir);
    killed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_told_the_same_limit() {
        let v1 = [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "150000")];
        let v1 = v1.into_iter().chain([("cpu.shares", "256")]);
        let owned = |(file, value): (&'static str, &str)| (file, value.to_owned());
        assert_eq!(cpu_files_v1(1500, 256), v1.map(owned).collect::<Vec<_>>());
        let v2 = [("cpu.max", "150000 100000"), ("cpu.weight", "10")];
        assert_eq!(cpu_files_v2(1500, 256), v2.map(owned));
        assert_eq!(cpu_files_v1(0, 0)[1].1, "-1");
        assert_eq!(cpu_files_v2(0, 0), [("cpu.max", "max 100000".to_owned())]);
        assert_eq!((quota_us(1), weight(1024), weight(262_144)), (1000, 39, 10_000));
    }
}
