//! User namespaces: root of a container that is nobody on the host.
//!
//! On the disk every file keeps its owner: mounts that the host makes translate them ([idmapped
//! mounts](https://man7.org/linux/man-pages/man2/mount_setattr.2.html)), so a snapshot is the same whether it
//! was written with or without a namespace. An overlay cannot be translated itself, but its layers can.
//!
//! **Invariant: what is staged lives until its container is created, and no longer.** The container's own
//! mounts hold what they need; the next start sweeps what a killed host had staged ([`crate::mount`]).

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use containerd_client::types::Mount as SnapshotMount;
use rustix::fs::CWD;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{Result, RuntimeError};
use crate::mount;
use crate::runtime::Mount;
use crate::userdb::User;

/// The host's id of root in a namespace; no account of a usual machine is near it.
pub(crate) const FIRST: u32 = 1_000_000_000;
/// Ids of a namespace: what an image's files may belong to.
pub(crate) const COUNT: u32 = 1_000_000_000;

/// The kernel's `struct mount_attr`.
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

const ATTR_RDONLY: u64 = 0x1;
const ATTR_NOSUID: u64 = 0x2;
const ATTR_NODEV: u64 = 0x4;
const ATTR_NOEXEC: u64 = 0x8;
const ATTR_IDMAP: u64 = 0x0010_0000;
/// In containers nothing of the host is a device or changes the user; what a file system of the host forbids
/// to execute besides would be locked, and runc could not mount it.
const BOUND: MountAttr = MountAttr {
    attr_set: ATTR_NOSUID | ATTR_NODEV,
    attr_clr: ATTR_NOEXEC,
    propagation: 0,
    userns_fd: 0,
};

/// The translation between a namespace and the disk: the kernel takes it as a namespace with these ids.
#[derive(Debug)]
pub(crate) struct IdMap {
    namespace: OwnedFd,
}

impl IdMap {
    /// Tries out whether this machine can do all that is needed, with files in `scratch`, which goes, and mounts
    /// in `mounts`; and whether containerd, if it listens at this socket, sees what is mounted; else why not.
    pub(crate) fn probe(
        scratch: &Path,
        mounts: &Path,
        containerd: Option<&Path>,
    ) -> Result<Self, String> {
        match containerd.map(sees_our_mounts) {
            None | Some(Ok(true)) => {}
            Some(Ok(false)) => {
                return Err("containerd does not see what is mounted here".to_owned());
            }
            Some(Err(e)) => return Err(format!("containerd's process cannot be looked at: {e}")),
        }
        let fresh_proc = Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
                "true",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match fresh_proc {
            Ok(status) if status.success() => {}
            Ok(_) => return Err("the kernel does not allow user namespaces".to_owned()),
            Err(_) => return Err("`unshare` is not there to try them".to_owned()),
        }
        let map = Self::new().map_err(|e| format!("no user namespace can be made: {e}"))?;
        // Also before: a host that was killed here has left it.
        let _left = std::fs::remove_dir_all(scratch);
        let tried = map.try_in(scratch, mounts);
        let _left = std::fs::remove_dir_all(scratch);
        match tried {
            Ok(FIRST) => Ok(map),
            Ok(_) => Err("an overlay does not translate the owners of its layers".to_owned()),
            Err(e) => Err(format!("files of {} cannot be translated: {e}", scratch.display())),
        }
    }

