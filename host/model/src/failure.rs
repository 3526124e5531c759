//! A failure that a person can act on.

pub mod codes;
pub mod explain;

use serde::{Deserialize, Serialize};

use crate::deployment::StepName;
use crate::log::LogLine;

/// Whose doing a failure is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "who", content = "plugin")]
pub enum Fault {
    /// The application, its repository or its settings.
    App,
    /// The plugin of this name.
    Plugin(String),
    /// Windlass, or the machine it runs on.
    Host,
}

/// Why a step, a request or a command failed: what happened, why, and how to fix it.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, schemars::JsonSchema,
)]
#[error("{what}: {why}")]
pub struct Failure {
    /// Stable, documented, dot-separated: `build.command-failed`.
    pub code: String,
    /// The step it happened in, if it happened in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepName>,
    /// What happened, in one sentence without a full stop.
    pub what: String,
    /// The cause, as far as it is known.
    pub why: String,
    /// What the person can do: a command, a setting or a link.
    pub fix: String,
    /// Whose doing it is.
    pub fault: Fault,
    /// The last log lines that show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
    /// The code that it had before its cause was recognised in the log: `check.exited`. Absent when
    /// `code` is the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub general: Option<String>,
    /// The lines in which the cause was recognised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<LogLine>,
}

impl Failure {
    /// A failure of the application or its settings.
    pub fn app(
        code: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(Fault::App, code, what, why, fix)
    }

    /// A failure of Windlass or of its machine.
    pub fn host(
        code: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(Fault::Host, code, what, why, fix)
    }

    /// A failure of the named plugin.
    pub fn plugin(
        plugin: impl Into<String>,
        code: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(Fault::Plugin(plugin.into()), code, what, why, fix)
    }

    fn new(
        fault: Fault,
        code: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            code: code.into(),
            step: None,
            what: what.into(),
            why: why.into(),
            fix: fix.into(),
            fault,
            log: Vec::new(),
            general: None,
            evidence: Vec::new(),
        }
    }

    /// Whether it is this failure, by its code or by the one before its cause was recognised.
    pub fn is(&self, code: &str) -> bool {
        self.code == code || self.general.as_deref() == Some(code)
    }

    /// The same, said to have happened in a step.
    #[must_use]
    pub fn in_step(mut self, step: StepName) -> Self {
        self.step = Some(step);
        self
    }

    /// The same, with the lines that show it.
    #[must_use]
    pub fn with_log(mut self, log: Vec<LogLine>) -> Self {
        self.log = log;
        self
    }
}
