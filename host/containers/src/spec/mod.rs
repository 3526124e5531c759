//! From our container specification to the OCI one.
//!
//! **Invariant: every container gets the same walls**: default seccomp profile, reduced capabilities, no
//! new privileges, masked and read-only kernel paths, no devices but the harmless ones, own namespaces.
//! There is no privileged mode.

mod seccomp;

use std::path::Path;

use serde_json::{Value, json};

use crate::cgroup;
use crate::error::{Result, RuntimeError};
use crate::files::Files;
use crate::init;
use crate::runtime::{ContainerSpec, Mount, ResourceLimits};
use crate::userdb::User;
use crate::userns::{self, Staged};

/// The usual fourteen of container engines without `CAP_NET_RAW` (forged packets on the shared bridge)
/// and `CAP_MKNOD` (device nodes). A package installation as root needs the others.
pub const CAPABILITIES: [&str; 12] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

const MASKED_PATHS: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

const READ_ONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Open files of a process: what common servers ask for.
const OPEN_FILES_MAX: u64 = 65_536;
/// Containers go before the host's own processes when memory runs out.
const OOM_SCORE: i64 = 200;
/// `/dev/shm`, which counts as the container's memory.
const SHM_BYTES: u64 = 64 << 20;

/// What the engine found or made for a container.
pub(crate) struct Surroundings<'a> {
    pub(crate) user: &'a User,
    pub(crate) netns: Option<&'a Path>,
    pub(crate) files: &'a Files,
    /// The first process of those that want ours.
    pub(crate) init: &'a Path,
    pub(crate) cgroup: String,
    pub(crate) limits_swap: bool,
    pub(crate) open_files_max: u64,
    /// What a container with a user namespace of its own is mounted from.
    pub(crate) staged: Option<&'a Staged>,
}

/// Open files that a container may be given: what common servers ask for, as far as this machine allows
/// (raising a limit needs a capability that the host itself may lack).
pub(crate) fn open_files_max() -> u64 {
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    own.maximum.unwrap_or(OPEN_FILES_MAX).min(OPEN_FILES_MAX)
}

/// Refuses what could not work, before anything is made.
pub(crate) fn check(spec: &ContainerSpec) -> Result<()> {
    check_id(&spec.id)?;
    let invalid = |what, given: &str, rule| {
        Err(RuntimeError::Invalid { what, given: given.to_owned(), rule })
    };
    if spec.argv.first().is_none_or(String::is_empty) {
        return invalid("command", "", "name a command to run");
    }
    if !spec.cwd.starts_with('/') {
        return invalid("working directory", &spec.cwd, "use an absolute path");
    }
    for (name, value) in &spec.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return invalid("variable", name, "names hold no `=`, values no NUL byte");
        }
    }
    for mount in &spec.mounts {
        let (Mount::Bind { target, .. }
        | Mount::Overlay { target, .. }
        | Mount::Tmpfs { target, .. }) = mount;
        if !target.starts_with('/') {
            return invalid("mount target", target, "use an absolute path");
        }
    }
    Ok(())
}

/// Refuses ids that containerd, or a file name, cannot hold.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    // containerd allows separators between letters and digits only, and no two dots in a row.
    let fits = (1..=76).contains(&id.len())
        && id.chars().all(inner)
        && edge(id.chars().next())
        && edge(id.chars().last())
        && !["..", "._", "_.", "-.", ".-"].iter().any(|pair| id.contains(pair));
    if fits {
        return Ok(());
    }
    Err(RuntimeError::Invalid {
        what: "container id",
        given: id.to_owned(),
        rule: "use 1 to 76 letters, digits and single separators `_.-` between them",
    })
}

/// The OCI runtime specification.
pub(crate) fn oci(spec: &ContainerSpec, around: &Surroundings<'_>) -> Value {
    let mut oci = json!({
        "ociVersion": "1.0.2",
        "hostname": around.files.hostname,
        "root": { "path": "rootfs", "readonly": spec.read_only_root },
        "process": process(spec, around),
        "mounts": mounts(spec, around),
        "linux": {
            "cgroupsPath": around.cgroup,
            "namespaces": namespaces(around),
            "resources": resources(&spec.limits, around.limits_swap),
            "seccomp": seccomp::profile(),
            "maskedPaths": MASKED_PATHS,
            "readonlyPaths": READ_ONLY_PATHS,
        },
    });
    if around.staged.is_some() {
        let map = json!([{ "containerID": 0, "hostID": userns::FIRST, "size": userns::COUNT }]);
        oci["linux"]["uidMappings"] = map.clone();
        oci["linux"]["gidMappings"] = map;
    }
    oci
}

/// The command as the child of our first process, where that is wanted.
fn under_init(spec: &ContainerSpec) -> Option<Vec<String>> {
    if spec.init { init::wrap(&spec.argv) } else { None }
}

