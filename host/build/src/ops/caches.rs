//! Cache mounts: folders of a project that outlive its builds.
//!
//! **Invariant: nothing is taken from under a running build.** Who uses a cache holds its lock, shared or
//! alone; who removes one takes the lock alone, and leaves what is locked. The lock files stay, so that two
//! can never hold different ones of the same name.
//!
//! A command has a cache that is not shared as an overlay: what it changes lies apart from the cache until
//! it has succeeded, and only then is it taken over ([`overlay`]). What a failed command wrote is thrown away.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use windlass_model::plan::Sharing;
use windlass_model::{DeploymentId, Failure, ProjectName, Timestamp};

use super::OpContext;
use crate::builder::{Session, io_failure};
use crate::disk::CacheMount;
use crate::whole;

pub(super) mod overlay;
pub(crate) mod synced;

/// Between two tries to lock a cache.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// A note that is being written.
pub(super) type Noting = tokio::task::JoinHandle<io::Result<()>>;

/// A cache for one command.
pub(super) struct Cache {
    /// Name of it.
    pub(super) id: String,
    /// Its folder.
    pub(super) dir: PathBuf,
    /// How it is used.
    pub(super) sharing: Sharing,
    /// Whether it is thrown away after the command.
    pub(super) is_own: bool,
    lock: Option<File>,
}

impl Cache {
    /// Notes, on the disk, that what is taken over into the cache from now on may be in memory alone.
    pub(super) fn note_unsynced(&self) -> io::Result<Noting> {
        let lock = self.lock.as_ref().map(File::try_clone).transpose()?;
        Ok(tokio::task::spawn_blocking(move || lock.as_ref().map_or(Ok(()), synced::note)))
    }
}

/// Folder of all caches, with one of each project.
const ALL: &str = "cache/mounts";

fn project_dir(data_dir: &Path, project: &ProjectName) -> PathBuf {
    data_dir.join(ALL).join(project.as_str())
}

/// The cache of this name, once nobody else is in the way.
pub(super) async fn open(
    session: &Session,
    context: &OpContext<'_>,
    id: &str,
    sharing: Sharing,
) -> Result<Cache, Failure> {
    let all = project_dir(&session.config.data_dir, &session.request.project);
    let dir = all.join(id);
    let unusable = |e: io::Error| io_failure("A cache cannot be used", &dir, &e);
    let lock = lock_file(&all, id).map_err(unusable)?;
    let wanted = match sharing {
        Sharing::Shared => FlockOperation::NonBlockingLockShared,
        Sharing::Locked | Sharing::Private => FlockOperation::NonBlockingLockExclusive,
    };
    if synced::forget_suspect(&lock, &dir).map_err(unusable)? {
        session.log.host(format!(
            "the cache {id} begins anew: the machine stopped before it was on the disk"
        ));
    }
    let mut told = false;
    while rustix::fs::flock(&lock, wanted).is_err() {
        if sharing == Sharing::Private {
            let dir = session.scratch().join(format!("{}-cache-{id}", context.id));
            make(&session.scratch(), &dir).map_err(unusable)?;
            return Ok(Cache { id: id.to_owned(), dir, sharing, is_own: true, lock: None });
        }
        session.check_cancelled()?;
        if !told {
            session.log.host(format!("waiting for the cache {id}, which another build uses"));
            told = true;
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
    // Its time says when the cache was used last.
    lock.set_modified(SystemTime::now()).map_err(unusable)?;
    if let Err(error) = windlass_containers::spread_children(&all) {
        tracing::debug!(%error, "caches lie beside each other on the disk");
    }
    make(&all, &dir).map_err(unusable)?;
    Ok(Cache { id: id.to_owned(), dir, sharing, is_own: false, lock: Some(lock) })
}

fn lock_file(all: &Path, id: &str) -> io::Result<File> {
    let locks = all.join(LOCKS);
    std::fs::create_dir_all(&locks)?;
    File::options().create(true).truncate(false).read(true).write(true).open(locks.join(id))
}

/// Folder of the locks. No cache has this name: none begins with a dot.
const LOCKS: &str = ".locks";

/// Whoever runs in the container may write to it; on the host only root gets there.
pub(super) fn make(outer: &Path, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::set_permissions(outer, std::fs::Permissions::from_mode(0o700))?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777))
}

