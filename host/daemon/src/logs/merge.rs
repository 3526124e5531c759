//! The lines of many logs in order of time, a batch at a time.

use windlass_containers::logs::{BackCursor, LogCursor, LogPosition};
use windlass_model::api::LogEntry;
use windlass_model::{StoredLine, Timestamp, ansi};

use super::place::{Of, Origin, Places};
use super::query::Filter;

/// Lines of one batch.
const BATCH_LINES_MAX: usize = 512;
/// Text of one batch, in bytes.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// What is read for one batch, in bytes: a search that finds nothing pauses as well.
const BATCH_SCANNED_BYTES_MAX: u64 = 8 << 20;

/// One log among those that are merged.
pub(crate) struct Source {
    pub(crate) origin: Origin,
    pub(crate) cursor: LogCursor,
    /// Reads the same log from its end.
    pub(crate) back: fn(&std::path::Path) -> BackCursor,
    pub(crate) path: std::path::PathBuf,
    /// The next line, and the place before it.
    head: Option<(StoredLine, LogPosition)>,
    /// Nothing more is there now.
    is_dry: bool,
}

impl Source {
    /// A log that is one file.
    pub(crate) fn file(origin: Origin, path: std::path::PathBuf) -> Self {
        let cursor = LogCursor::of_file(&path);
        Self { origin, cursor, back: BackCursor::of_file, path, head: None, is_dry: false }
    }

    /// A log that is a directory of files.
    pub(crate) fn dir(origin: Origin, path: std::path::PathBuf) -> Self {
        let cursor = LogCursor::of_dir(&path);
        Self { origin, cursor, back: BackCursor::of_dir, path, head: None, is_dry: false }
    }

    /// Where its reader is: before the line that is held.
    fn place(&self) -> LogPosition {
        self.head.as_ref().map_or_else(|| self.cursor.position(), |(_, before)| *before)
    }

    /// Makes sure that the next line is held, if there is one; its time.
    fn head_time(&mut self) -> Option<Timestamp> {
        if self.head.is_none() && !self.is_dry {
            let before = self.cursor.position();
            self.head = self.cursor.next().map(|line| (line, before));
            self.is_dry = self.head.is_none();
        }
        self.head.as_ref().map(|(line, _)| line.line.at)
    }
}

/// A line that passed the filter, and where to go on after it.
pub(crate) struct Item {
    pub(crate) entry: LogEntry,
    pub(crate) number: u64,
    /// Empty unless places are asked for.
    pub(crate) place: String,
}

/// Some lines.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    /// Whether more is there already.
    pub(crate) more: bool,
}

/// Reads several logs as one.
pub(crate) struct Merge {
    pub(crate) sources: Vec<Source>,
    filter: Filter,
    /// Whether each line says where to go on.
    with_places: bool,
}

impl Merge {
    pub(crate) fn new(filter: Filter, with_places: bool) -> Self {
        Self { sources: Vec::new(), filter, with_places }
    }

    /// Begins at the range's beginning.
    pub(crate) fn seek_since(&mut self) {
        let Some(since) = self.filter.since else { return };
        for source in &mut self.sources {
            source.cursor.seek_time(since);
        }
    }

    /// Ends at what is there now.
    pub(crate) fn stop_at_present_end(&mut self) {
        for source in &mut self.sources {
            source.cursor.stop_at_present_end();
        }
    }

    /// Goes on where a reader was.
    pub(crate) fn resume(&mut self, places: &Places) {
        for source in &mut self.sources {
            source.cursor.seek(places.0.get(&source.origin).copied().unwrap_or_default());
        }
    }

