//! Reading a log forwards: from its beginning, from a place that was reached before, or from a time.
//!
//! **Invariant: a place is behind a whole line**, so that going on from it neither loses nor repeats one.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use windlass_model::{Dropped, LogLine, StoredLine, Stream, Timestamp};

use super::Files;

/// From so few bytes on, looking at each line is as quick as halving.
const HALVE_BYTES_MIN: u64 = 32 * 1024;

/// A place in a log. The default is the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition {
    /// Number of the file; 0 is before the oldest.
    pub file: u64,
    /// Bytes of it that were read.
    pub offset: u64,
}

/// Reads a log forwards. As an iterator it ends at the last whole line, and goes on when there is more.
#[derive(Debug)]
pub struct LogCursor {
    files: Files,
    /// Behind the last line that was given out.
    given: LogPosition,
    /// Behind the last line that was read.
    read: LogPosition,
    open: Option<BufReader<File>>,
    rest: Vec<u8>,
    /// A line that waits because a gap is told before it.
    waiting: Option<StoredLine>,
    /// Whether files between the last place and this one are gone.
    is_behind_gap: bool,
    until: Option<LogPosition>,
    scanned_bytes: u64,
}

impl LogCursor {
    /// At the beginning of a log of numbered files.
    pub fn of_dir(dir: &Path) -> Self {
        Self::new(Files::Numbered(dir.to_owned()))
    }

    /// At the beginning of a log that is one file.
    pub fn of_file(file: &Path) -> Self {
        Self::new(Files::Single(file.to_owned()))
    }

    fn new(files: Files) -> Self {
        Self {
            files,
            given: LogPosition::default(),
            read: LogPosition::default(),
            open: None,
            rest: Vec::new(),
            waiting: None,
            is_behind_gap: false,
            until: None,
            scanned_bytes: 0,
        }
    }

    /// Behind the last line that was given out.
    pub fn position(&self) -> LogPosition {
        self.given
    }

    /// Bytes that were read so far, to be able to pause in a long search.
    pub fn scanned_bytes(&self) -> u64 {
        self.scanned_bytes
    }

    /// Goes on from a place.
    pub fn seek(&mut self, to: LogPosition) {
        self.given = to;
        self.read = to;
        self.open = None;
        self.rest.clear();
        self.waiting = None;
    }

    /// Ends at the lines that are there now, whatever is written meanwhile.
    pub fn stop_at_present_end(&mut self) {
        let last = self.files.numbers().last().copied();
        let end = last.map(|file| LogPosition { file, offset: self.bytes_of(file) });
        self.until = Some(end.unwrap_or_default());
    }

    /// Gives out nothing more.
    pub fn stop(&mut self) {
        self.until = Some(LogPosition::default());
    }

    fn bytes_of(&self, file: u64) -> u64 {
        std::fs::metadata(self.files.path(file)).map(|meta| meta.len()).unwrap_or_default()
    }

    /// Goes to the first line of this time or later, by halving: files by their first lines, then bytes.
    pub fn seek_time(&mut self, time: Timestamp) {
        let begins = |number: u64| Some((number, first_time(&self.files.path(number))?));
        let begun: Vec<_> = self.files.numbers().into_iter().filter_map(begins).collect();
        let later = begun.partition_point(|(_, at)| *at < time);
        let Some(file) = later.checked_sub(1).map(|place| begun[place].0) else {
            // Everything that is kept is later.
            return self.seek(LogPosition::default());
        };
        let offset = offset_of_time(&self.files.path(file), time).unwrap_or_default();
        self.seek(LogPosition { file, offset });
    }

    /// Opens the file to read on in; whether there is one.
    fn open(&mut self) -> bool {
        if self.open.is_some() {
            return true;
        }
        let Some(number) = self.files.numbers().into_iter().find(|n| *n >= self.read.file) else {
            return false;
        };
        if number != self.read.file {
            self.is_behind_gap = true;
            self.read = LogPosition { file: number, offset: 0 };
        }
        let Ok(mut file) = File::open(self.files.path(number)) else {
            return false;
        };
        if self.read.offset > 0 && file.seek(SeekFrom::Start(self.read.offset)).is_err() {
            return false;
        }
        self.open = Some(BufReader::with_capacity(64 * 1024, file));
        true
    }