/// Where a build keeps its changes to caches until they are taken over: on the caches' own file system.
pub(crate) fn changes_dir(data_dir: &Path, deployment: &DeploymentId) -> PathBuf {
    data_dir.join("cache/changes").join(deployment.as_str())
}

/// Bytes on the disk of everything below a folder, [`BYTES_UNKNOWN`] at most. What cannot be looked into counts as
/// that: nobody nests folders so deeply but to hide what is in them.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    bytes_in(rustix::fs::open(dir, DIR_FLAGS, Mode::empty()), 0).min(BYTES_UNKNOWN)
}

/// More than any limit, and so little that many of them can be added.
const BYTES_UNKNOWN: u64 = 1 << 50;
/// Nested more deeply, folders are not measured: each level holds a descriptor.
const DEPTH_MAX: usize = 256;
const DIR_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// By open folders, and not by paths: those have a greatest length.
fn bytes_in(opened: rustix::io::Result<OwnedFd>, depth: usize) -> u64 {
    let dir = match opened {
        Ok(dir) if depth <= DEPTH_MAX => dir,
        // It went meanwhile, or is another kind of file now.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return 0,
        _ => return BYTES_UNKNOWN,
    };
    let Ok(entries) = Dir::read_from(&dir) else { return BYTES_UNKNOWN };
    // One descriptor less while it goes down.
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_owned()).collect();
    let of = |name: &CStr| {
        let Ok(stat) = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) else { return 0 };
        let bytes = u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return bytes;
        }
        let below = rustix::fs::openat(&dir, name, DIR_FLAGS, Mode::empty());
        bytes.saturating_add(bytes_in(below, depth + 1))
    };
    let names = names.iter().filter(|name| !matches!(name.to_bytes(), b"." | b".."));
    names.fold(0, |sum: u64, name| sum.saturating_add(of(name)))
}

/// What was removed of cache mounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) removed: usize,
    pub(crate) bytes: u64,
    pub(crate) in_use: usize,
}

/// A cache on the disk.
struct Found {
    id: String,
    dir: PathBuf,
    all: PathBuf,
    used: SystemTime,
}

fn caches_of(all: &Path) -> io::Result<Vec<Found>> {
    let entries = match std::fs::read_dir(all) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    whole::sweep(all);
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(id) = entry.file_name().into_string() else { continue };
        if id.starts_with('.') || !entry.file_type()?.is_dir() {
            continue;
        }
        let of_lock = std::fs::metadata(all.join(LOCKS).join(&id));
        let used = of_lock.or_else(|_| entry.metadata())?.modified()?;
        found.push(Found { id, dir: entry.path(), all: all.to_owned(), used });
    }
    Ok(found)
}