    /// Begins so that exactly the last `count` wanted lines are left: counts backwards over all logs, and
    /// keeps places only.
    pub(crate) fn seek_tail(&mut self, count: usize) {
        let filter = &self.filter;
        let back = |source: &Source| {
            (source.back)(&source.path)
                .take_while(move |(stored, _)| filter.since.is_none_or(|at| stored.line.at >= at))
                .filter(move |(stored, _)| filter.takes(&stored.line))
                .peekable()
        };
        let mut backs: Vec<_> = self.sources.iter().map(back).collect();
        let mut begin: Vec<Option<LogPosition>> = vec![None; backs.len()];
        for _ in 0..count {
            let mut newest = None;
            for (index, back) in backs.iter_mut().enumerate() {
                newest = newest.max(back.peek().map(|(stored, _)| (stored.line.at, index)));
            }
            let Some((_, index)) = newest else { break };
            begin[index] = backs[index].next().map(|(_, at)| at);
        }
        let all_wanted = backs.iter_mut().all(|back| back.peek().is_none());
        drop(backs);
        if all_wanted && self.filter.since.is_none() {
            // Everything of every log is wanted, also what is said of lines that are gone.
            return;
        }
        for (source, begin) in self.sources.iter_mut().zip(begin) {
            match begin {
                Some(place) => source.cursor.seek(place),
                None => {
                    let end = end_of(source);
                    source.cursor.seek(end);
                }
            }
        }
    }

    /// The next lines that are wanted.
    pub(crate) fn batch(&mut self) -> Batch {
        for source in &mut self.sources {
            source.is_dry = false;
        }
        let begun = self.scanned();
        let (mut batch, mut bytes) = (Batch::default(), 0);
        while let Some(index) = self.earliest() {
            if batch.items.len() >= BATCH_LINES_MAX
                || bytes >= BATCH_BYTES_MAX
                || self.scanned() - begun >= BATCH_SCANNED_BYTES_MAX
            {
                batch.more = true;
                break;
            }
            let Some((stored, _)) = self.sources[index].head.take() else { break };
            let past_end = self.filter.until.is_some_and(|until| stored.line.at > until);
            if past_end {
                // Lines are in order: nothing that is wanted follows in this log.
                self.sources[index].cursor.stop();
            }
            let said_anyway = stored.dropped.is_some() && self.filter.grep.is_none();
            if past_end || !(self.filter.takes(&stored.line) || said_anyway) {
                continue;
            }
            bytes += stored.line.text.len();
            let place = if self.with_places { self.places().to_string() } else { String::new() };
            batch.items.push(self.item(index, stored, place));
        }
        batch
    }

    fn item(&self, index: usize, mut stored: StoredLine, place: String) -> Item {
        let origin = &self.sources[index].origin;
        stored.line.text = ansi::clean(&stored.line.text, self.filter.colours);
        let step = origin.of.step();
        let instance = origin.of.instance().filter(|_| step.is_none());
        let entry = LogEntry {
            step,
            instance: instance.map(str::to_owned),
            number: None,
            line: stored.line,
            dropped: stored.dropped,
        };
        Item { entry, number: origin.number, place }
    }

    /// The log whose next line is the earliest.
    fn earliest(&mut self) -> Option<usize> {
        let times = self.sources.iter_mut().enumerate();
        times.filter_map(|(index, source)| Some((source.head_time()?, index))).min().map(|it| it.1)
    }

    fn scanned(&self) -> u64 {
        self.sources.iter().map(|source| source.cursor.scanned_bytes()).sum()
    }

    /// Where the reader is in every log.
    pub(crate) fn places(&self) -> Places {
        let place = |source: &Source| (source.origin.clone(), source.place());
        let begun = |(_, place): &(Origin, LogPosition)| *place != LogPosition::default();
        Places(self.sources.iter().map(place).filter(begun).collect())
    }
}

