//! What the host itself may write for an operation: copies, unpacked archives, downloads.
//!
//! **Invariant: nothing is written that was not counted before**, against the limits that end a command
//! ([`super::watch`]); and a build that is cancelled writes no more.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use windlass_model::Failure;

use super::watch::Over;
use crate::builder::{Session, cancelled};
use crate::disk::free::{Disks, Floor, Free};

/// The disks are looked at whenever so much was written since the last look.
const LOOK_BYTES: u64 = 8 << 20;
/// A file takes whole blocks of the file system, and whatever has a name at least as good as one: an empty file
/// has its place in a directory.
pub(crate) const BLOCK_BYTES: u64 = 4 << 10;

/// Told what is written more; answers what the whole build has written with it.
type Noting = Box<dyn Fn(u64) -> u64 + Send + Sync>;

/// What may be written for one operation. Threads share it.
pub(crate) struct Allowance {
    /// Bytes that the build may write.
    bytes_max: u64,
    floor: Floor,
    disks: Disks,
    /// What was free when the operation began.
    began: Vec<Free>,
    cancel: CancellationToken,
    noting: Noting,
    unlooked: AtomicU64,
    /// Something was written whose bytes are not known.
    is_short: AtomicBool,
    stopped: Arc<OnceLock<Stopped>>,
}

/// Why nothing more may be written.
enum Stopped {
    Over(Over),
    Cancelled,
}

impl Allowance {
    /// For an operation that begins; what it writes is noted under this name.
    pub(crate) fn of(session: &Session, name: String) -> Arc<Self> {
        let disks = Disks::of(&session.config.data_dir);
        Arc::new(Self {
            bytes_max: session.config.limits.build.disk_bytes_max,
            floor: Floor::of(&session.config.limits),
            began: disks.free(),
            disks,
            cancel: session.request.cancel.clone(),
            noting: Box::new(session.noting(name)),
            unlooked: AtomicU64::new(0),
            is_short: AtomicBool::new(false),
            stopped: Arc::default(),
        })
    }

    /// For files that are made before others take their place: what they take now is not counted once more
    /// with those.
    pub(super) fn apart(self: &Arc<Self>) -> Arc<Self> {
        let (outer, own) = (Arc::clone(self), AtomicU64::new(0));
        let noting =
            move |bytes: u64| (outer.noting)(0) + own.fetch_add(bytes, Ordering::Relaxed) + bytes;
        Arc::new(Self {
            bytes_max: self.bytes_max,
            floor: self.floor,
            disks: self.disks.clone(),
            began: self.began.clone(),
            cancel: self.cancel.clone(),
            noting: Box::new(noting),
            unlooked: AtomicU64::new(0),
            is_short: AtomicBool::new(false),
            stopped: Arc::clone(&self.stopped),
        })
    }

    /// Counts bytes that are about to be written, in whole blocks: one for what is about to be made.
    ///
    /// # Errors
    /// When nothing more may be written; [`Self::failure`] says why.
    pub(crate) fn spend(&self, bytes: u64) -> io::Result<()> {
        if let Some(stopped) = self.count(bytes) {
            // The first reason counts.
            let _later = self.stopped.set(stopped);
        }
        match self.stopped.get() {
            None => Ok(()),
            Some(_) => Err(io::Error::other("the build may write no more")),
        }
    }

    fn count(&self, bytes: u64) -> Option<Stopped> {
        if self.cancel.is_cancelled() {
            return Some(Stopped::Cancelled);
        }
        let (all, bytes_max) = ((self.noting)(bytes), self.bytes_max);
        if all > bytes_max {
            return Some(Stopped::Over(Over::Disk { bytes: all, bytes_max }));
        }
        if self.unlooked.fetch_add(bytes, Ordering::Relaxed) + bytes < LOOK_BYTES {
            return None;
        }
        self.unlooked.store(0, Ordering::Relaxed);
        let free = self.floor.crossed(&self.began, &self.disks.free())?;
        Some(Stopped::Over(Over::Floor { free, floor: self.floor }))
    }

    /// What is about to be made may take more than can be told before: what was counted is not enough to go by.
    pub(crate) fn is_more_than_counted(&self) {
        self.is_short.store(true, Ordering::Relaxed);
    }

    /// Whether all that was written was counted.
    pub(super) fn has_counted_all(&self) -> bool {
        !self.is_short.load(Ordering::Relaxed)
    }

    /// The failure of an operation that was stopped, `None` if it was not.
    pub(super) fn failure(&self, shown: &str, step: &str) -> Option<Failure> {
        self.stopped.get().map(|stopped| match stopped {
            Stopped::Over(over) => over.failure(shown, step),
            Stopped::Cancelled => cancelled(),
        })
    }
}

