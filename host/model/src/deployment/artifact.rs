//! What a build yields, and what instances are started from.

use serde::{Deserialize, Serialize};

use crate::id::{Digest, ProcessName};
use crate::plan::{ProcessKind, RunConfig, Toolchain};

/// One output of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ArtifactOutput {
    /// Name in the plan.
    pub name: String,
    /// Name of the committed snapshot that holds it.
    pub snapshot: String,
    /// What it is.
    pub kind: ArtifactKind,
}

/// What an output of an artifact is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum ArtifactKind {
    /// A root file system; instances start straight on the snapshot.
    Image {
        /// How it is run.
        config: RunConfig,
    },
    /// A static tree, exported below the data directory for the proxy.
    StaticTree {
        /// Digest of the tree: its folder's name.
        tree: Digest,
        /// Single-page fallback.
        spa_fallback: Option<String>,
        /// Page served with status 404.
        not_found: Option<String>,
        /// Files in it.
        files: u64,
        /// Bytes in it.
        bytes: u64,
    },
}

/// A process of an artifact, with its settings applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ArtifactProcess {
    /// Its name.
    pub name: ProcessName,
    /// The output it runs from.
    pub output: String,
    /// Its kind.
    pub kind: ProcessKind,
    /// The whole command; empty takes the output's own.
    pub argv: Vec<String>,
    /// The port that it is told in `PORT`, for a web process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What a build yields. Also written to containerd's content store, where it is the root that keeps
/// its snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Artifact {
    /// Digest of this record as it lies in the content store.
    pub digest: Digest,
    /// The outputs.
    pub outputs: Vec<ArtifactOutput>,
    /// The processes.
    pub processes: Vec<ArtifactProcess>,
    /// Bases it was built on: reference and digest.
    pub bases: Vec<(String, Digest)>,
    /// Exact versions of the toolchains.
    pub toolchains: Vec<Toolchain>,
    /// Of the plan it was built from.
    pub plan: Digest,
}

impl Artifact {
    /// The output of this name.
    pub fn output(&self, name: &str) -> Option<&ArtifactOutput> {
        self.outputs.iter().find(|output| output.name == name)
    }

    /// The web process that is not a static tree, if there is one.
    pub fn web(&self) -> Option<&ArtifactProcess> {
        self.processes.iter().find(|process| process.kind == ProcessKind::Web)
    }

    /// The static output that the proxy serves, if no web process answers.
    pub fn static_output(&self) -> Option<&ArtifactOutput> {
        let is_static =
            |output: &&ArtifactOutput| matches!(output.kind, ArtifactKind::StaticTree { .. });
        self.outputs.iter().find(is_static)
    }
}