fn process(spec: &ContainerSpec, around: &Surroundings<'_>) -> Value {
    let user = around.user;
    let args = under_init(spec).unwrap_or_else(|| spec.argv.clone());
    json!({
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups },
        "args": args,
        "env": environment(spec, around),
        "cwd": spec.cwd,
        "noNewPrivileges": true,
        "oomScoreAdj": OOM_SCORE,
        "rlimits": [
            { "type": "RLIMIT_NOFILE", "soft": around.open_files_max, "hard": around.open_files_max },
            { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
        ],
        "capabilities": {
            "bounding": CAPABILITIES,
            "effective": CAPABILITIES,
            "permitted": CAPABILITIES,
        },
    })
}

fn environment(spec: &ContainerSpec, around: &Surroundings<'_>) -> Vec<String> {
    let mut env: Vec<String> =
        spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let defaults = [
        ("PATH", DEFAULT_PATH),
        ("HOME", around.user.home.as_str()),
        ("HOSTNAME", around.files.hostname.as_str()),
    ];
    for (name, value) in defaults {
        if !spec.env.iter().any(|(given, _)| given == name) {
            env.push(format!("{name}={value}"));
        }
    }
    env
}

fn namespaces(around: &Surroundings<'_>) -> Value {
    let network = match around.netns {
        Some(path) => json!({ "type": "network", "path": path }),
        None => json!({ "type": "network" }),
    };
    let mut all = vec![network];
    let own = ["pid", "ipc", "uts", "mount", "cgroup"].into_iter();
    let own = own.chain(around.staged.map(|_| "user"));
    all.extend(own.map(|kind| json!({ "type": kind })));
    Value::Array(all)
}

fn resources(limits: &ResourceLimits, limits_swap: bool) -> Value {
    let mut resources = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    if limits.memory_bytes > 0 {
        let mut memory = json!({ "limit": limits.memory_bytes });
        if limits_swap {
            memory["swap"] = json!(limits.memory_bytes);
        }
        resources["memory"] = memory;
    }
    if limits.cpu_millis > 0 {
        let quota_us = cgroup::quota_us(limits.cpu_millis);
        resources["cpu"] = json!({ "quota": quota_us, "period": cgroup::CPU_PERIOD_US });
    }
    if limits.cpu_shares > 0 {
        resources["cpu"]["shares"] = json!(limits.cpu_shares);
    }
    if limits.pids > 0 {
        resources["pids"] = json!({ "limit": limits.pids });
    }
    resources
}

fn mounts(spec: &ContainerSpec, around: &Surroundings<'_>) -> Vec<Value> {
    let special = |target: &str, kind: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": kind, "options": options });
    let shm = format!("size={SHM_BYTES}");
    let mut all = vec![
        special("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        special("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        special(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        special("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &shm]),
        special("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        match around.staged.and_then(|staged| staged.sys.as_deref()) {
            Some(sys) => {
                let mut sys = bind(sys, "/sys", true);
                sys["options"] = json!(["rbind", "rprivate", "nosuid", "noexec", "nodev", "ro"]);
                sys
            }
            None => special("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        },
        special("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ];
    for (source, target) in &around.files.mounts {
        all.push(bind(source, target, false));
    }
    if under_init(spec).is_some() {
        all.push(bind(around.init, init::TARGET, true));
    }
    for mount in &spec.mounts {
        all.push(match mount {
            Mount::Bind { source, target, read_only } => bind(source, target, *read_only),
            Mount::Overlay { lower, upper, work, target } => {
                let dirs = [("lowerdir", lower), ("upperdir", upper), ("workdir", work)];
                let dirs = dirs.map(|(option, dir)| format!("{option}={}", dir.display()));
                let mut options = ["nosuid", "nodev"].to_vec();
                options.extend(userns::WHOLE);
                options.extend(dirs.iter().map(String::as_str));
                special(target, "overlay", &options)
            }
            Mount::Tmpfs { target, bytes_max, mode } => special(
                target,
                "tmpfs",
                &["nosuid", "nodev", &format!("size={bytes_max}"), &format!("mode={mode:o}")],
            ),
        });
    }
    all
}

fn bind(source: &Path, target: &str, read_only: bool) -> Value {
    let access = if read_only { "ro" } else { "rw" };
    json!({
        "destination": target,
        "type": "bind",
        "source": source,
        "options": ["rbind", "rprivate", "nosuid", "nodev", access],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_containerd_refuses_are_refused_first() {
        for good in ["a", "web-1", "01hx_y.z", &"a".repeat(76)] {
            check_id(good).unwrap();
        }
        for bad in ["", "-a", "a-", "a..b", "a/b", "ä", "../x", &"a".repeat(77)] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_of_zero_are_no_limits() {
        let none = resources(&ResourceLimits::default(), true);
        assert_eq!(none, json!({ "devices": [{ "allow": false, "access": "rwm" }] }));
        let some =
            ResourceLimits { memory_bytes: 1 << 20, cpu_millis: 500, cpu_shares: 256, pids: 7 };
        let some = resources(&some, true);
        assert_eq!(some["memory"], json!({ "limit": 1 << 20, "swap": 1 << 20 }));
        assert_eq!(some["cpu"], json!({ "quota": 50_000, "period": 100_000, "shares": 256 }));
        assert_eq!(some["pids"]["limit"], 7);
    }
}
