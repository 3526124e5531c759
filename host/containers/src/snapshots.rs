//! Snapshots of the overlayfs snapshotter.
//!
//! **Invariant: a name that is committed has its final content.** Half-made work lives under keys with
//! the label [`LABEL_TEMPORARY`], which the next start removes.

use std::path::PathBuf;

use containerd_client::services::v1::ApplyRequest;
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::snapshots::{
    CommitSnapshotRequest, Info, Kind, ListSnapshotsRequest, MountsRequest, PrepareSnapshotRequest,
    RemoveSnapshotRequest, StatSnapshotRequest, UpdateSnapshotRequest, UsageRequest,
    ViewSnapshotRequest,
};
use containerd_client::tonic::Code;
use containerd_client::tonic::transport::Channel;
use containerd_client::types::{Descriptor, Mount};
use tokio::task::JoinHandle;
use windlass_model::Digest;

use crate::client::{
    Idempotent, MESSAGE_BYTES_MAX, SNAPSHOTTER, from_wire, label_filter, timestamp, to_wire,
};
use crate::engine::Engine;
use crate::error::{Result, RuntimeError};
use crate::mount;
use crate::runtime::{
    Access, Applied, Blob, Committed, LABEL_GC_ROOT, Labels, Mounted, Reader, Snapshot,
};

/// On what only one call needs; removed at the next start when that call never ended.
pub(crate) const LABEL_TEMPORARY: &str = "windlass/temporary";

impl Engine {
    fn snapshots(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.client().channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Prepares a writable snapshot, or finds the one that is there.
    pub(crate) async fn snapshot_prepare(
        &self,
        key: &str,
        parent: Option<&str>,
        labels: &Labels,
    ) -> Result<Vec<Mount>> {
        let request = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
            parent: parent.unwrap_or_default().to_owned(),
            labels: to_wire(labels),
        };
        let answer = self.snapshots().prepare(self.request(request)).await;
        if answer.as_ref().is_err_and(|status| status.code() == Code::NotFound) {
            let name = parent.unwrap_or_default().to_owned();
            return Err(RuntimeError::NotFound { what: "snapshot", name });
        }
        match answer.unless_exists().map_err(self.client().refused("prepare snapshot", key))? {
            Some(answer) => Ok(answer.into_inner().mounts),
            None => self.snapshot_mounts(key).await,
        }
    }

    pub(crate) async fn snapshot_mounts(&self, key: &str) -> Result<Vec<Mount>> {
        let request = MountsRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        let answer = self
            .snapshots()
            .mounts(self.request(request))
            .await
            .map_err(self.client().refused("mount snapshot", key))?;
        Ok(answer.into_inner().mounts)
    }

