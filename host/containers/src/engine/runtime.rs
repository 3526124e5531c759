//! The [`Runtime`] trait on the engine: each call goes to the module that knows its service.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use windlass_model::Digest;

use super::Engine;
use super::again::again;
use crate::error::{Result, RuntimeError};
use crate::runtime::{
    Access, Applied, Attachment, Blob, Committed, Container, ContainerSpec, ExecResult, ExecSpec,
    Exit, Labels, Mounted, Reader, Runtime, Session, SessionSpec, Snapshot, Started, TaskStatus,
    TerminalSize, Usage,
};
use crate::snapshots::blocking;
use crate::spec;
use crate::unlinked;

#[async_trait]
impl Runtime for Engine {
    async fn create_lease(&self, name: &str, labels: &Labels, expires_in: Duration) -> Result<()> {
        again(|| self.lease_create(name, labels, expires_in)).await
    }

    async fn delete_lease(&self, name: &str) -> Result<()> {
        again(|| self.lease_delete(name, true)).await
    }

    async fn release_lease(&self, name: &str) -> Result<()> {
        again(|| self.lease_delete(name, false)).await
    }

    async fn collect(&self) -> Result<()> {
        again(|| self.lease_collect()).await
    }

    async fn list_leases(&self, labels: &Labels) -> Result<Vec<String>> {
        again(|| self.lease_list(labels)).await
    }

    fn leased(&self, lease: &str) -> Arc<dyn Runtime> {
        Arc::new(self.with_lease(lease))
    }

    async fn put_blob(
        &self,
        body: Reader,
        expected: Option<&Digest>,
        labels: &Labels,
    ) -> Result<Blob> {
        self.content_put(body, expected, labels).await
    }

