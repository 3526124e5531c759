//! Mounts what the snapshotter names, and takes mounts away again.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use containerd_client::types::Mount;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::error::{Result, RuntimeError};
use crate::runtime::{Access, Mounted};

/// The kernel takes at most a page of mount data; above this we mount with relative paths.
const DATA_BYTES_MAX: usize = 4000;

/// Mounts a snapshot in a fresh directory under `parent`.
pub(crate) fn mount_snapshot(mounts: &[Mount], parent: &Path, access: Access) -> Result<Mounted> {
    let path = parent.join(ulid::Ulid::new().to_string().to_ascii_lowercase());
    std::fs::create_dir_all(&path).map_err(RuntimeError::io("create directory", &path))?;
    for mount in mounts {
        if let Err(error) = mount_one(mount, &path, access) {
            unmount(&path);
            return Err(error);
        }
    }
    Ok(Mounted::new(path.clone(), move || unmount(&path)))
}

/// The directories that a read-only mount of a snapshot is made of, the lowest first.
pub(crate) fn read_only_dirs(mount: &Mount) -> Vec<PathBuf> {
    if mount.r#type == "bind" {
        return vec![PathBuf::from(&mount.source)];
    }
    let lower = mount.options.iter().find_map(|option| option.strip_prefix("lowerdir="));
    lower.into_iter().flat_map(|dirs| dirs.split(':').rev()).map(PathBuf::from).collect()
}

/// What the names of folders begin with that hold mounts and are none themselves.
pub(crate) const STAGE: &str = "stage-";

/// Takes every mount at a path away, then the directory; of a stage, those in it.
pub(crate) fn unmount(path: &Path) {
    let detach = |path: &Path| {
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        while rustix::mount::unmount(path, flags).is_ok() {}
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.starts_with(STAGE) {
        for point in std::fs::read_dir(path).into_iter().flatten().flatten() {
            detach(&point.path());
            // What is mounted still is busy: nothing of it is ever removed here.
            let _busy = match point.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => std::fs::remove_dir(point.path()),
                false => std::fs::remove_file(point.path()),
            };
        }
    }
    detach(path);
    if let Err(error) = std::fs::remove_dir(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a mount directory stays behind");
    }
}

fn mount_one(mount: &Mount, target: &Path, access: Access) -> Result<()> {
    let (mut flags, data) = split_options(&mount.options);
    // The host looks into what images brought: a device in it is nobody's to open here.
    flags |= MountFlags::NODEV;
    if access == Access::ReadOnly {
        flags |= MountFlags::RDONLY;
    }
    let fail = || RuntimeError::os("mount a snapshot at", target);
    if mount.r#type == "bind" {
        rustix::mount::mount_bind_recursive(mount.source.as_str(), target).map_err(fail())?;
        let flags = MountFlags::BIND | (flags & (MountFlags::RDONLY | MountFlags::NODEV));
        rustix::mount::mount_remount(target, flags, "").map_err(fail())?;
        return Ok(());
    }
    let mount_with = |data: &str| match relative(data).filter(|_| data.len() > DATA_BYTES_MAX) {
        Some((dir, data)) => {
            let kind = mount.r#type.clone();
            mount_from(dir, None, kind, target.to_owned(), flags, data)
        }
        None => mount_fs(Path::new(&mount.source), target, &mount.r#type, flags, data),
    };
    let Some(work) = option(&data, "workdir") else {
        return mount_with(&data).map_err(fail());
    };
    forget_unsynced(Path::new(work)).map_err(RuntimeError::io("clear", work))?;
    if access == Access::ReadWrite {
        match mount_with(&format!("{data},{UNSYNCED}")) {
            // A kernel that does not know the option.
            Err(rustix::io::Errno::INVAL) => {}
            mounted => return mounted.map_err(fail()),
        }
    }
    mount_with(&data).map_err(fail())
}

/// Option of an overlay whose changes the kernel does not sync. Without it the end of each mount, and each
/// sync of a program in it, waits until all that anyone has written to the same file system is on the disk. For
/// what counts as lost when the machine stops before it was synced: snapshots that are being built.
pub(crate) const UNSYNCED: &str = "volatile";

/// Lets an overlay be mounted again whose changes were not synced. The kernel marks its work folder and refuses
/// it from then on, because the machine may have stopped in between; what a machine that stopped has left of a
/// snapshot that was being built is never mounted again.
pub(crate) fn forget_unsynced(work: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(work.join("work/incompat")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The value of an option in mount data.
fn option<'a>(data: &'a str, name: &str) -> Option<&'a str> {
    data.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}

