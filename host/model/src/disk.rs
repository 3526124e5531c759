//! What `windlass disk` and `windlass prune` ask and tell.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::ProjectName;

/// Who uses what of the disk. What several use is counted once: see [`DiskView::host`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DiskView {
    /// When it was measured.
    pub at: Timestamp,
    /// The file systems.
    pub places: Vec<DiskPlace>,
    /// What the budgets are, and what of them is used.
    pub budgets: Vec<DiskBudget>,
    /// What belongs to one project alone, the largest first.
    pub projects: Vec<ProjectDisk>,
    /// What belongs to the host, or to several projects.
    pub host: Vec<DiskPart>,
    /// All of it together.
    pub bytes: u64,
}

/// A file system that Windlass writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DiskPlace {
    /// A folder on it.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What is free of it.
    pub free_bytes: u64,
    /// Its inodes; 0 where the file system has no fixed number of them.
    pub inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
    /// Free bytes below which no deployment starts.
    pub free_bytes_min: u64,
    /// Free inodes below which no deployment starts.
    pub free_inodes_min: u64,
}

/// What may be pruned to keep a budget.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum PruneKind {
    /// Cached steps that no artifact needs.
    Cache,
    /// Bases that no artifact needs.
    Bases,
    /// Artifacts that nothing refers to, or that are beyond what is kept.
    Artifacts,
    /// Builds that were made by `windlass build` and are kept as images.
    Images,
    /// Uploaded archives that no deployment refers to.
    Uploads,
    /// Cache mounts of projects that no build uses now.
    Mounts,
}

impl PruneKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Cache, Self::Bases, Self::Artifacts, Self::Images, Self::Uploads, Self::Mounts];

    /// Name as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Bases => "bases",
            Self::Artifacts => "artifacts",
            Self::Images => "images",
            Self::Uploads => "uploads",
            Self::Mounts => "mounts",
        }
    }
}

/// A budget in bytes. What an artifact needs does not count against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DiskBudget {
    /// Of what: `cache` or `bases`.
    pub kind: PruneKind,
    /// What is there and no artifact needs.
    pub bytes: u64,
    /// What that may be.
    pub bytes_max: u64,
    /// What is there and an artifact or a container needs.
    pub needed_bytes: u64,
}

/// What one project uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ProjectDisk {
    /// The project; one that was deleted may have left volumes.
    pub project: ProjectName,
    /// All of it.
    pub bytes: u64,
    /// Its parts.
    pub parts: Vec<DiskPart>,
}

/// One kind of thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DiskPart {
    /// What it is: `artifacts`, `static`, `containers`, `volumes`, `logs`, `uploads`, `cache-mounts`,
    /// `repositories`; of the host also `shared-artifacts`, `cache`, `bases`, `records`, `state`,
    /// `backups`, `other`.
    pub what: String,
    /// Its bytes on disk.
    pub bytes: u64,
    /// How many there are.
    pub items: u64,
    /// What is worth saying about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What is to be pruned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneRequest {
    /// Only says what would go; so it is unless this is `false`.
    #[serde(default = "yes")]
    pub dry_run: bool,
    /// Everything of these kinds that nothing needs. None: only what budgets, ages and retention say,
    /// as the host does by itself.
    #[serde(default)]
    pub kinds: Vec<PruneKind>,
    /// Of the kinds, only what was not used for so long, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than_s: Option<u64>,
}

const fn yes() -> bool {
    true
}

impl Default for PruneRequest {
    fn default() -> Self {
        Self { dry_run: true, kinds: Vec::new(), older_than_s: None }
    }
}

/// One thing that goes, or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PruneItem {
    /// Its kind.
    pub kind: PruneKind,
    /// Its name.
    pub name: String,
    /// Bytes that are free then. What others share is freed with the last of them; the steps of an artifact
    /// become cache first, and `why` says how much.
    pub bytes: u64,
    /// When it was used last, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// Why it goes.
    pub why: String,
}

/// What goes, or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PruneView {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// What goes, in order.
    pub items: Vec<PruneItem>,
    /// Bytes of all of them.
    pub bytes: u64,
    /// What was left for now, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_unless_it_is_said() {
        let request: PruneRequest = serde_json::from_str("{}").unwrap();
        assert_eq!(request, PruneRequest::default());
        assert!(request.dry_run);
        for kind in PruneKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