    pub(crate) async fn snapshot_commit(
        &self,
        key: &str,
        name: &str,
        labels: &Labels,
    ) -> Result<Committed> {
        let request = CommitSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
            labels: to_wire(labels),
        };
        let answer = self.snapshots().commit(self.request(request)).await;
        if answer.as_ref().is_err_and(|status| status.code() == Code::NotFound) {
            // A call that was cut off may have committed it: then the key is gone and the name there.
            return match self.snapshot_stat(name).await? {
                Some(snapshot) if snapshot.committed => Ok(Committed::Existed),
                _ => Err(RuntimeError::NotFound { what: "snapshot", name: key.to_owned() }),
            };
        }
        match answer.unless_exists().map_err(self.client().refused("commit snapshot", name))? {
            Some(_) => Ok(Committed::New),
            None => {
                self.snapshot_remove(key).await?;
                if !labels.is_empty() {
                    self.snapshot_label(name, labels).await?;
                }
                Ok(Committed::Existed)
            }
        }
    }

    pub(crate) async fn snapshot_stat(&self, key: &str) -> Result<Option<Snapshot>> {
        let request =
            StatSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        let answer = self
            .snapshots()
            .stat(self.request(request))
            .await
            .unless_gone()
            .map_err(self.client().refused("look up snapshot", key))?;
        Ok(answer.and_then(|answer| answer.into_inner().info).map(to_snapshot))
    }

    pub(crate) async fn snapshot_list(&self, labels: &Labels) -> Result<Vec<Snapshot>> {
        let request = ListSnapshotsRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            filters: label_filter(labels),
        };
        let refused = |status| self.client().refused("list", "snapshots")(status);
        let answer = self.snapshots().list(self.request(request)).await.map_err(refused)?;
        let mut pages = answer.into_inner();
        let mut all = Vec::new();
        while let Some(page) = pages.message().await.map_err(refused)? {
            all.extend(page.info.into_iter().map(to_snapshot));
        }
        Ok(all)
    }

    pub(crate) async fn snapshot_label(&self, key: &str, labels: &Labels) -> Result<()> {
        let paths = labels.keys().map(|label| format!("labels.{label}")).collect();
        let info = Info { name: key.to_owned(), labels: to_wire(labels), ..Default::default() };
        let request = UpdateSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            info: Some(info),
            update_mask: Some(prost_types::FieldMask { paths }),
        };
        self.snapshots()
            .update(self.request(request))
            .await
            .map_err(self.client().refused("label snapshot", key))?;
        Ok(())
    }

    pub(crate) async fn snapshot_remove(&self, key: &str) -> Result<()> {
        let request =
            RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        self.snapshots()
            .remove(self.request(request))
            .await
            .unless_gone()
            .map_err(self.client().refused("remove snapshot", key))?;
        Ok(())
    }

    pub(crate) async fn snapshot_usage(&self, key: &str) -> Result<u64> {
        let request = UsageRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        let answer = self
            .snapshots()
            .usage(self.request(request))
            .await
            .map_err(self.client().refused("measure snapshot", key))?;
        Ok(u64::try_from(answer.into_inner().size).unwrap_or_default())
    }

    pub(crate) async fn snapshot_mount(&self, key: &str, access: Access) -> Result<Mounted> {
        let Some(snapshot) = self.snapshot_stat(key).await? else {
            return Err(RuntimeError::NotFound { what: "snapshot", name: key.to_owned() });
        };
        let mounts = match (snapshot.committed, access) {
            (false, _) => self.snapshot_mounts(key).await?,
            (true, Access::ReadOnly) => self.view_mounts(key).await?,
            (true, Access::ReadWrite) => {
                return Err(RuntimeError::Invalid {
                    what: "snapshot to write",
                    given: key.to_owned(),
                    rule: "a committed snapshot never changes: prepare a new one on it",
                });
            }
        };
        let parent = self.paths().mounts();
        blocking(move || mount::mount_snapshot(&mounts, &parent, access)).await
    }

    /// Mounts of a committed snapshot. The view's own directory is in none of them, so the view is
    /// removed at once and there is nothing to clean up later.
    async fn view_mounts(&self, name: &str) -> Result<Vec<Mount>> {
        let key = format!("view-{}", ulid::Ulid::new());
        let request = ViewSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.clone(),
            parent: name.to_owned(),
            labels: to_wire(&temporary()),
        };
        let answer = self
            .snapshots()
            .view(self.request(request))
            .await
            .map_err(self.client().refused("view snapshot", name))?;
        self.snapshot_remove(&key).await?;
        Ok(answer.into_inner().mounts)
    }

    /// The directories of a committed chain, the lowest first.
    pub(crate) async fn snapshot_chain_dirs(&self, name: &str) -> Result<Vec<PathBuf>> {
        if !self.snapshot_stat(name).await?.is_some_and(|snapshot| snapshot.committed) {
            return Err(RuntimeError::NotFound { what: "snapshot", name: name.to_owned() });
        }
        let mounts = self.view_mounts(name).await?;
        let dirs = mounts.last().map(mount::read_only_dirs).unwrap_or_default();
        if dirs.is_empty() {
            return Err(RuntimeError::Invalid {
                what: "mount of a snapshot",
                given: name.to_owned(),
                rule: "it is a bind mount or an overlay",
            });
        }
        Ok(dirs)
    }

    pub(crate) async fn layer_apply(
        &self,
        parent: Option<&str>,
        name: &str,
        layer: &Blob,
        expected: Option<&Digest>,
        labels: &Labels,
    ) -> Result<Applied> {
        if self.snapshot_stat(name).await?.is_some_and(|snapshot| snapshot.committed) {
            if !labels.is_empty() {
                self.snapshot_label(name, labels).await?;
            }
            return Ok(Applied { committed: Committed::Existed, diff_id: None });
        }
        let key = format!("apply-{}", ulid::Ulid::new());
        let mut unpacking = Unpacking { engine: self.clone(), key: key.clone(), is_over: false };
        let applied = async {
            let mounts = self.snapshot_prepare(&key, parent, &temporary()).await?;
            let diff_id = self.diff_apply(layer, mounts).await?;
            // Before it has the name: others take what they find under it for what it says.
            if let (Some(got), Some(expected)) = (&diff_id, expected)
                && got != expected
            {
                self.snapshot_remove(&key).await?;
                return Ok((Committed::Refused, diff_id));
            }
            Ok((self.snapshot_commit(&key, name, labels).await?, diff_id))
        };
        match applied.await {
            Ok((committed, diff_id)) => {
                unpacking.is_over = true;
                Ok(Applied { committed, diff_id })
            }
            Err(error) => {
                self.snapshot_remove(&key).await?;
                unpacking.is_over = true;
                Err(error)
            }
        }
    }

    async fn diff_apply(&self, layer: &Blob, mounts: Vec<Mount>) -> Result<Option<Digest>> {
        let media_type = self.media_type(&layer.digest).await?;
        let descriptor = Descriptor {
            media_type: media_type.to_owned(),
            digest: layer.digest.to_string(),
            size: i64::try_from(layer.bytes).unwrap_or(i64::MAX),
            annotations: std::collections::HashMap::default(),
        };
        let request = ApplyRequest { diff: Some(descriptor), mounts, ..Default::default() };
        let answer = DiffClient::new(self.client().channel())
            .apply(self.request(request))
            .await
            .map_err(self.client().refused("unpack layer", layer.digest.as_str()))?;
        Ok(answer.into_inner().applied.and_then(|applied| applied.digest.parse().ok()))
    }

    pub(crate) async fn rootfs_import(
        &self,
        name: &str,
        archive: Reader,
        labels: &Labels,
    ) -> Result<Applied> {
        if self.snapshot_stat(name).await?.is_some_and(|snapshot| snapshot.committed) {
            return Ok(Applied { committed: Committed::Existed, diff_id: None });
        }
        let blob = self.content_put(archive, None, &temporary()).await?;
        let applied = self.layer_apply(None, name, &blob, None, labels).await;
        self.content_delete(&blob.digest).await?;
        applied
    }

    /// Removes what calls that never ended left behind. Only at start, when no other call can run.
    pub(crate) async fn sweep_temporary(&self) -> Result<()> {
        let labels = Labels::from([(LABEL_TEMPORARY.to_owned(), "1".to_owned())]);
        for snapshot in self.snapshot_list(&labels).await? {
            self.snapshot_remove(&snapshot.key).await?;
        }
        for blob in self.content_list(&labels).await? {
            self.content_delete(&blob.digest).await?;
        }
        Ok(())
    }
}

