//! The [`Runtime`] trait on the fake.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;
use windlass_model::Digest;

use super::{
    FakeRuntime, FakeSnapshot, archive, containers, cut_off, leases, matches, new_snapshot,
    no_snapshot, tree,
};
use crate::error::{Result, RuntimeError};
use crate::runtime::{
    Access, Applied, Attachment, Blob, Committed, Container, ContainerSpec, ExecResult, ExecSpec,
    Exit, Labels, Mounted, Reader, Runtime, Snapshot, Started, TaskStatus, Usage,
};
use crate::spec;

#[async_trait]
impl Runtime for FakeRuntime {
    async fn create_lease(&self, name: &str, labels: &Labels, _: Duration) -> Result<()> {
        self.lease_create(name, labels);
        Ok(())
    }

    async fn delete_lease(&self, name: &str) -> Result<()> {
        leases::delete(&mut self.state(), name);
        Ok(())
    }

    async fn release_lease(&self, name: &str) -> Result<()> {
        leases::release(&mut self.state(), name);
        Ok(())
    }

    async fn collect(&self) -> Result<()> {
        leases::collect(&mut self.state());
        Ok(())
    }

    async fn list_leases(&self, labels: &Labels) -> Result<Vec<String>> {
        Ok(self.lease_list(labels))
    }

    fn leased(&self, lease: &str) -> Arc<dyn Runtime> {
        Arc::new(Self { inner: Arc::clone(&self.inner), lease: Some(lease.to_owned()) })
    }