    fn new() -> io::Result<Self> {
        let mut holder = Command::new("cat");
        holder.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: unshare is async-signal-safe and touches no memory of the parent; the child shares no file
        // descriptors with it that it would use afterwards.
        unsafe {
            holder.pre_exec(|| {
                rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWUSER)
                    .map_err(Into::into)
            });
        }
        // Spawning returns after the program has begun, so the namespace is there.
        let mut holder = holder.spawn()?;
        let of = |name: &str| format!("/proc/{}/{name}", holder.id());
        let ids = format!("0 {FIRST} {COUNT}");
        let opened = std::fs::write(of("uid_map"), &ids)
            .and_then(|()| std::fs::write(of("gid_map"), &ids))
            .and_then(|()| std::fs::File::open(of("ns/user")));
        drop(holder.stdin.take());
        holder.wait()?;
        Ok(Self { namespace: opened?.into() })
    }

    /// The owner that root's file has when it is seen through an overlay of translated layers.
    fn try_in(&self, scratch: &Path, mounts: &Path) -> io::Result<u32> {
        for name in ["lower", "changes/upper", "changes/work"] {
            std::fs::create_dir_all(scratch.join(name))?;
        }
        std::fs::write(scratch.join("lower/file"), "")?;
        let stage = Stage::new(mounts).map_err(io::Error::other)?;
        let root = stage.overlay(
            self,
            &Layers {
                lower: vec![scratch.join("lower")],
                changes: Some((scratch.join("changes/upper"), scratch.join("changes/work"))),
                // Nothing of it is kept: else the kernel would sync the whole file system after it.
                others: vec![mount::UNSYNCED.to_owned()],
            },
        )?;
        if rustix::fs::statvfs(&root)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            return Err(io::Error::other("an overlay of them cannot be written to"));
        }
        Ok(std::fs::metadata(root.join("file"))?.uid())
    }

    /// Stages what a container is made of.
    pub(crate) fn stage(
        &self,
        parent: &Path,
        rootfs: &[SnapshotMount],
        netns: Option<&Path>,
        mounts: &[Mount],
        files: &[(PathBuf, &'static str)],
    ) -> Result<Staged> {
        let stage = Stage::new(parent)?;
        let failed = |e: io::Error| RuntimeError::io("translate owners for", &stage.dir)(e);
        let root = match rootfs {
            [one] if one.r#type == "bind" => {
                stage.place(Some(self), Path::new(&one.source), MountAttr::default())
            }
            [one] => Layers::of(&one.options)
                .ok_or_else(|| io::Error::other("an overlay without layers"))
                .and_then(|layers| stage.overlay(self, &layers)),
            _ => Err(io::Error::other("a root file system of several mounts")),
        };
        let root = root.map_err(failed)?;
        let sys = netns.map(|netns| stage.sys(netns)).transpose().map_err(failed)?;
        let staged_mounts =
            mounts.iter().map(|mount| stage.mount(self, mount)).collect::<io::Result<_>>();
        let staged_files =
            files.iter().map(|(source, target)| Ok((stage.bind(self, source, false)?, *target)));
        Ok(Staged {
            rootfs: vec![SnapshotMount {
                r#type: "bind".to_owned(),
                source: root.to_string_lossy().into_owned(),
                target: String::new(),
                options: vec!["rbind".to_owned(), "rw".to_owned()],
            }],
            sys,
            mounts: staged_mounts.map_err(failed)?,
            files: staged_files.collect::<io::Result<_>>().map_err(failed)?,
            _stage: stage,
        })
    }
}

/// A container's mounts, with the owners that it is to see; gone from the host when this is dropped.
pub(crate) struct Staged {
    pub(crate) rootfs: Vec<SnapshotMount>,
    /// The `/sys` of its network namespace, if that is another's: only who owns it can mount one.
    pub(crate) sys: Option<PathBuf>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) files: Vec<(PathBuf, &'static str)>,
    _stage: Stage,
}

/// Options of an overlay whose changed files and folders have all of their content.
pub(crate) const WHOLE: [&str; 2] = ["metacopy=off", "redirect_dir=off"];

/// Whether who listens at a socket has the same mounts as this process.
fn sees_our_mounts(socket: &Path) -> io::Result<bool> {
    let stream = std::os::unix::net::UnixStream::connect(socket)?;
    let peer = rustix::net::sockopt::socket_peercred(&stream)?.pid;
    let mounts = |of: String| std::fs::read_link(format!("/proc/{of}/ns/mnt"));
    Ok(mounts(peer.as_raw_nonzero().to_string())? == mounts("self".to_owned())?)
}

/// Hands a created task's pipes to its user, so that it can open `/dev/stdout` by its name.
pub(crate) fn give_pipes(pid: u32, user: &User) -> io::Result<()> {
    for stream in [1, 2] {
        let path = PathBuf::from(format!("/proc/{pid}/fd/{stream}"));
        if std::fs::metadata(&path)?.file_type().is_fifo() {
            std::os::unix::fs::chown(&path, Some(FIRST + user.uid), Some(FIRST + user.gid))?;
        }
    }
    Ok(())
}

/// What an overlay is made of.
struct Layers {
    /// The uppermost first.
    lower: Vec<PathBuf>,
    changes: Option<(PathBuf, PathBuf)>,
    others: Vec<String>,
}

