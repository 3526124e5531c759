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

#[cfg(test)]
mod tests {
    use super::*;

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
