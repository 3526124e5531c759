//! The log of a build: masked, passed on at once, its last lines kept for the failure.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use windlass_model::secret::Masker;
use windlass_model::{LogLine, Stream};

use crate::request::LogSink;

/// Where every line of a build goes through.
#[derive(Clone)]
pub(crate) struct BuildLog {
    sink: LogSink,
    masker: Arc<Masker>,
    tail: Arc<Mutex<VecDeque<LogLine>>>,
    tail_lines_max: usize,
}

impl BuildLog {
    /// A log into this sink that masks these values.
    pub(crate) fn new(sink: LogSink, masker: Masker, tail_lines_max: usize) -> Self {
        Self { sink, masker: Arc::new(masker), tail: Arc::default(), tail_lines_max }
    }

    /// A line of Windlass itself.
    pub(crate) fn host(&self, text: impl Into<String>) {
        self.pass(LogLine::now(Stream::Host, text));
    }

    /// A line of a command.
    pub(crate) fn pass(&self, line: LogLine) {
        let text = if self.masker.is_empty() { line.text } else { self.masker.mask(&line.text) };
        let line = LogLine { text, ..line };
        if line.stream != Stream::Host {
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() >= self.tail_lines_max {
                tail.pop_front();
            }
            tail.push_back(line.clone());
        }
        (self.sink)(line);
    }

    /// Forgets the last lines: another command begins.
    pub(crate) fn begin_command(&self) {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The last lines of the present command.
    pub(crate) fn tail(&self) -> Vec<LogLine> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_only_the_last_lines_of_the_command_are_kept() {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let copy = Arc::clone(&seen);
        let sink: LogSink = Arc::new(move |line| copy.lock().unwrap().push(line.text));
        let log = BuildLog::new(sink, Masker::new(["hunter2"]), 2);
        log.pass(LogLine::now(Stream::Stdout, "of the command before"));
        log.begin_command();
        for text in ["one", "two", "token hunter2"] {
            log.pass(LogLine::now(Stream::Stderr, text));
        }
        log.host("step 1");
        let tail: Vec<String> = log.tail().into_iter().map(|line| line.text).collect();
        assert_eq!(tail, ["two", "token [secret]"]);
        assert_eq!(seen.lock().unwrap().len(), 5);
    }
}