impl Layers {
    fn of(options: &[String]) -> Option<Self> {
        let mut layers = Self { lower: Vec::new(), changes: None, others: Vec::new() };
        let (mut upper, mut work) = (None, None);
        for option in options {
            match option.split_once('=') {
                Some(("lowerdir", dirs)) => {
                    layers.lower = dirs.split(':').map(PathBuf::from).collect();
                }
                Some(("upperdir", dir)) => upper = Some(PathBuf::from(dir)),
                Some(("workdir", dir)) => work = Some(PathBuf::from(dir)),
                _ => layers.others.push(option.clone()),
            }
        }
        layers.changes = upper.zip(work);
        (!layers.lower.is_empty()).then_some(layers)
    }

    /// Of the overlay that is mounted where this path lies, to be read only, and the path within it.
    fn around(path: &Path) -> Option<(Self, PathBuf)> {
        let mut text = String::new();
        std::fs::File::open("/proc/self/mountinfo").ok()?.read_to_string(&mut text).ok()?;
        let at = |line: &&str| line.split(' ').nth(4).is_some_and(|at| path.starts_with(at));
        // Of those at one place the last is seen.
        let line =
            text.lines().filter(at).max_by_key(|line| line.split(' ').nth(4).map(str::len))?;
        let (head, tail) = line.split_once(" - ")?;
        let mut words = tail.split(' ');
        let options = (words.next()? == "overlay").then(|| words.nth(1))??;
        let options: Vec<String> = options.split(',').map(str::to_owned).collect();
        let mut layers = Self::of(&options)?;
        let upper = layers.changes.take().map(|(upper, _)| upper);
        layers.lower.splice(..0, upper);
        layers.others.clear();
        let absolute = layers.lower.iter().all(|dir| dir.is_absolute());
        let within = path.strip_prefix(head.split(' ').nth(4)?).ok()?.to_owned();
        absolute.then_some((layers, within))
    }
}

/// A folder of mounts that goes with them.
struct Stage {
    dir: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        mount::unmount(&self.dir);
    }
}

impl Stage {
    fn new(parent: &Path) -> Result<Self> {
        let name = format!("{}{}", mount::STAGE, ulid::Ulid::new()).to_ascii_lowercase();
        let dir = parent.join(name);
        std::fs::create_dir_all(&dir).map_err(RuntimeError::io("create directory", &dir))?;
        Ok(Self { dir })
    }

    /// A fresh mount point of the kind of `source`.
    fn point(&self, source: &Path) -> io::Result<PathBuf> {
        let path = self.dir.join(ulid::Ulid::new().to_string().to_ascii_lowercase());
        match std::fs::metadata(source)?.is_dir() {
            true => std::fs::create_dir(&path)?,
            false => std::fs::write(&path, "")?,
        }
        Ok(path)
    }

    /// Mounts a file or folder a second time, with owners translated where there is a map.
    fn place(&self, map: Option<&IdMap>, source: &Path, attr: MountAttr) -> io::Result<PathBuf> {
        let at = self.point(source)?;
        place_at(map, source, &at, attr)?;
        Ok(at)
    }

    /// Mounts the `/sys` of a network namespace.
    fn sys(&self, netns: &Path) -> io::Result<PathBuf> {
        let (at, netns) = (self.point(&self.dir)?, std::fs::File::open(netns)?);
        let mount_at = at.clone();
        let mounted = std::thread::spawn(move || {
            // This thread alone goes there, and ends.
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            rustix::mount::mount("sysfs", &mount_at, "sysfs", flags, None)
        });
        mounted.join().map_err(|_| io::Error::other("a thread ended early"))??;
        Ok(at)
    }

    fn overlay(&self, map: &IdMap, layers: &Layers) -> io::Result<PathBuf> {
        let mut parts = Vec::new();
        let mut part = |source: &Path| {
            // The kernel takes little text: short names in a folder that is gone into.
            let at = self.dir.join(format!("p{}", parts.len()));
            std::fs::create_dir(&at)?;
            parts.push(at.clone());
            place_at(Some(map), source, &at, MountAttr::default())?;
            Ok::<_, io::Error>(format!("p{}", parts.len() - 1))
        };
        let lower = layers.lower.iter().map(|dir| part(dir)).collect::<io::Result<Vec<_>>>()?;
        let mut data = layers.others.clone();
        data.push(format!("lowerdir={}", lower.join(":")));
        if let Some((upper, work)) = &layers.changes {
            // Both in one mount, as an overlay wants it.
            let (Some(both), true) = (upper.parent(), upper.parent() == work.parent()) else {
                return Err(io::Error::other("an overlay's folders lie apart"));
            };
            mount::forget_unsynced(work)?;
            let both = part(both)?;
            for (key, dir) in [("upperdir", upper), ("workdir", work)] {
                let name = dir.file_name().unwrap_or_default().to_string_lossy();
                data.push(format!("{key}={both}/{name}"));
            }
        }
        let at = self.point(&self.dir)?;
        let (flags, data) = mount::split_options(&data);
        let flags = if layers.changes.is_some() { flags } else { flags | MountFlags::RDONLY };
        let (dir, kind) = (self.dir.clone(), "overlay".to_owned());
        // The kernel makes an overlay's own files in the name of who mounts it, who must be one of the map.
        let mounted = mount::mount_from(dir, Some(FIRST), kind, at.clone(), flags, data);
        // The overlay holds its own.
        parts.iter().for_each(|part| mount::unmount(part));
        mounted?;
        Ok(at)
    }