impl fmt::Debug for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowance").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::sync::Mutex;

    use windlass_model::Limits;

    use super::*;
    use crate::content::{Body, CHUNK_BYTES};
    use crate::rooted::{Owner, Root};

    const MIB: u64 = 1 << 20;

    /// Of a build that has written nothing else, and what it has noted.
    fn allowance(dir: &Path, limits: &Limits) -> (Arc<Allowance>, Arc<Mutex<u64>>) {
        let (disks, noted) = (Disks::of(dir), Arc::new(Mutex::new(0)));
        let seen = Arc::clone(&noted);
        let noting = move |bytes: u64| {
            let mut all = seen.lock().unwrap();
            *all += bytes;
            *all
        };
        let allowance = Allowance {
            bytes_max: limits.build.disk_bytes_max,
            floor: Floor::of(limits),
            began: vec![Free::UNKNOWN; disks.free().len()],
            disks,
            cancel: CancellationToken::new(),
            noting: Box::new(noting),
            unlooked: AtomicU64::new(0),
            is_short: AtomicBool::new(false),
            stopped: Arc::default(),
        };
        (Arc::new(allowance), noted)
    }

    fn limits(bytes_max: u64) -> Limits {
        let mut limits = Limits { disk_free_bytes_min: 0, ..Limits::default() };
        limits.build.disk_bytes_max = bytes_max;
        limits
    }

    fn write(root: &Root, name: &str, body: &mut File) -> io::Result<u64> {
        root.write_file(Path::new(name), body, 0o644, owner())
    }

    fn owner() -> Owner {
        let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
        Owner { uid: uid.as_raw(), gid: gid.as_raw() }
    }

    /// Gives a hundred bytes at once, as an archive may.
    struct Slowly(File);

    impl io::Read for Slowly {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(100);
            self.0.read(&mut buffer[..most])
        }
    }

    impl Body for Slowly {}

    #[test]
    fn a_copy_ends_where_the_limit_is_and_holes_count_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (allowance, noted) = allowance(dir.path(), &limits(3 * MIB));
        let root = Root::open(dir.path()).unwrap().within(&allowance);
        let path = |name: &str| dir.path().join(name);
        File::create(path("hole")).unwrap().set_len(1 << 40).unwrap();
        let open = |name: &str| File::open(path(name)).unwrap();
        assert_eq!(write(&root, "hole-copy", &mut open("hole")).unwrap(), 1 << 40);
        assert_eq!(*noted.lock().unwrap(), BLOCK_BYTES);

        std::fs::write(path("big"), vec![7; 2 << 20]).unwrap();
        // What is laid over later is counted there alone.
        let apart = Root::open(dir.path()).unwrap().within(&allowance.apart());
        write(&apart, "apart", &mut open("big")).unwrap();
        assert_eq!(*noted.lock().unwrap(), BLOCK_BYTES);
        write(&root, "one", &mut open("big")).unwrap();
        assert_eq!(*noted.lock().unwrap(), 2 * MIB + BLOCK_BYTES);
        // A byte takes a block, however few are read at once.
        std::fs::write(path("small"), vec![7; 9000]).unwrap();
        root.write_file(Path::new("small-copy"), &mut Slowly(open("small")), 0o644, owner())
            .unwrap();
        assert_eq!(*noted.lock().unwrap(), 2 * MIB + 4 * BLOCK_BYTES);
        assert!(allowance.has_counted_all());
        // A second name of a file that lies in a layer below is a copy of it.
        root.hard_link(Path::new("one"), Path::new("second")).unwrap();
        assert!(!allowance.has_counted_all());
        assert!(allowance.failure("copy", "app").is_none());
        write(&root, "two", &mut open("big")).unwrap_err();
        assert_eq!(std::fs::metadata(path("two")).unwrap().len(), MIB - CHUNK_BYTES as u64);
        let failure = allowance.failure("copy", "app").unwrap();
        assert_eq!(failure.code, "build.disk-limit");
        write(&apart, "more", &mut open("big")).unwrap_err();
    }

    #[test]
    fn a_copy_ends_with_its_build_and_at_the_floor() {
        let dir = tempfile::tempdir().unwrap();
        let content = dir.path().join("big");
        std::fs::write(&content, vec![7; 9 << 20]).unwrap();
        let failed = |limits: &Limits, is_cancelled: bool| {
            let (allowance, _) = allowance(dir.path(), limits);
            let root = Root::open(dir.path()).unwrap().within(&allowance);
            if is_cancelled {
                allowance.cancel.cancel();
            }
            write(&root, "copy", &mut File::open(&content).unwrap()).unwrap_err();
            allowance.failure("copy", "app").unwrap().code
        };
        assert_eq!(failed(&limits(100 * MIB), true), "build.cancelled");
        let floor = Limits { disk_free_bytes_min: u64::MAX, ..limits(100 * MIB) };
        assert_eq!(failed(&floor, false), "build.disk-floor");
    }
}
