//! An open database with the handles that make its commits durable.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::backend;
use crate::error::{Result, StoreError};

/// sled's page cache. The working set of a host is small, and idle memory counts.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// How often sled's flusher looks for garbage. Durability never waits for it.
const FLUSHER_EVERY_MS: u64 = 1000;
/// Name of sled's flusher threads.
const FLUSHER_NAME: &str = "log flusher";

/// Longest wait for the locks of a database that was dropped just before, and the pause between looks.
const UNLOCKED_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Databases open in this process; each has one flusher.
pub(super) static OPEN: AtomicUsize = AtomicUsize::new(0);

pub(super) struct Database {
    pub(super) db: sled::Db,
    /// Our own handle of sled's `db` file, for fsync: errors of the device reach every handle.
    file: File,
    blobs: PathBuf,
    blobs_synced: Mutex<BTreeSet<OsString>>,
    path: PathBuf,
    _counted: Counted,
}

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Opens sled, waiting for a moment while its files are locked: threads of a database that was dropped
/// in this process let go of them a little later. Another process cannot hold them, see `lock`.
fn open_unlocked(config: &sled::Config) -> Result<sled::Db> {
    let until = Instant::now() + UNLOCKED_WITHIN;
    loop {
        // sled panics on some kinds of damage.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let opened = opened.map_err(|_| StoreError::Backend {
            doing: "opening",
            why: "its files are damaged".into(),
        })?;
        match opened {
            Err(error) if is_locked(&error) && Instant::now() < until => {
                std::thread::sleep(LOOK_EVERY);
            }
            opened => return opened.map_err(backend("opening")),
        }
    }
}

/// sled has no error of its own for it, only this text.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().contains("could not acquire lock"))
}

impl Database {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(StoreError::io("creating", dir))?;
        remove_unfinished_snapshots(dir)?;
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSHER_EVERY_MS));
        let db = open_unlocked(&config)?;
        OPEN.fetch_add(1, Ordering::SeqCst);
        let counted = Counted;
        let path = dir.join("db");
        let file = File::open(&path).map_err(StoreError::io("opening", &path))?;
        let open = Self {
            db,
            file,
            blobs: dir.join("blobs"),
            blobs_synced: Mutex::default(),
            path,
            _counted: counted,
        };
        open.sync_files(dir)?;
        Ok(open)
    }

    /// The file names and what sled writes only at first: `conf`, snapshots, the directories.
    fn sync_files(&self, dir: &Path) -> Result<()> {
        let conf = dir.join("conf");
        sync(&conf)?;
        self.sync_db()?;
        sync(&self.blobs)?;
        sync(dir)?;
        dir.parent().map_or(Ok(()), sync)
    }

    fn sync_db(&self) -> Result<()> {
        self.file.sync_all().map_err(StoreError::io("syncing", &self.path))
    }

    /// Everything that was applied before is on disk when this returns `Ok`. No acknowledgement waits
    /// for it: that is the journal's.
    pub(super) fn commit(&self) -> Result<()> {
        self.db.flush().map_err(backend("writing"))?;
        self.sync_blobs()?;
        self.sync_db()
    }

    /// Blobs should not appear, see the module above; if they do, they must not be lost.
    fn sync_blobs(&self) -> Result<()> {
        let mut synced = self.blobs_synced.lock().unwrap_or_else(PoisonError::into_inner);
        let io = |doing| StoreError::io(doing, &self.blobs);
        let mut any = false;
        for blob in std::fs::read_dir(&self.blobs).map_err(io("listing"))? {
            let name = blob.map_err(io("listing"))?.file_name();
            if !synced.contains(&name) {
                match File::open(self.blobs.join(&name)) {
                    Ok(file) => file.sync_all().map_err(io("syncing"))?,
                    // sled has just collected it.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(io("opening")(error)),
                }
                synced.insert(name);
                any = true;
            }
        }
        if any { sync(&self.blobs) } else { Ok(()) }
    }
}

/// Whether each open database of this process still has its flusher. When nobody can tell, it has.
pub(super) fn flushers_live() -> bool {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return true;
    };
    let is_flusher = |task: &std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        name.trim_end() == FLUSHER_NAME
    };
    tasks.flatten().filter(is_flusher).count() >= OPEN.load(Ordering::SeqCst)
}

fn remove_unfinished_snapshots(dir: &Path) -> Result<()> {
    for file in std::fs::read_dir(dir).map_err(StoreError::io("listing", dir))? {
        let path = file.map_err(StoreError::io("listing", dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::warn!(file = %name, "removing a snapshot that was never finished");
            std::fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
        }
    }
    Ok(())
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io("syncing", path))
}