    /// The next whole line of the open file.
    fn read_line(&mut self) -> Option<StoredLine> {
        let open = self.open.as_mut()?;
        loop {
            let count = open.read_until(b'\n', &mut self.rest).unwrap_or_default();
            self.scanned_bytes += count as u64;
            if count == 0 || self.rest.last() != Some(&b'\n') {
                return None;
            }
            self.read.offset += self.rest.len() as u64;
            // A line that a crash cut in two is not worth more than the ones around it.
            let line = serde_json::from_slice::<StoredLine>(&self.rest).ok();
            self.rest.clear();
            if line.is_some() {
                return line;
            }
        }
    }

    /// Goes to the file after the open one; whether there is one.
    fn next_file(&mut self) -> bool {
        let next = self.files.numbers().into_iter().find(|number| *number > self.read.file);
        let Some(next) = next else {
            return false;
        };
        self.is_behind_gap |= next != self.read.file + 1;
        self.read = LogPosition { file: next, offset: 0 };
        self.open = None;
        self.rest.clear();
        true
    }

    fn is_at_end(&self) -> bool {
        self.until.is_some_and(|until| self.read >= until)
    }

    fn next_stored(&mut self) -> Option<StoredLine> {
        loop {
            if self.is_at_end() || !self.open() {
                return None;
            }
            if let Some(line) = self.read_line() {
                return Some(line);
            }
            let last = self.files.numbers().last().is_none_or(|last| *last <= self.read.file);
            if last || self.is_at_end() {
                return None;
            }
            // Read again after the next file was seen: the last lines of this one are there then.
            if let Some(line) = self.read_line() {
                return Some(line);
            }
            if !self.next_file() {
                return None;
            }
        }
    }

    /// What to say where files are gone: all that were ever removed when read from the beginning.
    fn gap(&self, at: Timestamp, from_start: bool) -> Option<StoredLine> {
        let rotated = self.files.rotated();
        if from_start {
            let why = "the oldest files of this log made room for newer ones";
            return (!rotated.is_none()).then(|| StoredLine::gap(at, rotated, why));
        }
        let text = "… lines are missing here: they made room for newer ones before they were read";
        let line = LogLine { at, stream: Stream::Host, text: text.to_owned() };
        Some(StoredLine { line, dropped: Some(Dropped::default()) })
    }
}

impl Iterator for LogCursor {
    type Item = StoredLine;

    fn next(&mut self) -> Option<StoredLine> {
        if let Some(line) = self.waiting.take() {
            self.given = self.read;
            return Some(line);
        }
        let from_start = self.given == LogPosition::default();
        let line = self.next_stored()?;
        if std::mem::take(&mut self.is_behind_gap)
            && let Some(gap) = self.gap(line.line.at, from_start)
        {
            self.waiting = Some(line);
            self.given = LogPosition { file: self.read.file, offset: 0 };
            return Some(gap);
        }
        self.given = self.read;
        Some(line)
    }
}

/// Time of the first line of a file that can be read.
fn first_time(file: &PathBuf) -> Option<Timestamp> {
    let reader = BufReader::new(File::open(file).ok()?);
    time_from(reader).map(|(at, _)| at)
}

/// Time of the first line from here on, and how many bytes before it cannot be read as lines.
fn time_from(mut reader: impl BufRead) -> Option<(Timestamp, u64)> {
    let (mut line, mut before) = (Vec::new(), 0);
    while reader.read_until(b'\n', &mut line).ok()? > 0 && line.last() == Some(&b'\n') {
        if let Ok(stored) = serde_json::from_slice::<StoredLine>(&line) {
            return Some((stored.line.at, before));
        }
        before += line.len() as u64;
        line.clear();
    }
    None
}

/// Where the first line of this time or later begins; the end of the file when all are earlier.
fn offset_of_time(path: &Path, time: Timestamp) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let (mut low, mut high) = (0, file.metadata().ok()?.len());
    while high - low > HALVE_BYTES_MIN {
        let middle = low + (high - low) / 2;
        match line_after(&mut file, middle)? {
            Some((start, at)) if at < time && start < high => low = start,
            _ => high = middle,
        }
    }
    file.seek(SeekFrom::Start(low)).ok()?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).ok()? > 0 && line.last() == Some(&b'\n') {
        let stored = serde_json::from_slice::<StoredLine>(&line);
        if stored.is_ok_and(|stored| stored.line.at >= time) {
            break;
        }
        low += line.len() as u64;
        line.clear();
    }
    Some(low)
}

