//! What there is: snapshots with what they are, the bases that are remembered, the artifacts' records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _};
use windlass_containers::runtime::{Blob, Runtime, Snapshot};
use windlass_containers::{Labels, RuntimeError};
use windlass_model::deployment::Artifact;
use windlass_model::{Digest, Failure, Timestamp};

use crate::artifact::{self, KIND_STEP, LABEL_KIND, LABEL_LAST_USED};
use crate::{base, layer};

/// Questions to containerd that are open at the same time.
const ASKED_AT_ONCE: usize = 16;

/// What a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The result of a step: cache, unless an artifact needs it.
    Step,
    /// A layer of a base.
    Base,
    /// What a container or a step that runs writes into.
    Writable,
    /// Anything else that is committed, for instance what was made ready before a switch.
    Other,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its name.
    pub key: String,
    /// What it stands on.
    pub parent: Option<String>,
    /// What it is.
    pub class: Class,
    /// Its own bytes with those of the layer that was made of it, without what it stands on; a writable one
    /// that was not measured has none.
    pub bytes: u64,
    /// When it was used last.
    pub last_used: Timestamp,
    /// Its labels.
    pub labels: Labels,
}

/// A base that is remembered, under one name or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUse {
    /// What it is.
    pub references: BTreeSet<String>,
    /// Its records.
    pub records: Vec<Digest>,
    /// Its topmost snapshot.
    pub snapshot: String,
    /// When it was used last.
    pub last_used: Timestamp,
}

/// The file of an assembled base, from which it can be unpacked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes on disk.
    pub bytes: u64,
    /// When it was made or used last.
    pub last_used: Timestamp,
}

/// A cache mount of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMount {
    /// Project and name: `shop/npm`.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// Its bytes on disk; 0 for one that was not measured.
    pub bytes: u64,
    /// When a command used it last.
    pub last_used: Timestamp,
}

/// Everything of a host that builds made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// The snapshots, by name.
    pub pieces: BTreeMap<String, Piece>,
    /// The bases.
    pub bases: Vec<BaseUse>,
    /// Files of assembled bases that belong to this host alone.
    pub archives: Vec<Archive>,
    /// The cache mounts of all projects.
    pub mounts: Vec<CacheMount>,
    /// The artifacts that have a record.
    pub artifacts: Vec<Artifact>,
    /// Bytes of the content store, but for layers that a snapshot keeps: those count with it.
    pub content_bytes: u64,
}

impl Picture {
    /// Names of a snapshot and of everything that it stands on, topmost first.
    pub fn chain<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a Piece> + use<'a> {
        std::iter::successors(self.pieces.get(key), |piece| {
            piece.parent.as_ref().and_then(|parent| self.pieces.get(parent))
        })
    }

    /// Names of what artifacts and containers need: theirs, and everything below.
    pub fn needed(&self) -> BTreeSet<&str> {
        let outputs = self.artifacts.iter().flat_map(|artifact| &artifact.outputs);
        let of_artifacts = outputs.map(|output| output.snapshot.as_str());
        let others = self.pieces.values();
        let others = others.filter(|p| matches!(p.class, Class::Writable | Class::Other));
        let tops = of_artifacts.chain(others.map(|piece| piece.key.as_str()));
        let mut needed = BTreeSet::new();
        for top in tops {
            for piece in self.chain(top) {
                if !needed.insert(piece.key.as_str()) {
                    break;
                }
            }
        }
        needed
    }

    /// Bytes of the snapshots of a class that artifacts and containers need, and of those that they do
    /// not.
    pub fn bytes(&self, class: Class) -> (u64, u64) {
        let needed = self.needed();
        let (mut in_use, mut free) = (0, 0);
        for piece in self.pieces.values().filter(|piece| piece.class == class) {
            let sum = if needed.contains(piece.key.as_str()) { &mut in_use } else { &mut free };
            *sum += piece.bytes;
        }
        (in_use, free)
    }
}

/// Bytes of committed snapshots, which never change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sizes(Arc<Mutex<BTreeMap<String, u64>>>);

