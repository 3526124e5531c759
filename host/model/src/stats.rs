//! What instances use.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// One instance of a live deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct InstanceStats {
    /// Its name, as `web.0`.
    pub instance: String,
    /// Number of its deployment.
    pub number: u64,
    /// Whether it runs; what it uses is 0 when it does not.
    pub running: bool,
    /// When it was started.
    pub started_at: Timestamp,
    /// How often it was started again by itself.
    #[serde(default)]
    pub restarts: u64,
    /// CPU now, in thousandths of a core.
    pub cpu_millis: u64,
    /// CPU time since it was started, in milliseconds.
    pub cpu_total_ms: u64,
    /// Memory, in bytes, without the part of the file cache that is given up first.
    pub memory_bytes: u64,
    /// Memory that it may use, in bytes; 0 when it has no limit.
    pub memory_limit_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Processes that were killed for want of memory.
    pub oom_kills: u64,
    /// Bytes received over its network.
    pub network_received_bytes: u64,
    /// Bytes sent over its network.
    pub network_sent_bytes: u64,
}

/// `GET …/stats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Stats {
    /// When it was looked at.
    pub at: Timestamp,
    /// The instances of the live deployment.
    pub instances: Vec<InstanceStats>,
}
