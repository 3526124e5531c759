//! Commands at their times.

use serde::{Deserialize, Serialize};

/// A command that runs at its times for as long as a version is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Schedule {
    /// 1 to 40 lower-case letters, digits and hyphens. One that a plugin registers has the plugin's name and
    /// a dot before it.
    pub name: String,
    /// Five fields, or one of `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly`.
    pub cron: String,
    /// A time zone's name, such as `Europe/Vienna`; UTC without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The command; no shell is implied.
    pub argv: Vec<String>,
    /// The process whose image, folder, variables and volumes it gets; the web process without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// What becomes of a run whose time has come while the one before goes on.
    pub overlap: Overlap,
    /// How long a run may take, in milliseconds; 0 stands for the host's limit.
    pub timeout_ms: u32,
}

/// What becomes of a run whose time has come while the one before goes on.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It waits for the end of that one; at most one waits.
    Queue,
    /// It takes the place of that one, which is ended.
    Replace,
}
