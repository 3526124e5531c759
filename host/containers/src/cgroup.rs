//! Control groups of containers, of both versions.
//!
//! **Invariant: only groups under our own parent group are read, killed in or removed.**

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::runtime::Usage;

/// Where control groups are mounted.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";

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
