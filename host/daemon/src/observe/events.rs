//! The events of a host: files of JSON lines, `<data>/events/<first id>.jsonl`.
//!
//! **Invariants.** Ids grow by one and never repeat, also over restarts. A reader that was away goes on after
//! the last id it saw, as far back as the budget reaches. An event that cannot be written is lost and said in
//! the log: events tell of what is stored elsewhere, and must stop nothing.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use windlass_model::event::Event;

/// One file before the next is begun, in bytes, and how many are kept.
const FILE_BYTES_MAX: u64 = 4 << 20;
const FILES_MAX: usize = 4;

/// Where events are written.
#[derive(Debug)]
pub(crate) struct EventLog {
    dir: PathBuf,
    open: Mutex<Open>,
    /// The last id, for those who wait for the next.
    last: watch::Sender<u64>,
}

#[derive(Debug)]
struct Open {
    file: Option<File>,
    bytes: u64,
}

impl EventLog {
    /// Goes on behind what is there.
    pub(crate) fn open(dir: &Path) -> Self {
        let _ = std::fs::create_dir_all(dir);
        let newest = firsts(dir).last().copied();
        let last = newest.map_or(0, |first| {
            let read = read_file(&dir.join(file_name(first))).map(|event| event.id).max();
            read.unwrap_or(first.saturating_sub(1))
        });
        // A file of its own for each start: a line that a crash cut stays the last of its file.
        let open = Mutex::new(Open { file: None, bytes: 0 });
        Self { dir: dir.to_owned(), open, last: watch::Sender::new(last) }
    }

    /// Writes an event, and gives it its id.
    pub(crate) fn record(&self, event: Event) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let id = *self.last.borrow() + 1;
        if open.file.is_none() || open.bytes >= FILE_BYTES_MAX {
            *open = Open { file: self.next_file(id), bytes: 0 };
        }
        let Ok(mut line) = serde_json::to_vec(&Event { id, ..event }) else { return };
        line.push(b'\n');
        let written = open.file.as_mut().map(|file| file.write_all(&line));
        match written {
            Some(Ok(())) => open.bytes += line.len() as u64,
            Some(Err(error)) => tracing::warn!(%error, "an event could not be written"),
            None => tracing::warn!("an event could not be written: no file could be made"),
        }
        self.last.send_replace(id);
    }

    fn next_file(&self, first: u64) -> Option<File> {
        let path = self.dir.join(file_name(first));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path).ok();
        let files = firsts(&self.dir);
        let many = files.len() > FILES_MAX;
        let over: u64 = if many { self.bytes_of(&files) } else { 0 };
        if many && over > FILE_BYTES_MAX * FILES_MAX as u64 {
            let _ = std::fs::remove_file(self.dir.join(file_name(files[0])));
        }
        file
    }

    fn bytes_of(&self, files: &[u64]) -> u64 {
        let bytes = |first: &u64| std::fs::metadata(self.dir.join(file_name(*first)));
        files.iter().filter_map(|first| bytes(first).ok()).map(|meta| meta.len()).sum()
    }

    /// The last id that was given.
    pub(crate) fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Tells of each new last id.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// Events after an id, oldest first, as far as they are kept.
    pub(crate) fn after(&self, id: u64) -> impl Iterator<Item = Event> + use<> {
        let files = firsts(&self.dir);
        let begin = files.partition_point(|first| *first <= id.saturating_add(1)).saturating_sub(1);
        let dir = self.dir.clone();
        let wanted = files.into_iter().skip(begin);
        wanted
            .flat_map(move |first| read_file(&dir.join(file_name(first))))
            .filter(move |event| event.id > id)
    }
}

fn file_name(first: u64) -> String {
    format!("{first:020}.jsonl")
}

/// First ids of the files, oldest first.
fn firsts(dir: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut firsts: Vec<u64> = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".jsonl")?.parse().ok())
        .collect();
    firsts.sort_unstable();
    firsts
}

fn read_file(path: &Path) -> impl Iterator<Item = Event> + use<> {
    let lines = File::open(path).ok().map(|file| BufReader::new(file).lines());
    lines.into_iter().flatten().map_while(Result::ok).filter_map(|l| serde_json::from_str(&l).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(log: &EventLog, after: u64) -> Vec<u64> {
        log.after(after).map(|event| event.id).collect()
    }

    #[test]
    fn ids_go_on_over_restarts_and_readers_go_on_where_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::open(dir.path());
        (0..5).for_each(|n| log.record(Event::now("test", n.to_string())));
        drop(log);
        // A crash cut the last line.
        let file = dir.path().join(file_name(1));
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.truncate(text.len() - 9);
        std::fs::write(file, text).unwrap();
        let log = EventLog::open(dir.path());
        log.record(Event::now("test", "after"));
        assert_eq!(ids(&log, 0), [1, 2, 3, 4, 5]);
        assert_eq!(ids(&log, 3), [4, 5]);
        assert_eq!(ids(&log, 5), [0_u64; 0]);
        assert_eq!(log.last(), 5);
    }

    #[test]
    fn the_oldest_files_go_over_the_budget() {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::open(dir.path());
        let text = "x".repeat(1 << 20);
        (0..40).for_each(|_| log.record(Event::now("test", text.as_str())));
        let bytes = log.bytes_of(&firsts(dir.path()));
        assert!(bytes <= FILE_BYTES_MAX * (FILES_MAX as u64 + 1), "{bytes}");
        let kept = ids(&log, 0);
        assert_eq!(kept.last(), Some(&40));
        assert!(kept[0] > 1 && kept.len() as u64 == 40 - kept[0] + 1, "{kept:?}");
    }
}
