//! Which caches are known to be on the disk.
//!
//! What a command changes in a cache of its own is not synced when the command ends, for that would wait for all that
//! anyone has written to the same file system. So before it is taken over the cache's lock file gets the id of the
//! machine's boot, on the disk, and loses it when a sync that began after the last use is done.
//!
//! **Invariant: a cache whose lock file has the id of another boot is thrown away before it is used**, for files in it
//! may be cut off. Caches that are shared are written to directly and were never synced: they get no id.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::FlockOperation;

use super::{ALL, LOCKS};
use crate::settled::BOOT;
use crate::whole;

/// The lock file of a cache that is not synced, with the time of its last use.
type Unsynced = (PathBuf, SystemTime);

/// Writes this boot's id. It is on the disk when this returns.
pub(super) fn note(lock: &File) -> io::Result<()> {
    if read(lock)? != BOOT.as_bytes() {
        lock.set_len(0)?;
        lock.write_all_at(BOOT.as_bytes(), 0)?;
    }
    lock.sync_all()
}

/// Removes a cache that may be cut off, of which this is the lock; whether it was one. Nobody uses such a cache:
/// whoever came first in this boot has removed it.
pub(super) fn forget_suspect(lock: &File, dir: &Path) -> io::Result<bool> {
    let is_suspect = || -> io::Result<bool> {
        let boot = read(lock)?;
        Ok(!boot.is_empty() && boot != BOOT.as_bytes())
    };
    if !is_suspect()? || rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive).is_err()
    {
        return Ok(false);
    }
    let found = is_suspect()?;
    if found {
        whole::remove(dir)?;
        lock.set_len(0)?;
    }
    rustix::fs::flock(lock, FlockOperation::Unlock)?;
    Ok(found)
}

/// Caches that were changed in this boot and that nobody uses now. Who does asks again when its build has ended.
pub(crate) fn unsynced(data_dir: &Path) -> Vec<Unsynced> {
    let projects = std::fs::read_dir(data_dir.join(ALL)).into_iter().flatten().flatten();
    let locks = projects.flat_map(|project| {
        std::fs::read_dir(project.path().join(LOCKS)).into_iter().flatten().flatten()
    });
    let of = |path: PathBuf| {
        // Looked at before it is locked: who wants to use a cache does not wait for a look at all of them.
        if !is_noted(&File::open(&path).ok()?) {
            return None;
        }
        let lock = unused(&path).ok()?;
        let used = lock.metadata().and_then(|meta| meta.modified()).ok()?;
        is_noted(&lock).then_some((path, used))
    };
    locks.filter_map(|entry| of(entry.path())).collect()
}

/// What was found before a sync is on the disk, unless it was used since.
pub(crate) fn settled(found: &[Unsynced]) {
    for (path, used) in found {
        let settle = || -> io::Result<()> {
            let lock = unused(path)?;
            if lock.metadata()?.modified()? == *used {
                lock.set_len(0)?;
                lock.set_modified(*used)?;
            }
            Ok(())
        };
        if let Err(error) = settle() {
            tracing::debug!(path = %path.display(), %error, "a cache stays unsynced");
        }
    }
}

/// The lock of a cache, held alone.
fn unused(path: &Path) -> io::Result<File> {
    let lock = File::options().read(true).write(true).open(path)?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    Ok(lock)
}

/// Whether a cache has this boot's id.
fn is_noted(lock: &File) -> bool {
    read(lock).is_ok_and(|boot| boot == BOOT.as_bytes())
}

fn read(lock: &File) -> io::Result<Vec<u8>> {
    let mut text = [0; 64];
    let length = lock.read_at(&mut text, 0)?;
    Ok(text[..length].to_vec())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::lock_file;
    use super::*;

    /// A cache with a file, and its lock, which nobody holds.
    fn cache(data: &Path) -> (PathBuf, File) {
        let all = data.join(ALL).join("shop");
        std::fs::create_dir_all(all.join("npm")).unwrap();
        std::fs::write(all.join("npm/file"), "whole").unwrap();
        (all.join("npm"), lock_file(&all, "npm").unwrap())
    }

    #[test]
    fn what_the_machine_stopped_too_soon_after_is_thrown_away_once() {
        let data = tempfile::tempdir().unwrap();
        let (dir, lock) = cache(data.path());
        assert!(!forget_suspect(&lock, &dir).unwrap(), "nothing was ever taken over");
        note(&lock).unwrap();
        assert!(!forget_suspect(&lock, &dir).unwrap() && dir.exists(), "it is of this boot");
        lock.set_len(0).unwrap();
        lock.write_all_at(b"another boot", 0).unwrap();
        assert_eq!(unsynced(data.path()), [], "no sync can help it");
        assert!(forget_suspect(&lock, &dir).unwrap() && !dir.exists());
        std::fs::create_dir(&dir).unwrap();
        assert!(!forget_suspect(&lock, &dir).unwrap() && dir.exists());
    }

    #[test]
    fn a_sync_counts_for_what_nobody_has_used_since() {
        let data = tempfile::tempdir().unwrap();
        let (_, lock) = cache(data.path());
        assert_eq!(unsynced(data.path()), []);
        note(&lock).unwrap();
        let held = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared);
        assert!(held.is_ok() && unsynced(data.path()).is_empty(), "it is in use");
        rustix::fs::flock(&lock, FlockOperation::Unlock).unwrap();
        let found = unsynced(data.path());
        assert_eq!(found.len(), 1);
        let later = found[0].1 + Duration::from_millis(1);
        lock.set_modified(later).unwrap();
        settled(&found);
        assert_eq!(unsynced(data.path()).len(), 1, "it was used since");
        settled(&unsynced(data.path()));
        assert_eq!(unsynced(data.path()), []);
        assert_eq!(lock.metadata().unwrap().modified().unwrap(), later, "that is no use of it");
    }
}
