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
