//! Reading logs: past lines, the end, and lines as they come.
//!
//! A log is a directory of numbered files of JSON lines; the highest number is being written. **Invariant:
//! a file is only appended to, and only the oldest ones are removed**, so a reader needs no lock.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::Stream;
use windlass_model::LogLine;

/// File that says that no more lines will come.
pub(crate) const CLOSED: &str = "closed";

/// How often a followed log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

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

/// Every line of a log, oldest first. A log that does not exist has none.
pub fn read(dir: &Path) -> Vec<LogLine> {
    let mut cursor = Cursor::start(dir);
    cursor.read_available()
}

/// The last `count` lines.
pub fn tail(dir: &Path, count: usize) -> Vec<LogLine> {
    let mut lines: Vec<LogLine> = Vec::new();
    for number in files(dir).into_iter().rev() {
        let mut cursor = Cursor::at(dir, number);
        let mut earlier = cursor.read_file();
        earlier.append(&mut lines);
        lines = earlier;
        if lines.len() >= count {
            break;
        }
    }
    lines.split_off(lines.len().saturating_sub(count))
}

/// Whether the log has ended.
pub fn is_closed(dir: &Path) -> bool {
    dir.join(CLOSED).exists()
}

/// Lines from the beginning, then as they come, until the container is deleted.
pub fn follow(dir: &Path) -> impl Stream<Item = LogLine> + Send + 'static {
    follow_from(Cursor::start(dir))
}

/// The last `count` lines, then lines as they come, until the container is deleted.
pub fn follow_tail(dir: &Path, count: usize) -> impl Stream<Item = LogLine> + Send + 'static {
    let mut cursor = Cursor::start(dir);
    let mut past = cursor.read_available();
    let past = past.split_off(past.len().saturating_sub(count));
    futures::StreamExt::chain(futures::stream::iter(past), follow_from(cursor))
}

fn follow_from(cursor: Cursor) -> impl Stream<Item = LogLine> + Send + 'static {
    let batches = futures::stream::unfold(Some(cursor), |cursor| async move {
        let mut cursor = cursor?;
        loop {
            // Asked for first: what was written before the end is read after this answer.
            let closed = is_closed(&cursor.dir);
            let lines = cursor.read_available();
            if closed {
                return Some((lines, None));
            }
            if !lines.is_empty() {
                return Some((lines, Some(cursor)));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    futures::StreamExt::flat_map(batches, futures::stream::iter)
}

/// A place in a log.
struct Cursor {
    dir: PathBuf,
    number: u64,
    open: Option<BufReader<File>>,
    rest: Vec<u8>,
}

impl Cursor {
    fn start(dir: &Path) -> Self {
        Self::at(dir, 0)
    }

    fn at(dir: &Path, number: u64) -> Self {
        Self { dir: dir.to_owned(), number, open: None, rest: Vec::new() }
    }

    /// Every complete line that is there, over all files.
    fn read_available(&mut self) -> Vec<LogLine> {
        let mut lines = Vec::new();
        loop {
            let next = files(&self.dir).into_iter().find(|number| *number > self.number);
            // Read again after the next file was seen: the last lines of this one are there then.
            lines.extend(self.read_file());
            match next {
                Some(number) => {
                    self.number = number;
                    self.open = None;
                    self.rest.clear();
                }
                None => return lines,
            }
        }
    }

    /// Every complete line that is left of the current file.
    fn read_file(&mut self) -> Vec<LogLine> {
        if self.open.is_none() {
            let file = File::open(self.dir.join(file_name(self.number))).ok();
            self.open = file.map(BufReader::new);
        }
        let Some(open) = &mut self.open else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        while open.read_until(b'\n', &mut self.rest).unwrap_or_default() > 0 {
            if self.rest.last() != Some(&b'\n') {
                break;
            }
            lines.extend(serde_json::from_slice::<LogLine>(&self.rest).ok());
            self.rest.clear();
        }
        lines
    }
}
