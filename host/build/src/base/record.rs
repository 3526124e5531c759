//! What is remembered of a base: a record in the content store that keeps its snapshot and is found by
//! the name it was asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use windlass_containers::Labels;
use windlass_containers::runtime::{LABEL_GC_REF_SNAPSHOT, LABEL_GC_ROOT, Runtime};
use windlass_model::plan::{RunConfig, Toolchain};
use windlass_model::{Digest, Failure, Timestamp};

use super::BaseImage;
use crate::artifact::LABEL_LAST_USED;
use crate::disk::{BaseUse, Guard};
use crate::settled;

const LABEL_KIND: &str = "windlass.kind";
const KIND: &str = "base";
const LABEL_NAME: &str = "windlass.base";
/// A record is a few kilobytes; environments of images are not small.
const RECORD_BYTES_MAX: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Record {
    asked: String,
    reference: String,
    snapshot: String,
    digest: Digest,
    config: RunConfig,
    toolchains: Vec<Toolchain>,
}

fn labels(asked: &str) -> Labels {
    Labels::from([
        (LABEL_KIND.to_owned(), KIND.to_owned()),
        (LABEL_NAME.to_owned(), Digest::of(asked.as_bytes()).hex().to_owned()),
    ])
}

/// The base that was remembered under this name, if its snapshot is still there. Marks it as used.
pub(super) async fn find(
    runtime: &dyn Runtime,
    guard: &Guard,
    asked: &str,
) -> Result<Option<BaseImage>, Failure> {
    let looking = guard.looking().await;
    let Some((record, image)) = newest(runtime, asked).await? else { return Ok(None) };
    looking.pin(&image.snapshot);
    let used = Labels::from([(LABEL_LAST_USED.to_owned(), Timestamp::now().to_string())]);
    if let Err(error) = runtime.label_blob(&record, &used).await {
        tracing::warn!(%error, base = image.reference, "its use was not noted");
    }
    Ok(Some(image))
}

/// Every base that is remembered.
pub(crate) async fn all(runtime: &dyn Runtime) -> Result<Vec<BaseUse>, Failure> {
    let failed = |e: windlass_containers::RuntimeError| e.failure("The bases could not be read");
    let mut found: BTreeMap<String, BaseUse> = BTreeMap::new();
    let kind = Labels::from([(LABEL_KIND.to_owned(), KIND.to_owned())]);
    for blob in runtime.list_blobs(&kind).await.map_err(failed)? {
        let bytes = runtime.read_blob(&blob.digest, RECORD_BYTES_MAX).await.map_err(failed)?;
        let Some(record) = bytes.and_then(|b| serde_json::from_slice::<Record>(&b).ok()) else {
            continue;
        };
        let used = [LABEL_LAST_USED, LABEL_GC_ROOT]
            .into_iter()
            .find_map(|label| blob.labels.get(label).and_then(|at| at.parse::<Timestamp>().ok()));
        let used = used.unwrap_or_default();
        let base = found.entry(record.snapshot.clone()).or_insert_with(|| BaseUse {
            references: BTreeSet::new(),
            records: Vec::new(),
            snapshot: record.snapshot,
            last_used: used,
        });
        base.references.insert(record.reference);
        base.records.push(blob.digest);
        base.last_used = base.last_used.max(used);
    }
    Ok(found.into_values().collect())
}

async fn newest(
    runtime: &dyn Runtime,
    asked: &str,
) -> Result<Option<(Digest, BaseImage)>, Failure> {
    let failed = |e: windlass_containers::RuntimeError| e.failure("A base could not be looked up");
    let mut newest: Option<(Timestamp, Digest, BaseImage)> = None;
    for blob in runtime.list_blobs(&labels(asked)).await.map_err(failed)? {
        let bytes = runtime.read_blob(&blob.digest, RECORD_BYTES_MAX).await.map_err(failed)?;
        let record = bytes.and_then(|b| serde_json::from_slice::<Record>(&b).ok());
        let Some(record) = record.filter(|record| record.asked == asked) else { continue };
        let Some(snapshot) = runtime.snapshot(&record.snapshot).await.map_err(failed)? else {
            continue;
        };
        if !snapshot.committed || settled::is_suspect(&snapshot) {
            continue;
        }
        let at = blob.labels.get(LABEL_GC_ROOT).and_then(|t| t.parse().ok()).unwrap_or_default();
        if newest.as_ref().is_none_or(|(other, ..)| at >= *other) {
            newest = Some((at, blob.digest, record.into()));
        }
    }
    Ok(newest.map(|(_, record, image)| (record, image)))
}

/// Remembers a base under a name.
pub(super) async fn remember(
    runtime: &dyn Runtime,
    asked: &str,
    image: &BaseImage,
) -> Result<(), Failure> {
    let record = Record {
        asked: asked.to_owned(),
        reference: image.reference.clone(),
        snapshot: image.snapshot.clone(),
        digest: image.digest.clone(),
        config: image.config.clone(),
        toolchains: image.toolchains.clone(),
    };
    let bytes = serde_json::to_vec(&record).unwrap_or_default();
    let mut labels = labels(asked);
    labels.insert(LABEL_GC_ROOT.to_owned(), Timestamp::now().to_string());
    labels.insert(format!("{LABEL_GC_REF_SNAPSHOT}/0"), image.snapshot.clone());
    labels.insert(LABEL_LAST_USED.to_owned(), Timestamp::now().to_string());
    runtime
        .put_blob(Box::new(std::io::Cursor::new(bytes)), None, &labels)
        .await
        .map_err(|e| e.failure("A base could not be recorded"))?;
    Ok(())
}

impl From<Record> for BaseImage {
    fn from(record: Record) -> Self {
        Self {
            snapshot: record.snapshot,
            digest: record.digest,
            reference: record.reference,
            config: record.config,
            toolchains: record.toolchains,
        }
    }
}
