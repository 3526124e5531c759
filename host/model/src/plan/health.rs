//! How an application is asked whether it is well, and what that showed.

use serde::{Deserialize, Serialize};

use super::KeyValues;

/// Statuses `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StatusRange {
    /// First.
    pub first: u16,
    /// Last, included.
    pub last: u16,
}

/// One way of asking an application whether it is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "probe")]
pub enum Probe {
    /// GET a path.
    Http {
        /// Which process.
        process: String,
        /// Which port, `PORT` when absent.
        port: Option<u16>,
        /// Path with a leading slash.
        path: String,
        /// Extra headers.
        headers: KeyValues,
        /// Redirects followed on the same host.
        redirects_max: u8,
    },
    /// Open a connection.
    Tcp {
        /// Which process.
        process: String,
        /// Which port, `PORT` when absent.
        port: Option<u16>,
    },
    /// Run a command inside the instance.
    Command {
        /// Which process.
        process: String,
        /// The command.
        argv: Vec<String>,
    },
    /// It is well when it is still up after a while.
    StaysUp {
        /// Which process.
        process: String,
        /// How long, in milliseconds.
        stays_up_ms: u32,
    },
}

impl Probe {
    /// The process it asks.
    pub fn process(&self) -> &str {
        match self {
            Self::Http { process, .. }
            | Self::Tcp { process, .. }
            | Self::Command { process, .. }
            | Self::StaysUp { process, .. } => process,
        }
    }
}

/// What to probe, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HealthPolicy {
    /// The probes, in order.
    pub probes: Vec<Probe>,
    /// Statuses that pass.
    pub pass_status: Vec<StatusRange>,
    /// Before the first probe, in milliseconds.
    pub first_after_ms: u32,
    /// First pause between tries, in milliseconds; it grows by a quarter each time.
    pub interval_min_ms: u32,
    /// Longest pause between tries, in milliseconds.
    pub interval_max_ms: u32,
    /// One try, in milliseconds.
    pub timeout_ms: u32,
    /// All tries together, in milliseconds.
    pub budget_ms: u32,
}

/// What one try saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeOutcome {
    /// An HTTP status.
    Status(u16),
    /// It worked (for probes without a status).
    Ok,
    /// Nothing listens there.
    Refused,
    /// The connection was cut.
    Reset,
    /// No answer in time.
    Timeout,
    /// The instance ended with this code.
    Exited(i32),
    /// A probe's command ended with this code, which is not 0.
    CommandFailed(i32),
    /// The instance was killed for its memory.
    OutOfMemory,
    /// It listens, but only on the loopback address or on another port.
    WrongAddress,
}

/// One try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Observation {
    /// Index of the probe in the policy.
    pub probe: u32,
    /// Since the instances were started, in milliseconds.
    pub at_ms: u64,
    /// How long the try took, in milliseconds.
    pub took_ms: u32,
    /// What it saw.
    pub outcome: ProbeOutcome,
}

/// A judge's verdict over all that was seen so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Not yet: pause, then begin again at the first probe. The pause grows from `interval_min_ms` by
    /// a quarter each time, up to `interval_max_ms`.
    Wait,
    /// Not this one: try the next probe at once; behind the last one it means `Wait`.
    Next,
    /// Healthy.
    Pass,
    /// Not healthy, for this reason.
    Fail(String),
}