    async fn read_blob(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>> {
        again(|| self.content_read(digest, bytes_max)).await
    }

    async fn open_blob(&self, digest: &Digest, offset: u64) -> Result<Option<Reader>> {
        again(|| self.content_open(digest, offset)).await
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<Blob>> {
        again(|| self.content_info(digest)).await
    }

    async fn list_blobs(&self, labels: &Labels) -> Result<Vec<Blob>> {
        again(|| self.content_list(labels)).await
    }

    async fn label_blob(&self, digest: &Digest, labels: &Labels) -> Result<()> {
        again(|| self.content_label(digest, labels)).await
    }

    async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        again(|| self.content_delete(digest)).await
    }

    async fn prepare_snapshot(
        &self,
        key: &str,
        parent: Option<&str>,
        labels: &Labels,
    ) -> Result<()> {
        again(|| self.snapshot_prepare(key, parent, labels)).await.map(drop)
    }

    async fn commit_snapshot(&self, key: &str, name: &str, labels: &Labels) -> Result<Committed> {
        again(|| self.snapshot_commit(key, name, labels)).await
    }

    async fn snapshot(&self, key: &str) -> Result<Option<Snapshot>> {
        again(|| self.snapshot_stat(key)).await
    }

    async fn list_snapshots(&self, labels: &Labels) -> Result<Vec<Snapshot>> {
        again(|| self.snapshot_list(labels)).await
    }

    async fn label_snapshot(&self, key: &str, labels: &Labels) -> Result<()> {
        again(|| self.snapshot_label(key, labels)).await
    }

    async fn remove_snapshot(&self, key: &str) -> Result<()> {
        again(|| self.snapshot_remove(key)).await
    }

    async fn snapshot_dirs(&self, name: &str) -> Result<Vec<std::path::PathBuf>> {
        again(|| self.snapshot_chain_dirs(name)).await
    }

    async fn snapshot_bytes(&self, key: &str) -> Result<u64> {
        again(|| self.snapshot_usage(key)).await
    }

    async fn mount_snapshot(&self, key: &str, access: Access) -> Result<Mounted> {
        self.snapshot_mount(key, access).await
    }

    async fn apply_layer(
        &self,
        parent: Option<&str>,
        name: &str,
        layer: &Digest,
        expected: Option<&Digest>,
        labels: &Labels,
    ) -> Result<Applied> {
        let Some(blob) = self.content_info(layer).await? else {
            return Err(RuntimeError::NotFound { what: "blob", name: layer.to_string() });
        };
        self.layer_apply(parent, name, &blob, expected, labels).await
    }

    async fn import_rootfs(&self, name: &str, archive: Reader, labels: &Labels) -> Result<Applied> {
        self.rootfs_import(name, archive, labels).await
    }

    async fn ensure_network(&self, name: &str) -> Result<Ipv4Addr> {
        let (network, name) = (self.network(), name.to_owned());
        blocking(move || network.ensure(&name)).await
    }

    async fn remove_network(&self, name: &str) -> Result<()> {
        let (network, name) = (self.network(), name.to_owned());
        blocking(move || network.remove(&name)).await
    }

    async fn allow(&self, network: &str, destinations: &[SocketAddrV4]) -> Result<()> {
        let (driver, name, to) = (self.network(), network.to_owned(), destinations.to_vec());
        blocking(move || driver.allow(&name, &to)).await
    }

    async fn dial(
        &self,
        name: &str,
        network: &str,
        addresses: &[SocketAddr],
        timeout: Duration,
    ) -> Result<Vec<Option<String>>> {
        let (driver, name) = (self.network(), name.to_owned());
        let (network, addresses) = (network.to_owned(), addresses.to_vec());
        blocking(move || driver.dial(&name, &network, &addresses, timeout)).await
    }

    async fn list_networks(&self) -> Result<Vec<String>> {
        let network = self.network();
        blocking(move || network.list()).await
    }

    async fn ensure_place(&self, name: &str, attachment: &Attachment) -> Result<()> {
        spec::check_id(name)?;
        let (network, name, attachment) = (self.network(), name.to_owned(), attachment.clone());
        blocking(move || network.ensure_place(&name, &attachment)).await
    }

    async fn remove_place(&self, name: &str) -> Result<()> {
        spec::check_id(name)?;
        let (network, name) = (self.network(), name.to_owned());
        blocking(move || network.detach(&name)).await
    }

    async fn list_places(&self, prefix: &str) -> Result<Vec<String>> {
        let (network, prefix) = (self.network(), prefix.to_owned());
        blocking(move || network.places(&prefix)).await
    }

    async fn create_and_start(&self, spec: &ContainerSpec) -> Result<Started> {
        let started = again(|| self.container_ensure(spec)).await;
        if let Err(RuntimeError::Unavailable { .. }) = &started
            && let Err(left) = self.container_delete(&spec.id).await
        {
            tracing::warn!(id = spec.id, error = %left, "a start that was cut off left something");
        }
        started
    }

    async fn start_once(&self, spec: &ContainerSpec) -> Result<Started> {
        let may_run = AtomicBool::new(false);
        let started = again(|| async {
            match self.container_start_once(spec, &may_run).await {
                Err(error @ RuntimeError::Unavailable { .. })
                    if !may_run.load(Ordering::SeqCst) =>
                {
                    Err(error)
                }
                // No other try, whatever it is.
                outcome => Ok(outcome),
            }
        });
        started.await?
    }

    async fn wait(&self, id: &str) -> Result<Exit> {
        self.task_wait(id).await
    }

    async fn status(&self, id: &str) -> Result<Option<TaskStatus>> {
        again(|| self.container_status(id)).await
    }

    async fn kill(&self, id: &str, signal: i32, all: bool) -> Result<()> {
        again(|| self.task_kill(id, signal, all)).await
    }

    async fn freeze(&self, id: &str) -> Result<()> {
        again(|| self.task_freeze(id)).await
    }

    async fn thaw(&self, id: &str) -> Result<()> {
        again(|| self.task_thaw(id)).await
    }

    async fn forks_refused(&self, id: &str) -> Result<u64> {
        Ok(self.cgroup(id).forks_refused())
    }

    async fn unlinked_bytes(&self, id: &str) -> Result<u64> {
        let group = self.cgroup(id);
        blocking(move || Ok(unlinked::bytes(&group.processes()))).await
    }

    async fn delete(&self, id: &str) -> Result<()> {
        again(|| self.container_delete(id)).await
    }

    async fn list(&self, labels: &Labels) -> Result<Vec<Container>> {
        again(|| self.container_list(labels)).await
    }

    async fn exec(&self, id: &str, command: &ExecSpec) -> Result<ExecResult> {
        self.task_exec(id, command).await
    }

    async fn open_session(&self, id: &str, spec: &SessionSpec) -> Result<Session> {
        self.session_open(id, spec).await
    }

    async fn run_session(
        &self,
        spec: &ContainerSpec,
        terminal: Option<TerminalSize>,
    ) -> Result<Session> {
        self.session_run(spec, terminal).await
    }

    async fn usage(&self, id: &str) -> Result<Option<Usage>> {
        match self.container_status(id).await? {
            Some(TaskStatus::Running { .. }) => Ok(self.cgroup(id).usage()),
            _ => Ok(None),
        }
    }
}
