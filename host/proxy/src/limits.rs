//! Every limit of the proxy, in one place, each with its unit in its name.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits in force. `Default` gives the values that the documentation states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyLimits {
    /// Visitors' connections open at once; more wait in the kernel's queue. Lowered at start to
    /// what the process's open-file limit allows.
    pub connections_max: usize,
    /// Longest wait for a complete request head, in milliseconds; a kept-alive connection may be
    /// idle just as long.
    pub head_read_ms: u64,
    /// Bytes of a request head; above them the answer is 431.
    pub head_bytes_max: usize,
    /// Header fields of a request; above them the answer is 431.
    pub head_fields_max: usize,
    /// How long a visitor may take nothing of an answer, or send nothing of a body that it
    /// announced, in milliseconds; then the connection is ended, or the answer is 408.
    pub stall_ms: u64,
    /// Longest wait for an instance to accept a connection, in milliseconds.
    pub connect_ms: u64,
    /// Longest wait for the first byte of an instance's answer once the request was sent, in
    /// milliseconds; then 504.
    pub answer_ms: u64,
    /// How long an idle connection to an instance is kept, in milliseconds. Smaller than what
    /// servers keep (Node: 5 s), so that they rarely close one under a request.
    pub upstream_idle_ms: u64,
    /// How long a connection may have been idle and still carry a request that must not be sent
    /// twice (POST, PATCH), in milliseconds.
    pub upstream_unsafe_idle_ms: u64,
    /// Idle connections kept for one instance.
    pub upstream_idle_max: usize,
    /// Bytes of a request body remembered to send it again when a reused connection dies.
    pub replay_bytes_max: usize,
    /// How long a request is held while nobody can answer it, in milliseconds.
    pub hold_ms: u64,
    /// Requests held at once; more are refused at once.
    pub hold_requests_max: usize,
    /// Bytes of all held requests together: heads, and the read buffer of their connections.
    /// Bodies are not read while a request is held.
    pub hold_bytes_max: usize,
    /// How long, when the proxy stops, open requests may go on, in milliseconds.
    pub shutdown_drain_ms: u64,
    /// Bytes of one line of the control protocol.
    pub control_line_bytes_max: usize,
    /// Control connections open at once.
    pub control_connections_max: usize,
    /// Longest wait that one question for a drain may take, in milliseconds; then ask again.
    pub drained_wait_ms_max: u64,
}

impl Default for ProxyLimits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            head_read_ms: 60_000,
            head_bytes_max: 64 * 1024,
            head_fields_max: 100,
            stall_ms: 120_000,
            connect_ms: 2_000,
            answer_ms: 600_000,
            upstream_idle_ms: 4_000,
            upstream_unsafe_idle_ms: 1_000,
            upstream_idle_max: 64,
            replay_bytes_max: 64 * 1024,
            hold_ms: 10_000,
            hold_requests_max: 256,
            hold_bytes_max: 8 << 20,
            shutdown_drain_ms: 30_000,
            control_line_bytes_max: 4 << 20,
            control_connections_max: 64,
            drained_wait_ms_max: 60_000,
        }
    }
}

impl ProxyLimits {
    pub(crate) fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }

    pub(crate) fn stall(&self) -> Duration {
        Duration::from_millis(self.stall_ms)
    }

    pub(crate) fn upstream_idle(&self) -> Duration {
        Duration::from_millis(self.upstream_idle_ms)
    }
}
