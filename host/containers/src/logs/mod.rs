//! Reading logs: past lines, the end, a range of time, and lines as they come.
//!
//! A log is a directory of numbered files of JSON lines; the highest number is being written. **Invariants:
//! a file is only appended to, and only the oldest ones are removed**, so a reader needs no lock; **a
//! reader holds one line and one block at a time**, however large the log is.
//!
//! Reading order: [`LogCursor`] (forwards, from a place or a time), [`BackCursor`] (backwards), and the
//! short forms below.

mod back;
mod cursor;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::sync::Notify;
use windlass_model::{Dropped, LogLine};

pub use back::BackCursor;
pub use cursor::{LogCursor, LogPosition};

/// File that says that no more lines will come.
pub(crate) const CLOSED: &str = "closed";
/// File that says how much was removed with the oldest files.
pub(crate) const ROTATED: &str = "rotated.json";

/// How often a followed log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Lines that are read of a followed log before others get their turn: what is held does not grow with how
/// fast it is written.
const FOLLOWED_AT_ONCE: usize = 512;

/// Name of the nth file.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:010}.jsonl")
}

/// Numbers of the files that are there, oldest first.
pub(crate) fn files(dir: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".jsonl")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// What was removed with the oldest files, over the whole life of the log.
pub(crate) fn rotated(dir: &Path) -> Dropped {
    let bytes = std::fs::read(dir.join(ROTATED)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Where the lines of a log lie.
#[derive(Debug, Clone)]
enum Files {
    /// Numbered files in a directory.
    Numbered(PathBuf),
    /// One file, which counts as number 1.
    Single(PathBuf),
}

impl Files {
    fn numbers(&self) -> Vec<u64> {
        match self {
            Self::Numbered(dir) => files(dir),
            Self::Single(file) if file.exists() => vec![1],
            Self::Single(_) => Vec::new(),
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        match self {
            Self::Numbered(dir) => dir.join(file_name(number)),
            Self::Single(file) => file.clone(),
        }
    }

    fn rotated(&self) -> Dropped {
        match self {
            Self::Numbered(dir) => rotated(dir),
            Self::Single(_) => Dropped::default(),
        }
    }
}

/// Every line of a log, oldest first. A log that does not exist has none.
pub fn read(dir: &Path) -> Vec<LogLine> {
    LogCursor::of_dir(dir).map(|stored| stored.line).collect()
}

/// The last `count` lines.
pub fn tail(dir: &Path, count: usize) -> Vec<LogLine> {
    last(BackCursor::of_dir(dir), count)
}

/// The last `count` lines of a log that is one file.
pub fn tail_of_file(file: &Path, count: usize) -> Vec<LogLine> {
    last(BackCursor::of_file(file), count)
}

fn last(back: BackCursor, count: usize) -> Vec<LogLine> {
    let mut lines: Vec<LogLine> = back.take(count).map(|(stored, _)| stored.line).collect();
    lines.reverse();
    lines
}

/// Bytes that were written to the log so far, those that were removed with old files counted.
pub fn written(dir: &Path) -> u64 {
    let size = |number: &u64| std::fs::metadata(dir.join(file_name(*number))).map(|m| m.len());
    let kept: u64 = files(dir).iter().filter_map(|number| size(number).ok()).sum();
    kept + rotated(dir).bytes
}

/// Whether the log has ended.
pub fn is_closed(dir: &Path) -> bool {
    dir.join(CLOSED).exists()
}

/// Lines from the beginning, then as they come, until the container is deleted. When that is told it is looked
/// for at once, and otherwise every now and then.
pub fn follow(dir: &Path, told: Arc<Notify>) -> impl Stream<Item = LogLine> + Send + 'static {
    let start = Some((LogCursor::of_dir(dir), dir.to_owned(), told));
    let batches = futures::stream::unfold(start, |state| async move {
        let (mut cursor, dir, told) = state?;
        loop {
            // Asked for first: what was written before the end is read after this answer.
            let closed = is_closed(&dir);
            let batch = cursor.by_ref().map(|stored| stored.line);
            let lines: Vec<LogLine> = batch.take(FOLLOWED_AT_ONCE).collect();
            if lines.len() == FOLLOWED_AT_ONCE {
                // Who writes faster than this reads must not keep others from their turn.
                tokio::task::yield_now().await;
                return Some((lines, Some((cursor, dir, told))));
            }
            if closed {
                return Some((lines, None));
            }
            if !lines.is_empty() {
                return Some((lines, Some((cursor, dir, told))));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = told.notified() => {}
            }
        }
    });
    futures::StreamExt::flat_map(batches, futures::stream::iter)
}
