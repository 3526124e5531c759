//! The journal: the place where a commit becomes durable. Its folder holds `<n>.checkpoint` (every key
//! and value before `<n>.log`) and `<n>.log` (a frame for each group of commits since).
//!
//! **Invariants.** A frame is synced before the next one is begun, so only the last can be torn, and a
//! torn one was acknowledged to nobody. A checkpoint is made from the journal alone, never from sled,
//! and is read back before it counts. The checkpoint before the newest one is kept with its journal, in
//! case the newest cannot be read one day.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::super::dump::{self, sync_dir};
use super::super::{Revision, Transaction};
use super::frame;
use super::truth::{Files, HEADER, Truth, checkpoint_path, log_path};
use crate::error::{Result, StoreError};

/// Length of a journal file from which on a checkpoint is made. Opening reads and holds as much.
const COMPACT_BYTES: u64 = 8 * 1024 * 1024;

pub(super) struct Journal {
    dir: PathBuf,
    number: u64,
    path: PathBuf,
    file: File,
    /// Where the next frame goes.
    bytes: u64,
    revision: Revision,
    /// Length at which to compact; grows when compacting fails, so that it is not tried each time.
    compact_at: u64,
    /// What the file holds is not known any more: only a restart reads the truth.
    broken: bool,
}

impl Journal {
    /// Opens the folder and clears away what an append or a checkpoint that was cut off left there.
    /// It is made when `is_new`; otherwise it must be there.
    pub(super) fn open(dir: &Path, is_new: bool) -> Result<(Self, Truth)> {
        if is_new {
            std::fs::create_dir_all(dir).map_err(StoreError::io("creating", dir))?;
            if never_begun(dir)? {
                begin(dir, 1, &|_| Ok(0))?;
            }
        }
        if !dir.is_dir() {
            let why = "it is missing, and a database is there".into();
            return Err(StoreError::JournalDamaged { path: dir.to_owned(), why });
        }
        let mut truth = Truth::load(dir)?;
        if let Some((path, keep)) = &truth.torn {
            tracing::warn!(file = %path.display(), keep, "cutting off a frame that was never finished");
            cut(path, *keep)?;
        }
        let path = log_path(dir, truth.newest);
        let (file, bytes) = open_file(&path)?;
        let mut journal = Self {
            dir: dir.to_owned(),
            number: truth.newest,
            path,
            file,
            bytes,
            revision: truth.revision,
            compact_at: COMPACT_BYTES,
            broken: false,
        };
        if let Some(why) = truth.passed_over.take() {
            // A readable checkpoint again; the one that was used now is removed by it.
            journal.compact()?;
            truth = journal.load()?;
            truth.passed_over = Some(why);
        }
        Ok((journal, truth))
    }

    /// Revision of the last transaction in it.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether it takes nothing more until a restart.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Everything it holds, read again.
    pub(super) fn load(&self) -> Result<Truth> {
        Truth::load(&self.dir)
    }

    /// Appends a group as one frame. **When this returns `Ok`, the group is on disk**; otherwise nothing
    /// of it is, or nothing more is taken.
    pub(super) fn append(&mut self, group: &[&Transaction]) -> Result<()> {
        if self.broken {
            let why = "its journal failed, and must be read anew at a restart".into();
            return Err(StoreError::Backend { doing: "writing", why });
        }
        let frame = frame::encode(self.bytes, self.revision + 1, group)?;
        let written = self.file.write_all_at(&frame, self.bytes);
        let durable = written.and_then(|()| self.file.sync_data());
        if let Err(error) = durable {
            let cut = self.file.set_len(self.bytes);
            // A sync that failed may have dropped what the page cache held: no second try.
            self.broken = cut.is_err() || !is_full(&error);
            return Err(StoreError::io("writing", &self.path)(error));
        }
        self.bytes += frame.len() as u64;
        self.revision += group.len() as u64;
        Ok(())
    }

    /// Whether it is time to [`compact`](Self::compact).
    pub(super) fn is_long(&self) -> bool {
        self.bytes >= self.compact_at && !self.broken
    }

    /// Writes a checkpoint, starts a new file, and removes what is older than the checkpoint before.
    pub(super) fn compact(&mut self) -> Result<()> {
        self.compact_at = self.bytes + COMPACT_BYTES;
        let truth = self.load()?;
        let number = self.number + 1;
        let begun = begin(&self.dir, number, &|each| truth.each(each));
        let (file, bytes) = begun.and_then(|path| open_file(&path))?;
        let previous = self.number;
        self.path = log_path(&self.dir, number);
        (self.number, self.file, self.bytes) = (number, file, bytes);
        self.compact_at = COMPACT_BYTES;
        remove_before(&self.dir, previous)
    }
}

/// No frame was ever written here, and no checkpoint finished.
fn never_begun(dir: &Path) -> Result<bool> {
    let files = Files::list(dir)?;
    let is_empty = |number: &u64| {
        log_path(dir, *number).metadata().is_ok_and(|file| file.len() <= HEADER.len() as u64)
    };
    Ok(files.checkpoints.is_empty() && files.logs.iter().all(is_empty))
}

/// Makes `<number>.log`, and then the checkpoint that makes it count. Returns the path of the former.
fn begin(dir: &Path, number: u64, export: dump::Export<'_>) -> Result<PathBuf> {
    let partial = dir.join("checkpoint.partial");
    let log = log_path(dir, number);
    let made = dump::write(&partial, export)
        .and_then(|_| dump::read(&partial, &mut |_, _| Ok(())))
        .and_then(|_| start_file(&log));
    if let Err(error) = made {
        let _ = std::fs::remove_file(&partial);
        let _ = std::fs::remove_file(&log);
        return Err(error);
    }
    let checkpoint = checkpoint_path(dir, number);
    std::fs::rename(&partial, &checkpoint).map_err(StoreError::io("renaming", &partial))?;
    sync_dir(dir)?;
    Ok(log)
}

fn start_file(path: &Path) -> Result<()> {
    let start = || {
        let file = File::create(path)?;
        file.write_all_at(HEADER, 0)?;
        file.sync_all()
    };
    start().map_err(StoreError::io("writing", path))
}

fn open_file(path: &Path) -> Result<(File, u64)> {
    let open = || {
        let file = File::options().write(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok((file, bytes))
    };
    open().map_err(StoreError::io("opening", path))
}

fn cut(path: &Path, keep: u64) -> Result<()> {
    if keep == 0 {
        return start_file(path);
    }
    let cut = || {
        let file = File::options().write(true).open(path)?;
        file.set_len(keep)?;
        file.sync_all()
    };
    cut().map_err(StoreError::io("cutting", path))
}

fn remove_before(dir: &Path, number: u64) -> Result<()> {
    let files = Files::list(dir)?;
    let checkpoints = files.checkpoints.range(..number).map(|old| checkpoint_path(dir, *old));
    let logs = files.logs.range(..number).map(|old| log_path(dir, *old));
    // Checkpoints first: one without its journal would be taken for damage.
    for old in checkpoints.chain(logs) {
        std::fs::remove_file(&old).map_err(StoreError::io("removing", &old))?;
    }
    Ok(())
}

pub(super) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
