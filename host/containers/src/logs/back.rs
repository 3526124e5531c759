//! Reading a log backwards: the newest lines first, without the ones before them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use windlass_model::StoredLine;

use super::{Files, LogPosition};

/// Bytes read at once.
const BLOCK_BYTES: u64 = 64 * 1024;

/// Gives the lines of a log from the last to the first, each with the place where it begins.
#[derive(Debug)]
pub struct BackCursor {
    files: Files,
    /// Files that are still to be read.
    numbers: Vec<u64>,
    open: Option<Open>,
}

/// The file that is being read.
#[derive(Debug)]
struct Open {
    file: File,
    number: u64,
    /// Where `held` begins in the file.
    from: u64,
    /// What was read and not given out.
    held: Vec<u8>,
    /// Whether the end of the last line is still to be found.
    seeks_end: bool,
}

impl BackCursor {
    /// At the end of a log of numbered files.
    pub fn of_dir(dir: &Path) -> Self {
        Self::new(Files::Numbered(dir.to_owned()))
    }

    /// At the end of a log that is one file.
    pub fn of_file(file: &Path) -> Self {
        Self::new(Files::Single(file.to_owned()))
    }

    fn new(files: Files) -> Self {
        Self { numbers: files.numbers(), files, open: None }
    }

    /// Opens the newest file that is left; `None` when there is none.
    fn open_next(&mut self) -> Option<()> {
        loop {
            let number = self.numbers.pop()?;
            let Ok(file) = File::open(self.files.path(number)) else { continue };
            let Ok(meta) = file.metadata() else { continue };
            let (from, held) = (meta.len(), Vec::new());
            self.open = Some(Open { file, number, from, held, seeks_end: true });
            return Some(());
        }
    }
}

impl Iterator for BackCursor {
    type Item = (StoredLine, LogPosition);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.open.is_none() {
                self.open_next()?;
            }
            let Some((bytes, place)) = self.open.as_mut().and_then(Open::line) else {
                self.open = None;
                continue;
            };
            if let Ok(line) = serde_json::from_slice(&bytes) {
                return Some((line, place));
            }
        }
    }
}

impl Open {
    /// The last line that was not given out.
    fn line(&mut self) -> Option<(Vec<u8>, LogPosition)> {
        loop {
            if self.seeks_end
                && let Some(end) = self.held.iter().rposition(|byte| *byte == b'\n')
            {
                self.held.truncate(end + 1);
                self.seeks_end = false;
            }
            let before = self.held.len().saturating_sub(1);
            let cut = match self.held[..before].iter().rposition(|byte| *byte == b'\n') {
                Some(end) => end + 1,
                None if self.from > 0 => {
                    self.earlier()?;
                    continue;
                }
                None if self.held.is_empty() || self.seeks_end => return None,
                None => 0,
            };
            let line = self.held.split_off(cut);
            let offset = self.from + cut as u64;
            return Some((line, LogPosition { file: self.number, offset }));
        }
    }

    /// Reads the block before.
    fn earlier(&mut self) -> Option<()> {
        let count = self.from.min(BLOCK_BYTES);
        let mut block = vec![0; usize::try_from(count).ok()?];
        self.file.read_exact_at(&mut block, self.from - count).ok()?;
        block.append(&mut self.held);
        self.held = block;
        self.from -= count;
        Some(())
    }
}
