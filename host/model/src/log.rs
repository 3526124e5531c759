//! One line of output, of a step or of an instance.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output of a command or an instance.
    Stdout,
    /// Standard error of a command or an instance.
    Stderr,
    /// Windlass itself.
    Host,
    /// A plugin, through its log interface.
    Plugin,
}

/// A line, without its line end. Bytes that are not UTF-8 were replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LogLine {
    /// When the line was read.
    pub at: Timestamp,
    /// Where it came from.
    pub stream: Stream,
    /// The text.
    pub text: String,
}

impl LogLine {
    /// A line of now.
    pub fn now(stream: Stream, text: impl Into<String>) -> Self {
        Self { at: Timestamp::now(), stream, text: text.into() }
    }
}

/// Output that was not kept: it came too fast, exceeded a budget, or could not be written.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Dropped {
    /// Lines; 0 when only the bytes are known.
    pub lines: u64,
    /// Bytes of their text, or of the file that held them.
    pub bytes: u64,
}

impl Dropped {
    /// Whether nothing was dropped.
    pub const fn is_none(&self) -> bool {
        self.lines == 0 && self.bytes == 0
    }

    /// Adds what else was dropped.
    pub const fn add(&mut self, lines: u64, bytes: u64) {
        self.lines += lines;
        self.bytes += bytes;
    }
}

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.bytes {
            bytes @ 0..1000 => write!(f, "{bytes} B")?,
            bytes @ 1000..1_000_000 => write!(f, "{}.{} kB", bytes / 1000, bytes % 1000 / 100)?,
            bytes => write!(f, "{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)?,
        }
        if self.lines > 0 {
            write!(f, " ({} lines)", self.lines)?;
        }
        Ok(())
    }
}

/// A line as it lies in a file of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLine {
    /// The line.
    #[serde(flatten)]
    pub line: LogLine,
    /// Where something is missing: how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
}

impl StoredLine {
    /// The line that stands where something was dropped.
    pub fn gap(at: Timestamp, dropped: Dropped, why: &str) -> Self {
        let text = format!("… {dropped} dropped here: {why}");
        Self { line: LogLine { at, stream: Stream::Host, text }, dropped: Some(dropped) }
    }
}

impl From<LogLine> for StoredLine {
    fn from(line: LogLine) -> Self {
        Self { line, dropped: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_is_said_in_bytes_and_lines() {
        let rows = [((0, 12), "12 B"), ((3, 4500), "4.5 kB (3 lines)"), ((0, 3_250_000), "3.2 MB")];
        for ((lines, bytes), text) in rows {
            assert_eq!(Dropped { lines, bytes }.to_string(), text);
        }
    }
}
