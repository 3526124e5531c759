//! How traffic is moved from the version that serves to the new one.

use serde::{Deserialize, Serialize};

/// The whole of the requests, in hundredths of a percent.
pub const WEIGHT_MAX: u16 = 10_000;

/// What one version answered since the last change of the weight.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(default, deny_unknown_fields)]
pub struct TrafficSample {
    /// Requests that it got.
    pub requests: u64,
    /// Those answered with a status of 500 or above, or not at all.
    pub errors: u64,
    /// Median of its answers, in microseconds.
    pub p50_us: u64,
    /// The time within which 99 of 100 answered, in microseconds.
    pub p99_us: u64,
}

/// How a rollout stands.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutState {
    /// The new version's share of the requests, 0 to [`WEIGHT_MAX`].
    pub weight: u16,
    /// Since the rollout began, in milliseconds.
    pub elapsed_ms: u64,
    /// Since this weight was set, in milliseconds.
    pub at_weight_ms: u64,
    /// The version that serves.
    pub serving: TrafficSample,
    /// The new one.
    pub candidate: TrafficSample,
}

/// What to do next with the traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutDecision {
    /// Go to this weight, at most [`WEIGHT_MAX`].
    Shift(u16),
    /// Ask again in so many milliseconds.
    Hold(u32),
    /// The new version takes over.
    Finish,
    /// Back to the version that serves, for this reason.
    Abort(String),
}
