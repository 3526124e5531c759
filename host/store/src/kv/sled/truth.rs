//! What the store holds, read from the journal's folder: the newest readable checkpoint and every
//! frame behind it. **Nothing here asks sled.** The checkpoint is streamed; only what the frames changed
//! is in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::dump;
use super::super::{Entry, Revision};
use super::frame;
use crate::error::{Result, StoreError};

/// First bytes of each journal file.
pub(super) const HEADER: &[u8] = b"windlass journal 1\n";

/// A key's last change: at which revision, to what.
type Changed = (Revision, Option<Entry>);

/// See the module.
pub(super) struct Truth {
    /// Revision of the last transaction.
    pub(super) revision: Revision,
    /// Number of the newest journal file.
    pub(super) newest: u64,
    /// What is left of a frame that was being appended when the process died: the file, and where
    /// what counts ends.
    pub(super) torn: Option<(PathBuf, u64)>,
    /// Why the newest checkpoint could not be used, if it could not.
    pub(super) passed_over: Option<String>,
    checkpoint: PathBuf,
    changed: BTreeMap<String, Changed>,
}

impl Truth {
    /// Reads the folder.
    ///
    /// # Errors
    /// [`StoreError::JournalDamaged`] when something that was acknowledged is missing in it.
    pub(super) fn load(dir: &Path) -> Result<Self> {
        let files = Files::list(dir)?;
        let mut passed_over = None;
        for &number in files.checkpoints.iter().rev() {
            let checkpoint = checkpoint_path(dir, number);
            match dump::read(&checkpoint, &mut |_, _| Ok(())) {
                Ok(summary) => {
                    let mut truth = Self {
                        revision: summary.revision,
                        newest: number,
                        torn: None,
                        passed_over,
                        checkpoint,
                        changed: BTreeMap::new(),
                    };
                    truth.replay(dir, number, &files)?;
                    return Ok(truth);
                }
                Err(error @ StoreError::Corrupt { .. }) => passed_over = Some(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        let why = passed_over.unwrap_or_else(|| "there is no checkpoint".into());
        Err(StoreError::JournalDamaged { path: dir.to_owned(), why })
    }

    fn replay(&mut self, dir: &Path, from: u64, files: &Files) -> Result<()> {
        let logs: Vec<_> = files.logs.range(from..).copied().collect();
        if logs.first() != Some(&from) || !logs.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
            let why = format!("a journal file from number {from} on is missing");
            return Err(StoreError::JournalDamaged { path: dir.to_owned(), why });
        }
        for number in logs {
            self.newest = number;
            self.replay_file(log_path(dir, number))?;
        }
        Ok(())
    }

    fn replay_file(&mut self, path: PathBuf) -> Result<()> {
        let bytes = std::fs::read(&path).map_err(StoreError::io("reading", &path))?;
        let damaged = |why: String| StoreError::JournalDamaged { path: path.clone(), why };
        if self.torn.is_some() && bytes.len() > HEADER.len() {
            return Err(damaged("a frame in the file before it is damaged".into()));
        }
        if !bytes.starts_with(HEADER) {
            if HEADER.starts_with(&bytes) {
                // A new file that was never begun: no frame was ever in it.
                self.torn = Some((path, 0));
                return Ok(());
            }
            return Err(damaged("it is no journal of this format".into()));
        }
        let mut offset = HEADER.len();
        while offset < bytes.len() {
            let Some(frame) = frame::at(&bytes, offset) else {
                if frame::any_behind(&bytes, offset) {
                    return Err(damaged(format!("the frame at byte {offset} is damaged")));
                }
                self.torn = Some((path, offset as u64));
                return Ok(());
            };
            self.take(&frame).ok_or_else(|| {
                damaged(format!("the frame at byte {offset} does not follow the one before it"))
            })?;
            offset += frame.bytes;
        }
        Ok(())
    }

    fn take(&mut self, frame: &frame::Frame<'_>) -> Option<()> {
        if frame.first != self.revision + 1 || frame.count == 0 {
            return None;
        }
        frame.each_change(&mut |revision, key, value| {
            let entry = value.map(|value| Entry { revision, value });
            self.changed.insert(key, (revision, entry));
        })?;
        self.revision = frame.last();
        Some(())
    }

    /// Calls back with every key in order, and returns the revision of the whole.
    pub(super) fn each(
        &self,
        each: &mut dyn FnMut(&str, &Entry) -> Result<()>,
    ) -> Result<Revision> {
        let mut changed = self.changed.iter().peekable();
        let tell = |key: &str, changed: &Changed, each: &mut dyn FnMut(&str, &Entry) -> _| {
            changed.1.as_ref().map_or(Ok(()), |entry| each(key, entry))
        };
        let mut refused = None;
        let read = dump::read(&self.checkpoint, &mut |key, entry| {
            let mut merge = || {
                while let Some((before, change)) =
                    changed.next_if(|(other, _)| other.as_str() < key)
                {
                    tell(before, change, each)?;
                }
                match changed.next_if(|(other, _)| *other == key) {
                    Some((key, change)) => tell(key, change, each),
                    None => each(key, &entry),
                }
            };
            // The caller's own refusal must not look like one of the checkpoint.
            merge().map_err(|error| {
                refused = Some(error);
                StoreError::Closed
            })
        });
        match (refused, read) {
            (Some(error), _) => return Err(error),
            (None, Err(StoreError::Corrupt { why, .. })) => {
                return Err(StoreError::JournalDamaged { path: self.checkpoint.clone(), why });
            }
            (None, read) => read.map(drop)?,
        }
        for (key, change) in changed {
            tell(key, change, each)?;
        }
        Ok(self.revision)
    }

    /// What the frames changed after a revision, each key once.
    pub(super) fn changed_after(
        &self,
        revision: Revision,
    ) -> impl Iterator<Item = (&str, Option<&Entry>)> {
        let later = move |(_, change): &(&String, &Changed)| change.0 > revision;
        self.changed.iter().filter(later).map(|(key, change)| (key.as_str(), change.1.as_ref()))
    }
}

pub(super) fn checkpoint_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:06}.checkpoint"))
}

pub(super) fn log_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:06}.log"))
}

/// Numbers of the files in the folder.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) checkpoints: BTreeSet<u64>,
    pub(super) logs: BTreeSet<u64>,
}

impl Files {
    pub(super) fn list(dir: &Path) -> Result<Self> {
        let mut files = Self::default();
        for file in std::fs::read_dir(dir).map_err(StoreError::io("listing", dir))? {
            let name = file.map_err(StoreError::io("listing", dir))?.file_name();
            let name = name.to_string_lossy();
            let Some((number, kind)) = name.split_once('.') else { continue };
            match (number.parse(), kind) {
                (Ok(number), "checkpoint") => files.checkpoints.insert(number),
                (Ok(number), "log") => files.logs.insert(number),
                _ => continue,
            };
        }
        Ok(files)
    }
}
