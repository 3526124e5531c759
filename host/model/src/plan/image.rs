//! How an image's process is run, as images say it.

use serde::{Deserialize, Serialize};

use super::KeyValues;

/// How an image's process is run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunConfig {
    /// Fixed part of the command.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// Environment.
    pub env: KeyValues,
    /// User, `name[:group]` or ids.
    pub user: String,
    /// Working directory.
    pub cwd: String,
    /// Ports it says it listens on.
    pub exposed: Vec<u16>,
    /// Paths it wants as volumes.
    pub volumes: Vec<String>,
    /// Labels.
    pub labels: KeyValues,
    /// Signal that asks it to end, SIGTERM when absent.
    pub stop_signal: Option<String>,
    /// What an image says beside it; in a box, because most say nothing of it.
    #[serde(flatten)]
    pub details: Box<ImageDetails>,
}

/// The less usual parts of an image's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ImageDetails {
    /// Every port as images name it: `53/udp`; `exposed` are those of TCP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Shell of commands that are given as a line; empty for `/bin/sh -c`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Instructions for images that are based on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub onbuild: Vec<String>,
    /// How its process is asked whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Whether it is whole: nothing is completed from the image at the bottom.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

impl ImageDetails {
    /// How its own process is asked whether it is well, with the shell of the image in a line's front.
    pub fn health_check(&self) -> Option<HealthCheck> {
        let mut check = self.health.clone()?;
        if let [kind, line] = check.test.as_slice()
            && kind == "CMD-SHELL"
            && !self.shell.is_empty()
        {
            let line = line.clone();
            check.test = std::iter::once("CMD".to_owned()).chain(self.shell.clone()).collect();
            check.test.push(line);
        }
        Some(check)
    }
}

/// How an image says that its process is asked whether it is well, in the form of images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", program, argument, ...]` or `["CMD-SHELL", line]`.
    pub test: Vec<String>,
    /// Between two tries, in milliseconds; 0 for the usual.
    #[serde(default)]
    pub interval_ms: u32,
    /// One try, in milliseconds; 0 for the usual.
    #[serde(default)]
    pub timeout_ms: u32,
    /// For its start, in milliseconds; 0 for the usual.
    #[serde(default)]
    pub start_period_ms: u32,
    /// Between two tries during its start, in milliseconds; 0 for the usual.
    #[serde(default)]
    pub start_interval_ms: u32,
    /// Tries that fail before it counts; 0 for the usual.
    #[serde(default)]
    pub retries: u32,
}