/// What a layer is being unpacked into. It goes with its files when whoever waits for it goes: containerd ends what is
/// not waited for.
struct Unpacking {
    engine: Engine,
    key: String,
    is_over: bool,
}

impl Drop for Unpacking {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // Without a runtime the host ends; the next start removes it.
        let Ok(handle) = tokio::runtime::Handle::try_current() else { return };
        let (engine, key) = (self.engine.clone(), std::mem::take(&mut self.key));
        handle.spawn(async move {
            let removed = engine.snapshot_remove(&key).await;
            if let Err(error) = removed.and(engine.lease_collect().await) {
                tracing::warn!(snapshot = key, %error, "a layer that was cut off is left until the next start");
            }
        });
    }
}

/// Labels of what lives as long as one call.
pub(crate) fn temporary() -> Labels {
    Labels::from([
        (LABEL_GC_ROOT.to_owned(), windlass_model::Timestamp::now().to_string()),
        (LABEL_TEMPORARY.to_owned(), "1".to_owned()),
    ])
}

/// Runs work that blocks off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    joined(tokio::task::spawn_blocking(work)).await
}

/// What became of work on a thread.
pub(crate) async fn joined<T>(work: JoinHandle<Result<T>>) -> Result<T> {
    match work.await {
        Ok(outcome) => outcome,
        Err(error) => Err(RuntimeError::Io {
            operation: "finish work for",
            path: "containers".into(),
            source: std::io::Error::other(error),
        }),
    }
}

fn to_snapshot(info: Info) -> Snapshot {
    Snapshot {
        committed: info.kind == Kind::Committed as i32,
        created_at: timestamp(info.created_at.as_ref()),
        parent: (!info.parent.is_empty()).then_some(info.parent),
        labels: from_wire(info.labels),
        key: info.name,
    }
}