fn mount_fs(
    source: &Path,
    target: &Path,
    kind: &str,
    flags: MountFlags,
    data: &str,
) -> rustix::io::Result<()> {
    let data = CString::new(data).map_err(|_| rustix::io::Errno::INVAL)?;
    rustix::mount::mount(source, target, kind, flags, data.as_c_str())
}

/// Mounts from a thread whose working directory is `dir`, so that paths in `data` can be short; in the name
/// of a user, if one is given, with all that root may do.
pub(crate) fn mount_from(
    dir: PathBuf,
    user: Option<u32>,
    kind: String,
    target: PathBuf,
    flags: MountFlags,
    data: String,
) -> rustix::io::Result<()> {
    std::thread::spawn(move || {
        // SAFETY: only this thread's working directory becomes its own; nothing else depends on it.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS)? };
        rustix::process::chdir(&dir)?;
        user.map_or(Ok(()), act_as)?;
        mount_fs(Path::new("overlay"), &target, &kind, flags, &data)
    })
    .join()
    .unwrap_or(Err(rustix::io::Errno::IO))
}

/// Makes files in the name of a user from now on, in this thread alone, and keeps every capability.
fn act_as(user: u32) -> rustix::io::Result<()> {
    const NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // SAFETY: both calls act on the calling thread and take no pointers.
    let done = unsafe {
        let kept = libc::prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0);
        libc::setfsuid(user);
        libc::setfsgid(user);
        kept
    };
    if done == 0 { Ok(()) } else { Err(rustix::io::Errno::PERM) }
}

/// Splits mount options into flags and file system data.
pub(crate) fn split_options(options: &[String]) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in options {
        match option.as_str() {
            "ro" => flags |= MountFlags::RDONLY,
            "rw" | "bind" | "rbind" => {}
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            other => data.push(other),
        }
    }
    (flags, data.join(","))
}

/// The directory that all snapshots share, and the data with paths relative to it.
fn relative(data: &str) -> Option<(PathBuf, String)> {
    let first = data.split(',').find_map(|option| option.strip_prefix("lowerdir="))?;
    let first = first.split(':').next()?;
    let base = Path::new(first).parent()?.parent()?.to_str()?.to_owned();
    let short = data.replace(&format!("{base}/"), "");
    Some((PathBuf::from(base), short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_overlay_data_becomes_relative() {
        let data = "index=off,workdir=/r/snapshots/3/work,upperdir=/r/snapshots/3/fs,\
                    lowerdir=/r/snapshots/2/fs:/r/snapshots/1/fs";
        let (dir, short) = relative(data).unwrap();
        assert_eq!(dir, Path::new("/r/snapshots"));
        assert_eq!(short, "index=off,workdir=3/work,upperdir=3/fs,lowerdir=2/fs:1/fs");
    }

    #[test]
    fn directories_of_a_chain_come_lowest_first() {
        let mount = |kind: &str, source: &str, option: &str| Mount {
            r#type: kind.to_owned(),
            source: source.to_owned(),
            target: String::new(),
            options: vec!["index=off".to_owned(), option.to_owned()],
        };
        let overlay = mount("overlay", "overlay", "lowerdir=/r/2/fs:/r/1/fs");
        assert_eq!(read_only_dirs(&overlay), [Path::new("/r/1/fs"), Path::new("/r/2/fs")]);
        assert_eq!(read_only_dirs(&mount("bind", "/r/1/fs", "ro")), [Path::new("/r/1/fs")]);
    }

    #[test]
    fn a_work_folder_is_found_and_loses_the_kernel_s_mark_alone() {
        let data = "index=off,workdir=/s/3/work,upperdir=/s/3/fs,lowerdir=/s/2/fs";
        assert_eq!(option(data, "workdir"), Some("/s/3/work"));
        assert_eq!(option("lowerdir=/s/2/fs", "workdir"), None);
        let work = tempfile::tempdir().unwrap();
        forget_unsynced(work.path()).unwrap();
        std::fs::create_dir_all(work.path().join("work/incompat/volatile")).unwrap();
        std::fs::write(work.path().join("work/incompat/volatile/dirty"), "").unwrap();
        forget_unsynced(work.path()).unwrap();
        assert_eq!(std::fs::read_dir(work.path().join("work")).unwrap().count(), 0);
    }

    #[test]
    fn flags_leave_the_data() {
        let options: Vec<String> = ["ro", "index=off", "nosuid"].map(String::from).to_vec();
        let (flags, data) = split_options(&options);
        assert!(flags.contains(MountFlags::RDONLY | MountFlags::NOSUID));
        assert_eq!(data, "index=off");
    }
}
