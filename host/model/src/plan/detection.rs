//! What plugins are told and what detectors answer.

use serde::{Deserialize, Serialize};

use super::Toolchain;

/// All that a pure call may know. Nothing in it names a deployment, so answers can be cached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Context {
    /// `linux/amd64`
    pub platform: String,
    /// Path of the application inside the source, empty for the root.
    pub app_dir: String,
    /// The tables of `windlass.toml` that concern plugins, as JSON.
    pub config_json: String,
    /// What was set for the plugin, as a JSON object; empty when nothing was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub options_json: String,
    /// Names of the environment's variables, never their values.
    pub variable_names: Vec<String>,
    /// Services of the environment.
    pub services: Vec<ServiceInfo>,
    /// Toolchains of the last live deployment, so that a moved default changes no application.
    pub previous_toolchains: Vec<Toolchain>,
}

/// A service, as a plugin sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ServiceInfo {
    /// Name it resolves under.
    pub name: String,
    /// `postgres`, `redis`, ... or empty.
    pub kind: String,
    /// Variables that point at it.
    pub variable_names: Vec<String>,
}

/// A sign that was found in the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Evidence {
    /// File, relative to the source's root.
    pub path: String,
    /// The key or line that was the sign; may be empty.
    pub detail: String,
}

/// What a detector recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Detection {
    /// Stable id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Language family.
    pub ecosystem: String,
    /// Toolchains it needs.
    pub toolchains: Vec<Toolchain>,
    /// 0 to 100; `wit/README.md` says what the bands mean.
    pub confidence: u8,
    /// The signs.
    pub evidence: Vec<Evidence>,
    /// Ids that this one is a special case of.
    pub supersedes: Vec<String>,
    /// The application's folder from the source's root, where it is not that of the settings: the member of a
    /// workspace that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_dir: Option<String>,
    /// The plugin's notes for its builder; opaque to the host.
    pub notes_json: String,
    /// Recognised, but it cannot be built: if this detection is chosen, the deployment fails with
    /// this, so that nothing else builds the application as something it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

impl Detection {
    /// What was recognised and how sure it is, from 0 to 100; there are no signs, and nothing else is said.
    pub fn new(id: &str, name: &str, ecosystem: &str, confidence: u8) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            ecosystem: ecosystem.to_owned(),
            toolchains: Vec::new(),
            confidence,
            evidence: Vec::new(),
            supersedes: Vec::new(),
            app_dir: None,
            notes_json: String::new(),
            refusal: None,
        }
    }
}

/// The contract's error: a plugin's failure on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Refusal {
    /// Stable, dot-separated: `node.lockfile-missing`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What the person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether another try may help; such an answer is never cached.
    #[serde(default)]
    pub retryable: bool,
}

/// What nearly matched, and why it did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NearMiss {
    /// Id of what was nearly detected.
    pub id: String,
    /// Why not.
    pub reason: String,
}

/// A detector's whole answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DetectReport {
    /// What matched.
    pub detections: Vec<Detection>,
    /// What nearly did.
    pub near_misses: Vec<NearMiss>,
}
