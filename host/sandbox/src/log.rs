//! What a guest says: bounded, and what is dropped is counted.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::text::plain_line;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For the plugin's author; standard output and standard error are of this level.
    Debug,
    /// For whoever deploys.
    Info,
    /// To be looked at.
    Warn,
    /// What made the call fail.
    Error,
}

/// A line of a plugin.
pub type LogEntry = (LogLevel, String);

/// Characters of a guest's last words that a failure carries.
/// Far more than a secret has: one that is cut is not recognised where secrets are masked, which is later.
const LAST_WORDS_CHARS_MAX: usize = 8_192;

/// What one line costs beyond its text, so that empty lines are bounded too.
const LINE_COST_BYTES: u64 = 16;

/// The log of one call, shared by the log interface and the two standard streams.
#[derive(Debug, Clone)]
pub(crate) struct CallLog(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    entries: Vec<LogEntry>,
    bytes: u64,
    bytes_max: u64,
    dropped: u64,
}

/// A finished log.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) bytes: u64,
    pub(crate) dropped: u64,
}

impl CallLog {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self(Arc::new(Mutex::new(Lines { bytes_max, ..Lines::default() })))
    }

    /// Adds the lines of a message, as long as there is room. A message that does not fit is dropped
    /// whole, and so is everything after it, so that a log never has holes. Escapes and control characters
    /// are taken out.
    pub(crate) fn write(&self, level: LogLevel, message: &str) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in message.lines() {
            let bytes = line.len() as u64;
            if log.dropped > 0 || log.bytes + bytes + LINE_COST_BYTES > log.bytes_max {
                log.dropped += bytes.max(1);
                continue;
            }
            log.bytes += bytes + LINE_COST_BYTES;
            log.entries.push((level, plain_line(line)));
        }
    }

    pub(crate) fn finish(&self) -> Finished {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = std::mem::take(&mut log.entries);
        let bytes = entries.iter().map(|(_, text)| text.len() as u64).sum();
        Finished { entries, bytes, dropped: log.dropped }
    }
}

impl Finished {
    /// What a guest that trapped said of why, on one line: the last message of the level of an error, as the SDKs log
    /// an exception, and that of its panic; engines panic too, after an exception. Without either, the last line that
    /// went to a standard stream. `None` where there is none, or where the end of the log was dropped.
    pub(crate) fn last_words(&self) -> Option<String> {
        if self.dropped > 0 {
            return None;
        }
        let of = |wanted: LogLevel| {
            let lines = self.entries.iter().filter(move |(level, _)| *level == wanted);
            lines.map(|(_, text)| text.as_str()).collect::<Vec<_>>()
        };
        let (errors, streams) = (of(LogLevel::Error), of(LogLevel::Debug));
        let error = last_message(&errors).map(|message| message.trim_end().to_owned());
        let words = match (error, last_panic(&streams)) {
            (Some(error), Some(panic)) => format!("{error}; {panic}"),
            (Some(said), None) | (None, Some(said)) => said,
            (None, None) => last_message(&streams)?.trim_end().to_owned(),
        };
        Some(match words.char_indices().nth(LAST_WORDS_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &words[..end]),
            None => words,
        })
    }
}

/// The last panic, as Rust writes it: where on one line, what on the next one.
fn last_panic(lines: &[&str]) -> Option<String> {
    let at = lines.iter().rposition(|line| line.contains(" panicked at "))?;
    let place = lines[at].trim_end();
    Some(match lines.get(at + 1).filter(|what| is_message(what)) {
        Some(what) => format!("{place} {}", what.trim_end()),
        None => place.to_owned(),
    })
}

fn last_message<'a>(lines: &[&'a str]) -> Option<&'a str> {
    lines.iter().rev().find(|line| is_message(line)).copied()
}

/// Whether a line is of a message, and not of the list of calls or the advice that engines write below it.
fn is_message(line: &str) -> bool {
    // `run@plugin.js:3:11`, as SpiderMonkey writes it.
    let ends_in_place = line.ends_with(|c: char| c.is_ascii_digit());
    let is_call = !line.contains(' ') && line.contains('@') && ends_in_place;
    let is_advice = line.starts_with("note: run with `RUST_BACKTRACE") || line == "Stack:";
    !line.trim().is_empty() && !line.starts_with(char::is_whitespace) && !is_call && !is_advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_words(lines: &[(LogLevel, &str)]) -> Option<String> {
        let log = CallLog::new(32_768);
        for (level, text) in lines {
            log.write(*level, text);
        }
        log.finish().last_words()
    }

    #[test]
    fn the_last_words_are_the_message_of_a_panic_or_of_an_exception() {
        let panic = "\nthread '<unnamed>' panicked at src/lib.rs:7:9:\nassertion failed\n  left: 1\n\
                     note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
        let quickjs = "custom.run threw HostError: http is not granted\n    at fetch (plugin.js:3)";
        let spidermonkey = "custom.run threw Error: boom\nrun@plugin.js:3:11\n@plugin.js:9:1";
        let python = "custom.run failed:\nTraceback (most recent call last):\n  File \"a.py\"\n\
                      ValueError: boom";
        let aborts = "Redirecting call to abort() to mozalloc_abort";
        for (level, said, expected) in [
            (
                LogLevel::Debug,
                panic,
                "thread '<unnamed>' panicked at src/lib.rs:7:9: assertion failed",
            ),
            (LogLevel::Error, quickjs, "custom.run threw HostError: http is not granted"),
            (LogLevel::Error, spidermonkey, "custom.run threw Error: boom"),
            (LogLevel::Error, python, "ValueError: boom"),
            (LogLevel::Debug, "out of memory\n", aborts),
        ] {
            let lines = [(level, said), (LogLevel::Debug, aborts), (LogLevel::Info, "after")];
            assert_eq!(last_words(&lines).as_deref(), Some(expected));
        }
        assert_eq!(last_words(&[(LogLevel::Error, "it is \u{1b}[31mred")]).unwrap(), "it is red");
        let both = [(LogLevel::Error, spidermonkey), (LogLevel::Debug, panic)];
        let expected = "custom.run threw Error: boom; thread '<unnamed>' panicked at src/lib.rs:7:9: \
                        assertion failed";
        assert_eq!(last_words(&both).unwrap(), expected);
    }

    #[test]
    fn last_words_are_short_and_none_are_made_up() {
        assert_eq!(last_words(&[(LogLevel::Info, "3 files"), (LogLevel::Debug, " \n")]), None);
        let long = "ä".repeat(LAST_WORDS_CHARS_MAX + 200);
        let words = last_words(&[(LogLevel::Error, long.as_str())]).unwrap();
        assert_eq!(words.chars().count(), LAST_WORDS_CHARS_MAX + 1);
        let larger = "x".repeat(40_000);
        let dropped = [(LogLevel::Error, "early"), (LogLevel::Error, larger.as_str())];
        assert_eq!(last_words(&dropped), None, "what came last is not known");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_nothing_follows_it() {
        let log = CallLog::new(64);
        log.write(LogLevel::Info, "first\nsecond");
        log.write(LogLevel::Warn, &"x".repeat(100));
        log.write(LogLevel::Info, "after");
        let done = log.finish();
        assert_eq!(done.entries.len(), 2);
        assert_eq!((done.bytes, done.dropped), (11, 105));
    }

    #[test]
    fn empty_lines_are_bounded_too() {
        let log = CallLog::new(160);
        log.write(LogLevel::Info, &"\n".repeat(1_000));
        assert_eq!(log.finish().entries.len(), 10);
    }
}