/// The first line that begins after this offset: where, and its time.
#[expect(clippy::option_option, reason = "what cannot be read is not the same as no line")]
fn line_after(file: &mut File, offset: u64) -> Option<Option<(u64, Timestamp)>> {
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut reader = BufReader::new(file);
    let mut cut = Vec::new();
    let skipped = reader.read_until(b'\n', &mut cut).ok()? as u64;
    Some(time_from(reader).map(|(at, before)| (offset + skipped + before, at)))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::{BackCursor, ROTATED, file_name};
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    /// Files of these many lines each; line n is of n milliseconds.
    fn log(dir: &Path, first: u64, counts: &[i64]) {
        let mut ms = 0;
        for (number, count) in (first..).zip(counts) {
            let mut text = String::new();
            for _ in 0..*count {
                let line =
                    LogLine { at: at(ms), stream: Stream::Stdout, text: format!("line {ms}") };
                let _ = writeln!(text, "{}", serde_json::to_string(&line).unwrap());
                ms += 1;
            }
            std::fs::write(dir.join(file_name(number)), text).unwrap();
        }
    }

    fn texts(cursor: &mut LogCursor) -> Vec<String> {
        cursor.map(|stored| stored.line.text).collect()
    }

    #[test]
    fn a_time_is_found_in_whichever_file_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 1, &[3000, 1, 2000, 0, 5]);
        for ms in [0, 1, 1500, 2999, 3000, 3001, 4444, 5000, 5001, 5005] {
            let mut cursor = LogCursor::of_dir(dir.path());
            cursor.seek_time(at(ms));
            assert_eq!(cursor.next().unwrap().line.text, format!("line {ms}"));
        }
        let mut cursor = LogCursor::of_dir(dir.path());
        cursor.seek_time(at(9999));
        assert!(cursor.next().is_none());
    }

    #[test]
    fn going_on_from_a_place_neither_loses_nor_repeats() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 1, &[10, 10, 10]);
        let mut cursor = LogCursor::of_dir(dir.path());
        for n in 0..30 {
            assert_eq!(cursor.next().unwrap().line.text, format!("line {n}"));
            let mut other = LogCursor::of_dir(dir.path());
            other.seek(cursor.position());
            assert_eq!(other.count(), 29 - n, "after line {n}");
        }
    }

    #[test]
    fn what_was_rotated_away_is_said() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 7, &[2, 2]);
        std::fs::write(dir.path().join(ROTATED), r#"{"lines":0,"bytes":3250000}"#).unwrap();
        let mut cursor = LogCursor::of_dir(dir.path());
        let gap = cursor.next().unwrap();
        assert_eq!(gap.dropped, Some(Dropped { lines: 0, bytes: 3_250_000 }));
        assert!(gap.line.text.starts_with("… 3.2 MB dropped here"), "{}", gap.line.text);
        let mut again = LogCursor::of_dir(dir.path());
        again.seek(cursor.position());
        assert_eq!(texts(&mut again), ["line 0", "line 1", "line 2", "line 3"]);
        let mut behind = LogCursor::of_dir(dir.path());
        behind.seek(LogPosition { file: 3, offset: 500 });
        assert!(texts(&mut behind)[0].contains("lines are missing here"));
    }

    #[test]
    fn an_end_holds_while_more_is_written() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 1, &[5]);
        let mut cursor = LogCursor::of_dir(dir.path());
        cursor.stop_at_present_end();
        log(dir.path(), 1, &[9, 3]);
        assert_eq!(cursor.count(), 5);
    }

    #[test]
    fn backwards_is_forwards_reversed_and_a_cut_line_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 1, &[4000, 0, 300]);
        let last = dir.path().join(file_name(3));
        let mut text = std::fs::read_to_string(&last).unwrap();
        text += "{\"at\":\"2026";
        std::fs::write(&last, text).unwrap();
        let mut back: Vec<_> = BackCursor::of_dir(dir.path()).collect();
        back.reverse();
        let forward: Vec<_> = LogCursor::of_dir(dir.path()).collect();
        assert_eq!(forward.len(), 4300);
        assert!(back.iter().map(|(line, _)| line).eq(forward.iter()));
        let mut cursor = LogCursor::of_dir(dir.path());
        cursor.seek(back[4100].1);
        assert_eq!(cursor.next().unwrap().line.text, "line 4100");
    }
}
