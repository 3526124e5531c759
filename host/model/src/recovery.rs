//! What `windlass recover`, `windlass backup` and `windlass restore` tell.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::id::{DeploymentId, Digest, EnvironmentName, HostId, ProjectName, ServiceName};
use crate::variable::VariableName;

/// What `windlass recover` has found and put back, or would put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RecoverReport {
    /// The host.
    pub host: HostId,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Why there was something to recover.
    pub reason: String,
    /// The backup that was the basis, if there was one.
    pub backup: Option<PathBuf>,
    /// Where the damaged state was moved.
    pub set_aside: Option<PathBuf>,
    /// The environments in which something was live.
    pub environments: Vec<RecoveredEnvironment>,
    /// What could not be brought back, and what to do about it.
    pub lost: Vec<String>,
}

/// From what a live deployment was rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecoveredFrom {
    /// Its whole record, which lies beside its artifact.
    Record,
    /// The labels of its containers alone.
    Labels,
}

/// An environment that was rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RecoveredEnvironment {
    /// Its project.
    pub project: ProjectName,
    /// Its name.
    pub environment: EnvironmentName,
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its number.
    pub number: u64,
    /// Whether it serves; otherwise it is history.
    pub live: bool,
    /// From what it was rebuilt.
    pub from: RecoveredFrom,
    /// Its instances that run.
    pub instances: Vec<String>,
    /// Host names that lead to it; `*` is the default route.
    pub domains: Vec<String>,
    /// Services.
    pub services: Vec<ServiceName>,
    /// Variables that were read out of its instances: taken as secret, for running.
    pub variables: Vec<VariableName>,
}

/// How a backup holds the key that encrypts the variables.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum BackupKey {
    /// As it is: whoever has the file can read every variable.
    #[default]
    Plain,
    /// Encrypted with a passphrase.
    Passphrase,
    /// Not at all: without a copy of `secret.key` the variables are lost.
    Absent,
}

/// What a backup file says of itself, first in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BackupManifest {
    /// Layout of the file.
    pub format: u32,
    /// Version of Windlass that wrote it.
    pub windlass: String,
    /// The host.
    pub host: HostId,
    /// When.
    pub made_at: Timestamp,
    /// Revision of the store that it shows.
    pub revision: u64,
    /// Records of the store.
    pub keys: u64,
    /// How it holds the key.
    pub key: BackupKey,
    /// Whether it holds the volumes.
    pub volumes: bool,
}

/// A file in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BackupPart {
    /// Its path in the backup.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub digest: Digest,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BackupView {
    /// Its file name.
    pub name: String,
    /// Where it lies on the host.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What it says of itself; absent when it cannot be read.
    pub manifest: Option<BackupManifest>,
    /// Files in it, when it was read as a whole and every checksum was right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_files: Option<u64>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// `POST /v1/backups`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateBackup {
    /// Whether the volumes go in too. Files that change meanwhile are taken as they are read.
    pub volumes: bool,
    /// Whether `secret.key` is left out.
    pub without_key: bool,
    /// Encrypts `secret.key` in it.
    pub passphrase: Option<String>,
}

/// How the backups stand, as part of the host's status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BackupStatus {
    /// When the newest was made.
    pub last_at: Option<Timestamp>,
    /// Its name.
    pub last: Option<String>,
    /// Why the last try failed, if it did, or why the newest is too old.
    pub failure: Option<Failure>,
}

/// What `windlass restore` has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RestoreReport {
    /// The backup.
    pub manifest: BackupManifest,
    /// Files that were put in place, beside the state.
    pub files: u64,
    /// Where the state lies that was there before.
    pub set_aside: Option<PathBuf>,
    /// Deployments that the backup shows at work; they are marked as failed.
    pub interrupted: usize,
    /// Environments in which the backup shows something live, as `project/environment`.
    pub live: Vec<String>,
    /// What to do next.
    pub next: Vec<String>,
}
