//! Shims that containerd has lost.
//!
//! Each container has a shim, a process that containerd starts for it. When whoever asks for a container is killed
//! in the middle of it, containerd gives up what it is starting, and now and then leaves the shim behind, with its
//! logger and some 13 MB. containerd has no record of it then and cannot be asked to end it, so it is found among the
//! machine's processes.
//!
//! **Invariant: a container's record is there before its shim**, so a shim without a record is lost, or just ends.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How the program is called.
const PROGRAM: &str = "containerd-shim-runc-v2";
/// How long one may take to end by itself, before it is killed.
const ENDS_WITHIN: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// One process that is a shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shim {
    pid: Pid,
    /// The container that it is for.
    pub(crate) container: String,
}

/// The shims of a namespace of containerd, on the whole machine.
pub(crate) fn of(namespace: &str) -> Vec<Shim> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let shim = |pid| {
        let container = container_of(namespace, &command_line(pid)?)?;
        Some(Shim { pid, container })
    };
    pids.filter_map(Pid::from_raw).filter_map(shim).collect()
}

impl Shim {
    /// Ends it: it is asked to, and takes its socket away then, and is killed when it does not end.
    pub(crate) fn end(&self, namespace: &str) {
        let Ok(process) = pidfd_open(self.pid, PidfdFlags::empty()) else { return };
        // The number may be another process' by now; from here on it cannot become one.
        let container = command_line(self.pid).and_then(|line| container_of(namespace, &line));
        if container.as_ref() != Some(&self.container) {
            return;
        }
        for signal in [Signal::TERM, Signal::KILL] {
            let _gone = pidfd_send_signal(&process, signal);
            if has_ended(&process) {
                return;
            }
        }
    }
}

fn has_ended(process: &OwnedFd) -> bool {
    let mut ends = [PollFd::new(process, PollFlags::IN)];
    poll(&mut ends, Some(&ENDS_WITHIN)).is_ok_and(|ended| ended > 0)
}

fn command_line(pid: Pid) -> Option<String> {
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
    String::from_utf8(line).ok()
}

/// The container that a shim of this namespace is for, by its command line, in which a zero ends each word; `None`
/// for any other process. The commands by which containerd starts and deletes one have a word without a flag.
fn container_of(namespace: &str, line: &str) -> Option<String> {
    let mut words = line.split_terminator('\0');
    if Path::new(words.next()?).file_name() != Some(OsStr::new(PROGRAM)) {
        return None;
    }
    let (mut of, mut container) = (None, None);
    while let Some(flag) = words.next() {
        match flag {
            "-namespace" => of = words.next(),
            "-id" => container = words.next(),
            "-address" => drop(words.next()),
            "-debug" => {}
            _ => return None,
        }
    }
    container.filter(|_| of == Some(namespace)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_is_known_by_its_command_line() {
        let of = |line: &str| container_of("windlass-1", &line.replace(' ', "\0"));
        let line =
            "/usr/bin/containerd-shim-runc-v2 -namespace windlass-1 -id web -address /run/c.sock ";
        assert_eq!(of(line), Some("web".to_owned()));
        for other in [
            "/usr/bin/containerd-shim-runc-v2 -namespace windlass-12 -id web -address /run/c.sock ",
            "/usr/bin/containerd-shim-runc-v2 -namespace windlass-1 -id web start ",
            "/usr/bin/containerd-shim-runc-v2 -namespace windlass-1 ",
            "/usr/bin/grep -namespace windlass-1 -id web ",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