impl Sizes {
    fn get(&self, key: &str) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn learn(&self, pieces: &BTreeMap<String, Piece>) {
        let committed = pieces.values().filter(|piece| piece.class != Class::Writable);
        let sizes = committed.map(|piece| (piece.key.clone(), piece.bytes)).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sizes;
    }
}

fn failed(error: RuntimeError) -> Failure {
    error.failure("The use of the disk could not be read")
}

/// Looks at everything.
pub(super) async fn read(
    runtime: &dyn Runtime,
    sizes: &Sizes,
    (archives, mounts): (Vec<Archive>, Vec<CacheMount>),
    writable: bool,
) -> Result<Picture, Failure> {
    let bases = base::all(runtime).await?;
    let artifacts = artifact::all(runtime).await?;
    let snapshots = runtime.list_snapshots(&Labels::new()).await.map_err(failed)?;
    let measured = futures::stream::iter(snapshots)
        .map(|snapshot| measure(runtime, sizes, snapshot, writable))
        .buffer_unordered(ASKED_AT_ONCE);
    let pieces: Vec<Option<Piece>> = measured.try_collect().await?;
    let pieces = pieces.into_iter().flatten().map(|piece| (piece.key.clone(), piece));
    let mut pieces: BTreeMap<String, Piece> = pieces.collect();
    sizes.learn(&pieces);
    let blobs = runtime.list_blobs(&Labels::new()).await.map_err(failed)?;
    let content_bytes = add_layers(&mut pieces, blobs);
    Ok(Picture { pieces, bases, archives, mounts, artifacts, content_bytes })
}

/// Adds to each snapshot the layer that it keeps, each once; answers the bytes of all other blobs.
fn add_layers(pieces: &mut BTreeMap<String, Piece>, blobs: Vec<Blob>) -> u64 {
    let mut left: BTreeMap<Digest, u64> =
        blobs.into_iter().map(|blob| (blob.digest, blob.bytes)).collect();
    for piece in pieces.values_mut() {
        let layer = layer::kept(&piece.labels).and_then(|digest| left.remove(&digest));
        piece.bytes += layer.unwrap_or_default();
    }
    left.into_values().sum()
}

/// `None` when it went meanwhile.
async fn measure(
    runtime: &dyn Runtime,
    sizes: &Sizes,
    snapshot: Snapshot,
    writable: bool,
) -> Result<Option<Piece>, Failure> {
    let Snapshot { key, parent, committed, labels, created_at } = snapshot;
    let class = class(&key, committed, &labels);
    let bytes = match (sizes.get(&key).filter(|_| committed), committed || writable) {
        (Some(known), _) => known,
        (None, false) => 0,
        (None, true) => match runtime.snapshot_bytes(&key).await {
            Ok(bytes) => bytes,
            Err(error) => {
                if runtime.snapshot(&key).await.map_err(failed)?.is_none() {
                    return Ok(None);
                }
                // Whoever writes to it may have made paths that nobody can measure: all else can be told.
                tracing::warn!(key, %error, "a writable snapshot could not be measured");
                0
            }
        },
    };
    let used = labels.get(LABEL_LAST_USED).and_then(|at| at.parse().ok());
    let last_used = used.unwrap_or(created_at);
    Ok(Some(Piece { key, parent, class, bytes, last_used, labels }))
}

fn class(key: &str, committed: bool, labels: &Labels) -> Class {
    if !committed {
        return Class::Writable;
    }
    if labels.get(LABEL_KIND).is_some_and(|kind| kind == KIND_STEP) {
        return Class::Step;
    }
    if base::is_layer(key) { Class::Base } else { Class::Other }
}

/// Files of assembled bases in a folder.
pub(crate) fn archives(dir: &Path) -> Vec<Archive> {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let archive = |entry: std::fs::DirEntry| {
        let path = entry.path();
        let meta = entry.metadata().ok()?;
        let whole = path.to_str()?.ends_with(".tar.zst") && meta.is_file();
        let last_used = Timestamp::try_from(meta.modified().ok()?).ok()?;
        whole.then(|| Archive { bytes: meta.blocks() * 512, path, last_used })
    };
    entries.filter_map(archive).collect()
}