    async fn put_blob(
        &self,
        mut body: Reader,
        expected: Option<&Digest>,
        labels: &Labels,
    ) -> Result<Blob> {
        let mut bytes = Vec::new();
        let read = body.read_to_end(&mut bytes).await;
        read.map_err(RuntimeError::io("read", "blob"))?;
        let digest = Digest::from_sha256(Sha256::digest(&bytes).into());
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            let (expected, got) = (expected.to_string(), digest.to_string());
            return Err(RuntimeError::DigestMismatch { expected, got });
        }
        let blob =
            Blob { digest: digest.clone(), bytes: bytes.len() as u64, labels: labels.clone() };
        self.hold(leases::Held::Blob(digest.clone()))?;
        let mut state = self.state();
        let entry = state.blobs.entry(digest).or_insert((blob, bytes));
        entry.0.labels.extend(labels.clone());
        Ok(entry.0.clone())
    }

    async fn read_blob(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>> {
        match self.state().blobs.get(digest) {
            Some((blob, _)) if blob.bytes > bytes_max => Err(RuntimeError::TooLarge {
                name: digest.to_string(),
                bytes: blob.bytes,
                bytes_max,
            }),
            found => Ok(found.map(|(_, bytes)| bytes.clone())),
        }
    }

    async fn open_blob(&self, digest: &Digest, offset: u64) -> Result<Option<Reader>> {
        let state = self.state();
        let Some((_, bytes)) = state.blobs.get(digest) else { return Ok(None) };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Some(Box::new(std::io::Cursor::new(bytes[from..].to_vec()))))
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<Blob>> {
        Ok(self.state().blobs.get(digest).map(|(blob, _)| blob.clone()))
    }

    async fn list_blobs(&self, labels: &Labels) -> Result<Vec<Blob>> {
        let state = self.state();
        let blobs = state.blobs.values().map(|(blob, _)| blob);
        Ok(blobs.filter(|blob| matches(&blob.labels, labels)).cloned().collect())
    }

    async fn label_blob(&self, digest: &Digest, labels: &Labels) -> Result<()> {
        match self.state().blobs.get_mut(digest) {
            Some((blob, _)) => blob.labels.extend(labels.clone()),
            None => {
                return Err(RuntimeError::NotFound { what: "resource", name: digest.to_string() });
            }
        }
        Ok(())
    }

    async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        self.state().blobs.remove(digest);
        Ok(())
    }

    async fn prepare_snapshot(
        &self,
        key: &str,
        parent: Option<&str>,
        labels: &Labels,
    ) -> Result<()> {
        if self.state().snapshots.contains_key(key) {
            return Ok(());
        }
        self.hold(leases::Held::Snapshot(key.to_owned()))?;
        let path = self.fresh_dir()?;
        if let Some(parent) = parent {
            let from = self.state().snapshots.get(parent).cloned();
            let from = from.filter(|it| it.info.committed).ok_or_else(|| no_snapshot(parent))?;
            tree::copy(&from.path, &path)?;
        }
        let info = new_snapshot(key, parent, false, labels);
        self.state().snapshots.insert(key.to_owned(), FakeSnapshot { info, path });
        Ok(())
    }

    async fn commit_snapshot(&self, key: &str, name: &str, labels: &Labels) -> Result<Committed> {
        self.hold(leases::Held::Snapshot(name.to_owned()))?;
        let mut state = self.state();
        let work = state.snapshots.remove(key);
        if let Some(there) = state.snapshots.get_mut(name) {
            there.info.labels.extend(labels.clone());
            return Ok(Committed::Existed);
        }
        let work = work.ok_or_else(|| no_snapshot(key))?;
        let info = new_snapshot(name, work.info.parent.as_deref(), true, labels);
        state.snapshots.insert(name.to_owned(), FakeSnapshot { info, path: work.path });
        Ok(Committed::New)
    }

    async fn snapshot(&self, key: &str) -> Result<Option<Snapshot>> {
        Ok(self.state().snapshots.get(key).map(|it| it.info.clone()))
    }

    async fn list_snapshots(&self, labels: &Labels) -> Result<Vec<Snapshot>> {
        let state = self.state();
        let all = state.snapshots.values().map(|it| &it.info);
        Ok(all.filter(|info| matches(&info.labels, labels)).cloned().collect())
    }

    async fn label_snapshot(&self, key: &str, labels: &Labels) -> Result<()> {
        let mut state = self.state();
        let snapshot = state
            .snapshots
            .get_mut(key)
            .ok_or_else(|| RuntimeError::NotFound { what: "resource", name: key.to_owned() })?;
        snapshot.info.labels.extend(labels.clone());
        Ok(())
    }

    async fn remove_snapshot(&self, key: &str) -> Result<()> {
        let mut state = self.state();
        if state.snapshots.values().any(|it| it.info.parent.as_deref() == Some(key)) {
            return Err(RuntimeError::Refused {
                operation: "remove snapshot",
                name: key.to_owned(),
                why: "others are built on it".to_owned(),
            });
        }
        if let Some(gone) = state.snapshots.remove(key) {
            let _ = std::fs::remove_dir_all(gone.path);
        }
        Ok(())
    }

    /// A snapshot here is a whole tree, so the chain is one directory.
    async fn snapshot_dirs(&self, name: &str) -> Result<Vec<std::path::PathBuf>> {
        let state = self.state();
        let found = state.snapshots.get(name).filter(|it| it.info.committed);
        Ok(vec![found.ok_or_else(|| no_snapshot(name))?.path.clone()])
    }

    async fn snapshot_bytes(&self, key: &str) -> Result<u64> {
        let found = self.state().snapshots.get(key).cloned();
        tree::bytes(&found.ok_or_else(|| no_snapshot(key))?.path)
    }

    async fn mount_snapshot(&self, key: &str, access: Access) -> Result<Mounted> {
        let found = self.state().snapshots.get(key).cloned().ok_or_else(|| no_snapshot(key))?;
        if found.info.committed && access == Access::ReadWrite {
            return Err(RuntimeError::Invalid {
                what: "snapshot to write",
                given: key.to_owned(),
                rule: "a committed snapshot never changes: prepare a new one on it",
            });
        }
        Ok(Mounted::new(found.path, || {}))
    }

    async fn apply_layer(
        &self,
        parent: Option<&str>,
        name: &str,
        layer: &Digest,
        expected: Option<&Digest>,
        labels: &Labels,
    ) -> Result<Applied> {
        if self.snapshot(name).await?.is_some() {
            return Ok(Applied { committed: Committed::Existed, diff_id: None });
        }
        let Some(bytes) = self.read_blob(layer, u64::MAX).await? else {
            return Err(RuntimeError::NotFound { what: "blob", name: layer.to_string() });
        };
        let key = format!("apply-{}", ulid::Ulid::new());
        self.prepare_snapshot(&key, parent, labels).await?;
        let mounted = self.mount_snapshot(&key, Access::ReadWrite).await?;
        let diff_id = archive::apply(&bytes, mounted.path())?;
        if expected.is_some_and(|expected| *expected != diff_id) {
            drop(mounted);
            self.remove_snapshot(&key).await?;
            return Ok(Applied { committed: Committed::Refused, diff_id: Some(diff_id) });
        }
        let committed = self.commit_snapshot(&key, name, labels).await?;
        Ok(Applied { committed, diff_id: Some(diff_id) })
    }

    async fn import_rootfs(&self, name: &str, archive: Reader, labels: &Labels) -> Result<Applied> {
        let blob = self.put_blob(archive, None, &Labels::new()).await?;
        let applied = self.apply_layer(None, name, &blob.digest, None, labels).await;
        self.delete_blob(&blob.digest).await?;
        applied
    }

    async fn ensure_network(&self, name: &str) -> Result<Ipv4Addr> {
        let mut state = self.state();
        let next = u8::try_from(state.networks.len()).unwrap_or(u8::MAX);
        let third = *state.networks.entry(name.to_owned()).or_insert(next);
        Ok(Ipv4Addr::new(10, 255, third, 1))
    }

    async fn remove_network(&self, name: &str) -> Result<()> {
        let mut state = self.state();
        if let Some(member) = containers::member(&state, name) {
            return Err(RuntimeError::Network {
                network: name.to_owned(),
                operation: "removal",
                why: format!("container {member} is in it"),
            });
        }
        state.networks.remove(name);
        Ok(())
    }

    async fn allow(&self, network: &str, destinations: &[SocketAddrV4]) -> Result<()> {
        if !destinations.is_empty() {
            self.ensure_network(network).await?;
        }
        Ok(())
    }

    /// Its networks are the machine's own.
    async fn dial(
        &self,
        _name: &str,
        network: &str,
        addresses: &[SocketAddr],
        timeout: Duration,
    ) -> Result<Vec<Option<String>>> {
        self.ensure_network(network).await?;
        let mut outcomes = Vec::new();
        for address in addresses {
            let connecting = tokio::net::TcpStream::connect(address);
            outcomes.push(match tokio::time::timeout(timeout, connecting).await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            });
        }
        Ok(outcomes)
    }

    async fn list_networks(&self) -> Result<Vec<String>> {
        Ok(self.state().networks.keys().cloned().collect())
    }

    async fn ensure_place(&self, name: &str, attachment: &Attachment) -> Result<()> {
        spec::check_id(name)?;
        self.ensure_network(&attachment.network).await?;
        self.state().places.insert(name.to_owned(), attachment.network.clone());
        Ok(())
    }

    async fn remove_place(&self, name: &str) -> Result<()> {
        spec::check_id(name)?;
        self.state().places.remove(name);
        Ok(())
    }

    async fn list_places(&self, prefix: &str) -> Result<Vec<String>> {
        let state = self.state();
        Ok(state.places.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    async fn create_and_start(&self, spec: &ContainerSpec) -> Result<Started> {
        self.start_container(spec).await
    }

    async fn start_once(&self, spec: &ContainerSpec) -> Result<Started> {
        let status = self.state().cut_off.take();
        let started = self.start_container(spec).await?;
        let Some(status) = status else { return Ok(started) };
        if let Some(container) = self.state().containers.get_mut(&spec.id) {
            container.status = status;
        }
        Err(cut_off())
    }

    async fn wait(&self, id: &str) -> Result<Exit> {
        self.wait_container(id).await
    }

    async fn status(&self, id: &str) -> Result<Option<TaskStatus>> {
        Ok(self.state().containers.get(id).map(|it| it.status))
    }

    async fn kill(&self, id: &str, signal: i32, _all: bool) -> Result<()> {
        containers::signal(&mut self.state(), id, signal);
        Ok(())
    }

    async fn delete(&self, id: &str) -> Result<()> {
        self.delete_container(id).await
    }

    async fn list(&self, labels: &Labels) -> Result<Vec<Container>> {
        let mut state = self.state();
        if std::mem::take(&mut state.list_cut_off) {
            return Err(cut_off());
        }
        let all = state.containers.values().filter(|it| matches(&it.spec.labels, labels));
        Ok(all.map(containers::FakeContainer::public).collect())
    }

    async fn exec(&self, id: &str, command: &ExecSpec) -> Result<ExecResult> {
        self.exec_in_container(id, command)
    }

    async fn usage(&self, id: &str) -> Result<Option<Usage>> {
        let running = matches!(self.status(id).await?, Some(TaskStatus::Running { .. }));
        Ok(running.then_some(Usage {
            memory_bytes: 1 << 20,
            memory_limit_bytes: 0,
            cpu_us: 0,
            pids: 1,
            oom_kills: 0,
        }))
    }
}