    fn mount(&self, map: &IdMap, mount: &Mount) -> io::Result<Mount> {
        Ok(match mount {
            Mount::Bind { source, target, read_only } => Mount::Bind {
                source: self.bind(map, source, *read_only)?,
                target: target.clone(),
                read_only: *read_only,
            },
            Mount::Overlay { lower, upper, work, target } => {
                let layers = Layers {
                    lower: vec![lower.clone()],
                    changes: Some((upper.clone(), work.clone())),
                    // What is changed is taken over file by file: it must be there whole. Whoever takes it over
                    // notes that it is not synced.
                    others: WHOLE
                        .iter()
                        .chain([&mount::UNSYNCED])
                        .map(|it| (*it).to_owned())
                        .collect(),
                };
                let overlay = self.overlay(map, &layers)?;
                let source = self.place(None, &overlay, BOUND)?;
                Mount::Bind { source, target: target.clone(), read_only: false }
            }
            Mount::Tmpfs { .. } => mount.clone(),
        })
    }

    /// A file or folder of the host as the container is to see it.
    fn bind(&self, map: &IdMap, source: &Path, read_only: bool) -> io::Result<PathBuf> {
        let attr = || match read_only {
            true => MountAttr { attr_set: BOUND.attr_set | ATTR_RDONLY, ..BOUND },
            false => BOUND,
        };
        match self.place(Some(map), source, attr()) {
            // Its file system translates nothing.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {}
            placed => return placed,
        }
        // One of our own: of another, the layers may not be seen from here.
        let own = self.dir.parent().is_some_and(|mounts| source.starts_with(mounts));
        if let Some((layers, within)) = Layers::around(source).filter(|_| own) {
            let overlay = self.overlay(map, &layers)?;
            return self.place(None, &overlay.join(within), attr());
        }
        if read_only && source.is_file() {
            // Such as a secret, in memory of an older kernel: a copy, in memory too.
            let copy = self.dir.join(ulid::Ulid::new().to_string().to_ascii_lowercase());
            let meta = std::fs::metadata(source)?;
            std::fs::copy(source, &copy)?;
            let (user, group) = (meta.uid(), meta.gid());
            std::os::unix::fs::chown(&copy, Some(FIRST + user), Some(FIRST + group))?;
            return self.place(None, &copy, attr());
        }
        self.place(None, source, attr())
    }
}

fn place_at(map: Option<&IdMap>, source: &Path, at: &Path, mut attr: MountAttr) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, source, flags)?;
    if let Some(map) = map {
        attr.attr_set |= ATTR_IDMAP;
        attr.userns_fd = u64::try_from(map.namespace.as_raw_fd()).unwrap_or_default();
    }
    // SAFETY: the descriptor is open, the path is a C string, and the structure is the kernel's, of its size.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let whole = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree.as_fd(), "", CWD, at, whole)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_is_taken_apart() {
        let own = |options: &[&str]| options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>();
        let options = own(&[
            "index=off",
            "workdir=/s/3/work",
            "upperdir=/s/3/fs",
            "lowerdir=/s/2/fs:/s/1/fs",
        ]);
        let layers = Layers::of(&options).unwrap();
        assert_eq!(layers.lower, [Path::new("/s/2/fs"), Path::new("/s/1/fs")]);
        assert_eq!(layers.changes, Some(("/s/3/fs".into(), "/s/3/work".into())));
        assert_eq!(layers.others, ["index=off"]);
        assert!(Layers::of(&own(&["ro"])).is_none());
    }
}
