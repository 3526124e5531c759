//! Artifact records: what a build yielded, kept in the content store, where each record is the one root
//! that keeps its snapshots.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_containers::runtime::{LABEL_GC_REF_SNAPSHOT, LABEL_GC_ROOT};
use windlass_containers::{Labels, Runtime, RuntimeError};
use windlass_model::deployment::{Artifact, ArtifactKind, ArtifactOutput, ArtifactProcess};
use windlass_model::plan::Toolchain;
use windlass_model::{Digest, Failure, Timestamp};

use crate::builder::io_failure;
use crate::disk::{Held, Holds};
use crate::settled::is_suspect;
use crate::whole;

/// Version of the record's form.
pub(crate) const FORMAT: u32 = 1;
/// Label that says what a blob or a snapshot is.
pub(crate) const LABEL_KIND: &str = "windlass.kind";
/// [`LABEL_KIND`] of an artifact's record.
pub(crate) const KIND_ARTIFACT: &str = "artifact";
/// [`LABEL_KIND`] of a step's snapshot.
pub(crate) const KIND_STEP: &str = "step";
/// When a step's snapshot was used last.
pub(crate) const LABEL_LAST_USED: &str = "windlass.last-used";

const RECORD_BYTES_MAX: u64 = 8 << 20;

/// What pruning removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Artifact records.
    pub artifacts: usize,
    /// Static trees.
    pub static_trees: usize,
    /// Cached steps.
    pub snapshots: usize,
}

/// An artifact without the digest, which is that of this record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`FORMAT`]
    pub(crate) format: u32,
    /// See [`Artifact`].
    pub(crate) outputs: Vec<ArtifactOutput>,
    /// See [`Artifact`].
    pub(crate) processes: Vec<ArtifactProcess>,
    /// See [`Artifact`].
    pub(crate) bases: Vec<(String, Digest)>,
    /// See [`Artifact`].
    pub(crate) toolchains: Vec<Toolchain>,
    /// See [`Artifact`].
    pub(crate) plan: Digest,
}

impl Record {
    fn into_artifact(self, digest: Digest) -> Artifact {
        let Self { outputs, processes, bases, toolchains, plan, .. } = self;
        Artifact { digest, outputs, processes, bases, toolchains, plan }
    }
}

/// The folder of a static tree.
pub(crate) fn static_dir(data_dir: &Path, tree: &Digest) -> PathBuf {
    data_dir.join("static").join(tree.hex())
}

fn kind(kind: &str) -> Labels {
    Labels::from([(LABEL_KIND.to_owned(), kind.to_owned())])
}

fn failed(error: RuntimeError) -> Failure {
    error.failure("The record of an artifact could not be handled")
}

/// Writes a record. It keeps the outputs' snapshots, and through them everything they are built on.
/// It is held before it is there.
pub(crate) async fn write(
    runtime: &dyn Runtime,
    record: Record,
    held: &Held,
) -> Result<Artifact, Failure> {
    let bytes = serde_json::to_vec(&record).unwrap_or_default();
    held.add(&Digest::of(&bytes)).await;
    let mut labels = kind(KIND_ARTIFACT);
    labels.insert(LABEL_GC_ROOT.to_owned(), Timestamp::now().to_string());
    for (n, output) in record.outputs.iter().enumerate() {
        labels.insert(format!("{LABEL_GC_REF_SNAPSHOT}/{n}"), output.snapshot.clone());
    }
    let blob = runtime
        .put_blob(Box::new(std::io::Cursor::new(bytes)), None, &labels)
        .await
        .map_err(failed)?;
    // The same record may have been there before, with older labels.
    runtime.label_blob(&blob.digest, &labels).await.map_err(failed)?;
    Ok(record.into_artifact(blob.digest))
}

/// Reads an artifact's record, for a host without a builder; `None` when there is none of this digest.
///
/// # Errors
/// `artifact.unreadable`, or the runtime's.
pub async fn read_artifact(
    runtime: &dyn Runtime,
    digest: &Digest,
) -> Result<Option<Artifact>, Failure> {
    load(runtime, digest).await
}

/// Reads a record.
pub(crate) async fn load(
    runtime: &dyn Runtime,
    digest: &Digest,
) -> Result<Option<Artifact>, Failure> {
    let bytes = runtime.read_blob(digest, RECORD_BYTES_MAX).await.map_err(failed)?;
    let Some(bytes) = bytes else { return Ok(None) };
    let record: Record = serde_json::from_slice(&bytes).map_err(|e| {
        let fix = "deploy again: the artifact is built anew";
        Failure::host(
            "artifact.unreadable",
            "An artifact's record makes no sense",
            e.to_string(),
            fix,
        )
    })?;
    Ok(Some(record.into_artifact(digest.clone())))
}