/// Removes a cache unless somebody uses it; whether it is gone.
fn remove(found: &Found) -> io::Result<bool> {
    let was_locked_before = found.all.join(LOCKS).join(&found.id).exists();
    let lock = lock_file(&found.all, &found.id)?;
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    // Somebody has used it since it was found.
    if was_locked_before && lock.metadata()?.modified()? > found.used {
        return Ok(false);
    }
    whole::remove(&found.dir).map(|()| true)
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn all_caches(data_dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for project in std::fs::read_dir(data_dir.join(ALL)).into_iter().flatten().flatten() {
        found.extend(caches_of(&project.path())?);
    }
    Ok(found)
}

/// The cache mounts of all projects, not measured.
pub(crate) fn list(data_dir: &Path) -> Vec<CacheMount> {
    let found = all_caches(data_dir).unwrap_or_default().into_iter();
    let mount = |Found { id, dir, all, used }: Found| {
        let project = all.file_name()?.to_str()?;
        let last_used = Timestamp::try_from(used).ok()?;
        Some(CacheMount { name: format!("{project}/{id}"), path: dir, bytes: 0, last_used })
    };
    found.filter_map(mount).collect()
}

/// Whether somebody uses one that was listed.
pub(crate) fn is_used(path: &Path) -> bool {
    let (Some(all), Some(id)) = (path.parent(), path.file_name()) else { return false };
    let lock = File::options().write(true).open(all.join(LOCKS).join(id));
    lock.is_ok_and(|lock| {
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err()
    })
}

/// Removes one that was listed, unless somebody uses it or has used it since; whether it is gone.
pub(crate) fn remove_listed(path: &Path, last_used: Timestamp) -> io::Result<bool> {
    let (Some(all), Some(id)) = (path.parent(), path.file_name().and_then(|id| id.to_str())) else {
        return Ok(false);
    };
    let (id, all, dir) = (id.to_owned(), all.to_owned(), path.to_owned());
    remove(&Found { id, dir, all, used: last_used.into() })
}

/// Removes what a deleted project has, with its locks: none of its builds runs or begins any more. What is
/// in use all the same is left, and goes when it is old.
pub(crate) fn forget(data_dir: &Path, project: &ProjectName) -> io::Result<()> {
    if clear(data_dir, Some(project))?.in_use == 0 {
        remove_dir(&project_dir(data_dir, project))?;
    }
    Ok(())
}

/// Holds a project's caches to their quota: the one that was used longest ago goes first, as a whole.
/// A tool does not notice that a cache is empty, but may well that a part of it is missing.
pub(crate) fn evict(data_dir: &Path, project: &ProjectName, bytes_max: u64) -> io::Result<Removed> {
    let mut found = caches_of(&project_dir(data_dir, project))?;
    found.sort_by_key(|cache| cache.used);
    let sizes: Vec<u64> = found.iter().map(|cache| disk_bytes(&cache.dir)).collect();
    let mut total: u64 = sizes.iter().sum();
    let mut removed = Removed::default();
    for (cache, bytes) in found.iter().zip(sizes) {
        if total <= bytes_max {
            break;
        }
        if remove(cache)? {
            tracing::info!(%project, cache = cache.id, bytes, "evicted a cache mount");
            total -= bytes;
            removed.removed += 1;
            removed.bytes += bytes;
        } else {
            removed.in_use += 1;
        }
    }
    Ok(removed)
}

/// Removes every cache mount, or those of one project, but for those in use.
pub(crate) fn clear(data_dir: &Path, project: Option<&ProjectName>) -> io::Result<Removed> {
    let found = match project {
        Some(project) => caches_of(&project_dir(data_dir, project))?,
        None => all_caches(data_dir)?,
    };
    let mut removed = Removed::default();
    for cache in found {
        let bytes = disk_bytes(&cache.dir);
        if remove(&cache)? {
            removed.removed += 1;
            removed.bytes += bytes;
        } else {
            removed.in_use += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    fn cache(data: &Path, project: &str, id: &str, bytes: usize, age_s: u64) -> PathBuf {
        let all = project_dir(data, &project.parse().unwrap());
        let dir = all.join(id);
        make(&all, &dir).unwrap();
        std::fs::write(dir.join("x"), vec![7; bytes]).unwrap();
        let used = SystemTime::now() - Duration::from_secs(age_s);
        lock_file(&all, id).unwrap().set_modified(used).unwrap();
        dir
    }

    #[test]
    fn the_one_used_longest_ago_goes_first_and_never_one_in_use() {
        let data = tempfile::tempdir().unwrap();
        let shop: ProjectName = "shop".parse().unwrap();
        let old = cache(data.path(), "shop", "old", 100 * KIB, 300);
        let used = cache(data.path(), "shop", "used", 100 * KIB, 400);
        let new = cache(data.path(), "shop", "new", 100 * KIB, 10);
        let other = cache(data.path(), "blog", "other", 900 * KIB, 900);
        let lock = lock_file(&project_dir(data.path(), &shop), "used").unwrap();
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).unwrap();

        let evicted = evict(data.path(), &shop, 250 << 10).unwrap();
        assert_eq!((evicted.removed, evicted.in_use), (1, 1));
        assert!(!old.exists() && used.exists() && new.exists() && other.exists());
        assert_eq!(evict(data.path(), &shop, 250 << 10).unwrap(), Removed::default());
        drop(lock);
        assert_eq!(evict(data.path(), &shop, 0).unwrap().removed, 2);
        assert!(!used.exists() && !new.exists() && other.exists());
    }

    #[test]
    fn what_is_nested_too_deeply_to_be_measured_is_over_every_quota() {
        let data = tempfile::tempdir().unwrap();
        let shop: ProjectName = "shop".parse().unwrap();
        let deep = cache(data.path(), "shop", "deep", KIB, 10);
        assert!(disk_bytes(&deep) < 100 << 10);
        for branch in 0..5 {
            let mut at = rustix::fs::open(&deep, DIR_FLAGS, Mode::empty()).unwrap();
            for level in 0..=DEPTH_MAX {
                let name = format!("{branch}-{level}-{}", "x".repeat(200));
                rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
                at = rustix::fs::openat(&at, &name, DIR_FLAGS, Mode::empty()).unwrap();
            }
        }
        assert_eq!(disk_bytes(&deep), BYTES_UNKNOWN);
        assert_eq!(evict(data.path(), &shop, 1 << 40).unwrap().removed, 1);
        assert!(!deep.exists());
        assert_eq!(disk_bytes(&deep), 0, "what is not there has no bytes");
    }

    #[test]
    fn one_that_was_used_since_it_was_listed_stays() {
        let data = tempfile::tempdir().unwrap();
        let dir = cache(data.path(), "shop", "npm", 100 * KIB, 300);
        let listed = list(data.path());
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].name.as_str(), &listed[0].path), ("shop/npm", &dir));
        let all = project_dir(data.path(), &"shop".parse().unwrap());
        lock_file(&all, "npm").unwrap().set_modified(SystemTime::now()).unwrap();
        assert!(!remove_listed(&dir, listed[0].last_used).unwrap());
        assert!(dir.exists());

        let listed = list(data.path());
        let lock = lock_file(&all, "npm").unwrap();
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).unwrap();
        assert!(is_used(&dir));
        assert!(!remove_listed(&dir, listed[0].last_used).unwrap(), "it is in use");
        drop(lock);
        assert!(!is_used(&dir));
        assert!(remove_listed(&dir, listed[0].last_used).unwrap());
        assert!(!dir.exists());
        assert_eq!(list(data.path()), []);
    }

    #[test]
    fn nothing_is_left_of_a_project_that_is_forgotten() {
        let data = tempfile::tempdir().unwrap();
        let shop: ProjectName = "shop".parse().unwrap();
        cache(data.path(), "shop", "npm", KIB, 1);
        let blog = cache(data.path(), "blog", "npm", KIB, 1);
        forget(data.path(), &shop).unwrap();
        assert!(!project_dir(data.path(), &shop).exists() && blog.exists());
        forget(data.path(), &shop).unwrap();
        let used = cache(data.path(), "shop", "npm", KIB, 1);
        let lock = lock_file(&project_dir(data.path(), &shop), "npm").unwrap();
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        forget(data.path(), &shop).unwrap();
        assert!(used.exists());
    }

    #[test]
    fn clearing_takes_one_project_or_all_and_leaves_what_is_in_use() {
        let data = tempfile::tempdir().unwrap();
        let shop: ProjectName = "shop".parse().unwrap();
        cache(data.path(), "shop", "a", KIB, 1);
        let blog = cache(data.path(), "blog", "b", KIB, 1);
        let cleared = clear(data.path(), Some(&shop)).unwrap();
        assert_eq!((cleared.removed, cleared.in_use), (1, 0));
        assert!(cleared.bytes >= 1024 && blog.exists());
        let dir = project_dir(data.path(), &"blog".parse().unwrap());
        let lock = lock_file(&dir, "b").unwrap();
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(clear(data.path(), None).unwrap(), Removed { in_use: 1, ..Removed::default() });
        drop(lock);
        assert_eq!(clear(data.path(), None).unwrap().removed, 1);
        assert_eq!(clear(tempfile::tempdir().unwrap().path(), None).unwrap(), Removed::default());
    }
}
