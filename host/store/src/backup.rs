//! Backups that were read back before they count.
//!
//! A backup is one file, `windlass-<UTC time>-<revision>.backup`: a line that names the format, a record
//! for each key (lengths, revision, key, value), an end record with their number and the SHA-256 of
//! everything before it. Variables and tokens in it are encrypted with `secret.key`, which is **not**
//! part of it: keep a copy of that file elsewhere.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use windlass_model::{Digest, Timestamp};

use crate::error::{Result, StoreError};
use crate::kv::{Entry, Expect, KEY_BYTES_MAX, Kv, Revision, SledKv, Transaction, VALUE_BYTES_MAX};
use crate::lock::DirLock;
use crate::store::Store;

const MAGIC: &[u8] = b"windlass backup 1\n";
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
        let written = write_backup(&**self.kv(), &partial);
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

    /// Makes a backup at once and then at intervals, until the returned task is aborted. A failure is
    /// logged and tried again at the next interval.
    pub fn backup_every(
        &self,
        every: Duration,
        dir: PathBuf,
        keep: usize,
    ) -> tokio::task::JoinHandle<()> {
        let store = self.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let (store, dir) = (store.clone(), dir.clone());
                let made = tokio::task::spawn_blocking(move || store.backup_to(&dir, keep)).await;
                match made {
                    Ok(Ok(report)) => tracing::info!(?report, "the store was backed up"),
                    Ok(Err(error)) => tracing::error!(%error, "the backup of the store failed"),
                    Err(error) => tracing::error!(%error, "the backup of the store was cut off"),
                }
            }
        })
    }
}

/// Reads a whole backup and checks its checksum.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not exactly what was written.
pub fn verify_backup(path: &Path) -> Result<BackupReport> {
    read_backup(path, &mut |_, _| Ok(()))
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
    let report = read_backup(backup, &mut |key, entry| {
        bytes += key.len() + entry.value.len();
        tx = std::mem::take(&mut tx).put(key, Expect::Absent, entry.value);
        if bytes >= RESTORE_BYTES {
            bytes = 0;
            kv.submit(std::mem::take(&mut tx)).wait()?;
        }
        Ok(())
    })?;
    kv.submit(tx).wait()?;
    Ok(report)
}

fn write_backup(kv: &dyn Kv, path: &Path) -> Result<Revision> {
    let io = || StoreError::io("writing", path);
    let file = File::create(path).map_err(io())?;
    let mut out = Hashed { inner: BufWriter::new(file), sha: Sha256::new(), bytes: 0 };
    out.write_all(MAGIC).map_err(io())?;
    let mut keys = 0_u64;
    let revision = kv.export(&mut |key, entry| {
        keys += 1;
        write_record(&mut out, key, entry).map_err(io())
    })?;
    let mut end = || {
        out.write_all(&0_u32.to_be_bytes())?;
        out.write_all(&keys.to_be_bytes())?;
        out.write_all(&revision.to_be_bytes())?;
        let sum = out.sha.clone().finalize();
        out.write_all(&sum)?;
        out.inner.flush()?;
        out.inner.get_ref().sync_all()
    };
    end().map_err(io())?;
    Ok(revision)
}

fn write_record(out: &mut impl Write, key: &str, entry: &Entry) -> std::io::Result<()> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    out.write_all(&length(key.len()))?;
    out.write_all(&length(entry.value.len()))?;
    out.write_all(&entry.revision.to_be_bytes())?;
    out.write_all(key.as_bytes())?;
    out.write_all(&entry.value)
}

fn read_backup(
    path: &Path,
    each: &mut dyn FnMut(&str, Entry) -> Result<()>,
) -> Result<BackupReport> {
    let damaged = |why: &str| StoreError::Corrupt {
        what: format!("backup {}", path.display()),
        why: why.to_owned(),
    };
    let cut = |_| damaged("it ends too early");
    let file = File::open(path).map_err(StoreError::io("opening", path))?;
    let mut input = Hashed { inner: BufReader::new(file), sha: Sha256::new(), bytes: 0 };
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic).map_err(cut)?;
    if magic != MAGIC {
        return Err(damaged("it is no backup of this format"));
    }
    let mut keys = 0_u64;
    loop {
        let key_bytes = u32::from_be_bytes(input.array().map_err(cut)?) as usize;
        if key_bytes == 0 {
            break;
        }
        let value_bytes = u32::from_be_bytes(input.array().map_err(cut)?) as usize;
        if key_bytes > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX {
            return Err(damaged("a length in it is impossible"));
        }
        let revision = u64::from_be_bytes(input.array().map_err(cut)?);
        let key = String::from_utf8(input.vec(key_bytes).map_err(cut)?)
            .map_err(|_| damaged("a key in it is not text"))?;
        let value = input.vec(value_bytes).map_err(cut)?;
        each(&key, Entry { revision, value })?;
        keys += 1;
    }
    let counted = u64::from_be_bytes(input.array().map_err(cut)?);
    let revision = u64::from_be_bytes(input.array().map_err(cut)?);
    let expected: [u8; 32] = input.sha.clone().finalize().into();
    let stored: [u8; 32] = input.array().map_err(cut)?;
    if counted != keys || stored != expected {
        return Err(damaged("its checksum is wrong"));
    }
    let digest = Digest::from_sha256(stored);
    Ok(BackupReport { path: path.to_owned(), revision, keys, bytes: input.bytes, digest })
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

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("syncing", dir))
}

/// Hashes and counts what passes.
struct Hashed<T> {
    inner: T,
    sha: Sha256,
    bytes: u64,
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sha.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Hashed<T> {
    fn read_exact(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.sha.update(&*bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn vec(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