/// Whether everything is still there.
pub(crate) async fn verify(
    runtime: &dyn Runtime,
    data_dir: &Path,
    artifact: &Artifact,
) -> Result<(), Failure> {
    let record = runtime.read_blob(&artifact.digest, RECORD_BYTES_MAX).await.map_err(failed)?;
    let record = record.ok_or_else(|| missing(artifact, "its record is gone"))?;
    if Digest::of(&record) != artifact.digest {
        return Err(missing(artifact, "its record is not what was written"));
    }
    for output in &artifact.outputs {
        let snapshot = runtime.snapshot(&output.snapshot).await.map_err(failed)?;
        let Some(snapshot) = snapshot.filter(|snapshot| snapshot.committed) else {
            return Err(missing(
                artifact,
                &format!("the snapshot of its output {} is gone", output.name),
            ));
        };
        if is_suspect(&snapshot) {
            let name = &output.name;
            let why = format!("the machine stopped before its output {name} was on the disk");
            return Err(missing(artifact, &why));
        }
        if let ArtifactKind::StaticTree { tree, .. } = &output.kind
            && !static_dir(data_dir, tree).is_dir()
        {
            return Err(missing(
                artifact,
                &format!("the files of its output {} are gone", output.name),
            ));
        }
    }
    Ok(())
}

fn missing(artifact: &Artifact, what: &str) -> Failure {
    Failure::host(
        "artifact.missing",
        format!("The artifact {} is not complete", artifact.digest.short()),
        what,
        "deploy the same version again instead: windlass redeploy",
    )
}

/// Deletes a record, and the static trees that no other record has and nobody holds.
pub(crate) async fn delete(
    runtime: &dyn Runtime,
    data_dir: &Path,
    digest: &Digest,
    holds: &Holds,
) -> Result<(), Failure> {
    let Some(artifact) = load(runtime, digest).await? else { return Ok(()) };
    runtime.delete_blob(digest).await.map_err(failed)?;
    let used = trees(&all(runtime).await?);
    for tree in trees(&[artifact]).difference(&used).filter(|tree| !holds.has(tree)) {
        remove_tree(&static_dir(data_dir, tree))?;
    }
    Ok(())
}

/// Removes artifacts and static trees that are neither to be kept nor held.
pub(crate) async fn prune(
    runtime: &dyn Runtime,
    data_dir: &Path,
    keep: &BTreeSet<Digest>,
    holds: &Holds,
    cache_unused_for: Duration,
) -> Result<Pruned, Failure> {
    let mut pruned = Pruned::default();
    let stays = |digest: &Digest| keep.contains(digest) || holds.has(digest);
    let (kept, gone): (Vec<_>, Vec<_>) =
        all(runtime).await?.into_iter().partition(|artifact| stays(&artifact.digest));
    for artifact in gone {
        runtime.delete_blob(&artifact.digest).await.map_err(failed)?;
        pruned.artifacts += 1;
    }
    pruned.static_trees = prune_trees(data_dir, &trees(&kept), holds, cache_unused_for)?;
    Ok(pruned)
}

/// Every artifact's record.
pub(crate) async fn all(runtime: &dyn Runtime) -> Result<Vec<Artifact>, Failure> {
    let mut found = Vec::new();
    for blob in runtime.list_blobs(&kind(KIND_ARTIFACT)).await.map_err(failed)? {
        found.extend(load(runtime, &blob.digest).await?);
    }
    Ok(found)
}

fn trees(artifacts: &[Artifact]) -> BTreeSet<Digest> {
    let of = |output: &ArtifactOutput| match &output.kind {
        ArtifactKind::StaticTree { tree, .. } => Some(tree.clone()),
        ArtifactKind::Image { .. } => None,
    };
    artifacts.iter().flat_map(|artifact| artifact.outputs.iter().filter_map(of)).collect()
}

/// Trees that are younger than the cache's age may belong to a build that is not recorded yet.
fn prune_trees(
    data_dir: &Path,
    used: &BTreeSet<Digest>,
    holds: &Holds,
    unused_for: Duration,
) -> Result<usize, Failure> {
    let all = data_dir.join("static");
    whole::sweep(&all);
    let entries = std::fs::read_dir(&all).into_iter().flatten().flatten();
    let used: BTreeSet<&str> = used.iter().map(Digest::hex).collect();
    let mut removed = 0;
    for entry in entries {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        let name = entry.file_name();
        let is_used = name.to_str().is_some_and(|name| {
            let tree = format!("sha256:{name}").parse::<Digest>();
            used.contains(name) || tree.is_ok_and(|tree| holds.has(&tree))
        });
        if !is_used && age.is_some_and(|age| age >= unused_for) {
            remove_tree(&entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn remove_tree(dir: &Path) -> Result<(), Failure> {
    whole::remove(dir).map_err(|e| io_failure("A static tree could not be removed", dir, &e))
}
