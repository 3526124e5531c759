//! Network namespaces, held by a mounted file.

use std::path::Path;

use rustix::mount::UnmountFlags;
use rustix::thread::UnshareFlags;

use crate::error::{Result, RuntimeError};

/// Makes a fresh, empty namespace; one that is there already is removed first.
pub(super) fn create(path: &Path) -> Result<()> {
    remove(path)?;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(RuntimeError::io("create directory", dir))?;
    }
    std::fs::write(path, b"").map_err(RuntimeError::io("create", path))?;
    let target = path.to_owned();
    // The namespace belongs to a thread of its own, which ends here; the mount keeps it.
    let made = std::thread::spawn(move || {
        // SAFETY: the thread does nothing else in its new network namespace and ends here.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
        rustix::mount::mount_bind("/proc/thread-self/ns/net", &target)
    })
    .join()
    .unwrap_or(Err(rustix::io::Errno::IO));
    made.map_err(RuntimeError::os("make network namespace", path))
}

/// Lets a namespace go: it ends with its last process.
pub(super) fn remove(path: &Path) -> Result<()> {
    while rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RuntimeError::io("remove network namespace", path)(error))
        }
        _ => Ok(()),
    }
}

/// Whether the file still holds a namespace.
pub(super) fn is_alive(path: &Path) -> bool {
    const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type == NSFS_MAGIC)
}