/// Behind the last whole line that is there.
fn end_of(source: &Source) -> LogPosition {
    let last = (source.back)(&source.path).next();
    let Some((_, begin)) = last else { return LogPosition::default() };
    let mut cursor = match source.origin.of {
        Of::Instance(_) => LogCursor::of_dir(&source.path),
        Of::Step(_) => LogCursor::of_file(&source.path),
    };
    cursor.seek(begin);
    cursor.next();
    cursor.position()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use windlass_model::{LogLine, Stream};

    use super::*;

    fn line(ms: i64, text: &str) -> String {
        let at = Timestamp::from_millisecond(ms).unwrap();
        let line = LogLine { at, stream: Stream::Stdout, text: text.to_owned() };
        serde_json::to_string(&line).unwrap() + "\n"
    }

    /// Step 5, and two instances: line n, of n milliseconds, is in log n modulo 3.
    fn logs(dir: &Path, count: i64) {
        let mut texts = [String::new(), String::new(), String::new()];
        for n in 0..count {
            let text = &mut texts[usize::try_from(n % 3).unwrap()];
            let _ = write!(text, "{}", line(n, &format!("line {n}")));
        }
        std::fs::write(dir.join("step"), &texts[0]).unwrap();
        for (name, text) in ["web.0", "web.1"].into_iter().zip(&texts[1..]) {
            std::fs::create_dir_all(dir.join(name)).unwrap();
            std::fs::write(dir.join(name).join("0000000001.jsonl"), text).unwrap();
        }
    }

    fn merge(dir: &Path, filter: Filter) -> Merge {
        let mut merge = Merge::new(filter, true);
        let origin = |of| Origin { number: 1, of };
        merge.sources.push(Source::file(origin(Of::Step(5)), dir.join("step")));
        for name in ["web.0", "web.1"] {
            let of = Of::Instance(name.to_owned());
            merge.sources.push(Source::dir(origin(of), dir.join(name)));
        }
        merge
    }

    fn all(merge: &mut Merge) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let batch = merge.batch();
            texts.extend(batch.items.into_iter().map(|item| item.entry.line.text));
            if !batch.more {
                return texts;
            }
        }
    }

    fn expected(range: std::ops::Range<i64>) -> Vec<String> {
        range.map(|n| format!("line {n}")).collect()
    }

    #[test]
    fn lines_of_all_logs_come_in_order_of_time() {
        let dir = tempfile::tempdir().unwrap();
        logs(dir.path(), 2000);
        assert_eq!(all(&mut merge(dir.path(), Filter::default())), expected(0..2000));
    }

    #[test]
    fn a_range_and_the_last_lines_are_exact() {
        let dir = tempfile::tempdir().unwrap();
        logs(dir.path(), 2000);
        let at = |ms| Some(Timestamp::from_millisecond(ms).unwrap());
        let range = Filter { since: at(700), until: at(1204), ..Filter::default() };
        let mut ranged = merge(dir.path(), range.clone());
        ranged.seek_since();
        assert_eq!(all(&mut ranged), expected(700..1205));
        for count in [0, 1, 7, 1999, 2000, 5000] {
            let mut last = merge(dir.path(), Filter::default());
            last.seek_tail(count);
            let from = 2000 - i64::try_from(count).unwrap().min(2000);
            assert_eq!(all(&mut last), expected(from..2000), "the last {count}");
        }
        let mut last = merge(dir.path(), range);
        last.seek_tail(5);
        assert_eq!(all(&mut last), expected(1200..1205));
    }

    #[test]
    fn going_on_from_any_line_neither_loses_nor_repeats() {
        let dir = tempfile::tempdir().unwrap();
        logs(dir.path(), 100);
        let places: Vec<String> = merge(dir.path(), Filter::default())
            .batch()
            .items
            .into_iter()
            .map(|item| item.place)
            .collect();
        for (n, place) in places.iter().enumerate() {
            let mut again = merge(dir.path(), Filter::default());
            again.resume(&Places::parse(place).unwrap());
            assert_eq!(all(&mut again), expected(i64::try_from(n).unwrap() + 1..100), "{place}");
        }
        let mut last = merge(dir.path(), Filter::default());
        last.seek_tail(10);
        let place = last.batch().items.remove(3).place;
        let mut again = merge(dir.path(), Filter::default());
        again.resume(&Places::parse(&place).unwrap());
        assert_eq!(all(&mut again), expected(94..100), "also from the last lines of a log");
    }

    #[test]
    fn what_is_written_meanwhile_comes_when_followed_and_not_when_past() {
        let dir = tempfile::tempdir().unwrap();
        logs(dir.path(), 10);
        let (mut past, mut live) =
            (merge(dir.path(), Filter::default()), merge(dir.path(), Filter::default()));
        past.stop_at_present_end();
        assert_eq!(all(&mut live), expected(0..10));
        logs(dir.path(), 15);
        assert_eq!(all(&mut past), expected(0..10));
        assert_eq!(all(&mut live), expected(10..15));
    }
}
