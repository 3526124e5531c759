//! What the steps of a deployment yield, each for the steps behind it.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::artifact::{Artifact, ArtifactOutput};
use crate::cron::Schedule;
use crate::id::{DeploymentId, Digest, ProcessName};
use crate::plan::{Detection, HealthPolicy, Migration, Observation};
use crate::settings::Settings;
use crate::stage::Withheld;

/// The commit or archive that a deployment was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Fetched {
    /// Full commit id; absent for archives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// First line of the commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Author's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Digest of the whole tree: a Git tree id, or a digest over the unpacked files.
    pub tree: Digest,
    /// Files in the tree.
    pub files: u64,
    /// Bytes in the tree.
    pub bytes: u64,
    /// Whether it was given to anyone who asks: no token or key went along.
    #[serde(default)]
    pub anonymous: bool,
    /// The image, where the source is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<FetchedImage>,
}

/// An image that was looked up, or unpacked from its archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FetchedImage {
    /// Its name with the digest that the tag meant.
    pub reference: String,
    /// The first port that it says it listens on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Which plugin decided, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Chosen {
    /// Name of the plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Digest of its file.
    pub digest: Digest,
    /// The detection.
    pub detection: Detection,
    /// The others that matched, strongest first.
    #[serde(default)]
    pub others: Vec<String>,
}

/// One running container of one process of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Instance {
    /// Name of the container: derived from the deployment, the process and the ordinal.
    pub id: String,
    /// Its process.
    pub process: ProcessName,
    /// 0, 1, ...
    pub ordinal: u32,
    /// Its address in the environment's network.
    pub address: Ipv4Addr,
    /// Its port, for a web process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Process id of its first process on the host.
    pub pid: u32,
    /// When it was started.
    pub started_at: Timestamp,
}

/// What became of the migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MigrationRecord {
    /// What was decided.
    pub migration: Migration,
    /// Name of its container, set before it is created: what is recorded and missing is never run
    /// again.
    pub container: String,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// Typed output of the steps, filled in as they succeed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Outputs {
    /// Of fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Fetched>,
    /// Of preflight: `windlass.toml` as it was in force, or of the deployment that is rolled back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// Of detect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// Of plan: the plan, stored under its digest because plans can be large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
    /// Of build, also of one that failed: the bases that it came to, reference and digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<(String, Digest)>,
    /// Of build, or of the deployment that is rolled back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Of the stages behind build, or of the deployment that the artifact was taken over from: commands at
    /// their times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// The same of files that are not served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
    /// Of migrate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationRecord>,
    /// Of start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Instance>,
    /// Of check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthRecord>,
    /// Of switch: the published generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The last generation that led to it, once it was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_generation: Option<u64>,
    /// Which deployment the switch replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<DeploymentId>,
    /// Of provision: what `network.allow` was resolved to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<std::net::SocketAddrV4>,
    /// Of start: the output that instances of its name start from, where commands before the switch
    /// have written into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<ArtifactOutput>,
    /// Variables (as digests) and plugins as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<crate::changes::MadeWith>,
}

/// What a health check asked and saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HealthRecord {
    /// Plugin that gave the policy and judged.
    pub plugin: String,
    /// The policy.
    pub policy: HealthPolicy,
    /// The last observations.
    pub seen: Vec<Observation>,
}
