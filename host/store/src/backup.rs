//! Backups that were read back before they count.
//!
//! A backup is one file, `windlass-<UTC time>-<revision>.backup`; `kv/dump.rs` has its format. Variables and tokens in it are encrypted with `secret.key`, which is **not**
//! part of it: keep a copy of that file elsewhere.

use std::path::{Path, PathBuf};

use windlass_model::{Digest, Timestamp};

use crate::error::{Result, StoreError};
use crate::kv::dump::sync_dir;
use crate::kv::{Expect, Kv as _, Revision, SledKv, Transaction, dump};
use crate::lock::DirLock;
use crate::store::Store;

const SUFFIX: &str = "backup";
/// Bytes restored in one transaction.
const RESTORE_BYTES: usize = 1024 * 1024;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// The file.
    pub path: PathBuf,
    /// Revision of the store that it shows.
    pub revision: Revision,
    /// Keys in it.
    pub keys: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its contents.
    pub digest: Digest,
}

impl Store {
    /// Writes a backup into a directory, reads it back, and then deletes all but the newest `keep`
    /// backups there. Commits wait while it is written; reads do not. Blocks: a thread's work.
    pub fn backup_to(&self, dir: &Path, keep: usize) -> Result<BackupReport> {
        std::fs::create_dir_all(dir).map_err(StoreError::io("creating", dir))?;
        let partial = dir.join(".backup.partial");
        let written = dump::write(&partial, &|each| self.kv().export(each));
        let revision = match written {
            Ok(revision) => revision,
            Err(error) => {
                let _ = std::fs::remove_file(&partial);
                return Err(error);
            }
        };
        let mut report = verify_backup(&partial)?;
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
        let path = dir.join(format!("windlass-{time}-{revision}.{SUFFIX}"));
        std::fs::rename(&partial, &path).map_err(StoreError::io("renaming", &partial))?;
        sync_dir(dir)?;
        report.path = path;
        prune(dir, keep.max(1))?;
        Ok(report)
    }
}

/// Reads a whole backup and checks its checksum.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not exactly what was written.
pub fn verify_backup(path: &Path) -> Result<BackupReport> {
    dump::read(path, &mut |_, _| Ok(())).map(|found| report(path, found))
}

/// Puts a backup in the place of a data directory's store. The store that was there is kept beside it
/// as `store.replaced-<time>`. No host may run on the directory. Revisions start anew.
///
/// # Errors
/// [`StoreError::InUse`]; [`StoreError::Corrupt`], before anything is changed.
pub fn restore_from(backup: &Path, data_dir: &Path) -> Result<BackupReport> {
    std::fs::create_dir_all(data_dir).map_err(StoreError::io("creating", data_dir))?;
    let _lock = DirLock::take(data_dir)?;
    verify_backup(backup)?;
    let work = data_dir.join("restore.partial");
    if work.exists() {
        std::fs::remove_dir_all(&work).map_err(StoreError::io("removing", &work))?;
    }
    std::fs::create_dir(&work).map_err(StoreError::io("creating", &work))?;
    let report = fill(backup, &work)?;
    let store = data_dir.join("store");
    if store.exists() {
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
        let aside = data_dir.join(format!("store.replaced-{time}"));
        std::fs::rename(&store, &aside).map_err(StoreError::io("renaming", &store))?;
    }
    std::fs::rename(work.join("store"), &store).map_err(StoreError::io("renaming", &work))?;
    sync_dir(data_dir)?;
    std::fs::remove_dir_all(&work).map_err(StoreError::io("removing", &work))?;
    Ok(report)
}

/// Writes a backup's keys into a new store in `work`.
fn fill(backup: &Path, work: &Path) -> Result<BackupReport> {
    let kv = SledKv::open(work)?;
    let mut tx = Transaction::new();
    let mut bytes = 0;
    let found = dump::read(backup, &mut |key, entry| {
        bytes += key.len() + entry.value.len();
        tx = std::mem::take(&mut tx).put(key, Expect::Absent, entry.value);
        if bytes >= RESTORE_BYTES {
            bytes = 0;
            kv.submit(std::mem::take(&mut tx)).wait()?;
        }
        Ok(())
    })?;
    kv.submit(tx).wait()?;
    Ok(report(backup, found))
}

fn report(path: &Path, found: dump::Summary) -> BackupReport {
    let dump::Summary { revision, keys, bytes, digest } = found;
    BackupReport { path: path.to_owned(), revision, keys, bytes, digest }
}

/// Deletes all but the newest; the time in their names is their order.
fn prune(dir: &Path, keep: usize) -> Result<()> {
    let io = |doing| StoreError::io(doing, dir);
    let mut backups = Vec::new();
    for file in std::fs::read_dir(dir).map_err(io("listing"))? {
        let path = file.map_err(io("listing"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("windlass-") && path.extension().is_some_and(|ext| ext == SUFFIX) {
            backups.push(path);
        }
    }
    backups.sort_unstable();
    backups.truncate(backups.len().saturating_sub(keep));
    for old in backups {
        std::fs::remove_file(&old).map_err(StoreError::io("removing", &old))?;
    }
    Ok(())
}
