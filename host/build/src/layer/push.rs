//! Images to a registry: layers first, several at a time, then the configuration, and the manifest last, so
//! that a name never leads to half an image.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::FutureExt as _;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Handle;
use windlass_containers::Runtime;
use windlass_containers::runtime::Reader;
use windlass_model::deployment::Artifact;
use windlass_model::{Digest, Failure};

use super::Export;
use super::blob::{Piece, Present, failed};
use super::image::{self, Document, Image};
use crate::registry::{MANIFEST_TYPE, Reference, RegistryError, Target, in_memory};

/// Layers on their way at once.
const AT_ONCE: usize = 3;

/// An image that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    /// Its name with its digest.
    pub reference: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Layers in it.
    pub layers: usize,
    /// Bytes that were sent; what the registry had is not.
    pub bytes_sent: u64,
    /// What is worth saying.
    pub notes: Vec<String>,
}

pub(super) async fn push(
    export: &Export,
    artifact: &Artifact,
    output: Option<&str>,
    to: &str,
) -> Result<PushedImage, Failure> {
    let reference = crate::base::parse(to)?;
    if reference.digest.is_some() {
        return Err(Failure::app(
            "registry.invalid-reference",
            "An image cannot be pushed under a digest",
            format!("{to} names one, and a digest comes from the content"),
            format!(
                "windlass push <deployment> {}/{}:TAG",
                reference.registry, reference.repository
            ),
        ));
    }
    let target = Arc::new(export.builder.bases.target(&reference, &export.access));
    let (lease, runtime) = export.builder.work("push", super::WORK_LEASE).await?;
    let work = Push { target, runtime, given: Arc::default() };
    let pushed = work.run(export, artifact, output, &reference).await;
    export.builder.end_work(&lease).await;
    pushed
}

struct Push {
    target: Arc<Target>,
    runtime: Arc<dyn Runtime>,
    /// Bytes of layers that were given to the connection so far, those that are sent again included.
    given: Arc<AtomicU64>,
}

impl Push {
    async fn run(
        &self,
        export: &Export,
        artifact: &Artifact,
        output: Option<&str>,
        reference: &Reference,
    ) -> Result<PushedImage, Failure> {
        // Before anything is made: who may not push is told at once.
        let target = Arc::clone(&self.target);
        self.ask(reference, move || target.check()).await?;
        let target = Arc::clone(&self.target);
        let present: Present<'_> = &move |piece: Piece| {
            let target = Arc::clone(&target);
            Box::pin(async move {
                let look = move || target.offer_blob(&piece.layer.digest, piece.from.as_ref());
                tokio::task::spawn_blocking(look).await.is_ok_and(|there| there.unwrap_or(false))
            })
        };
        let runtime = &*self.runtime;
        let image = image::make(export, runtime, artifact, output, present).await?;
        let bytes_sent =
            self.layers(&image, reference).await? + self.documents(&image, reference).await?;
        let digest = image.manifest.digest.clone();
        Ok(PushedImage {
            reference: format!("{}/{}@{digest}", reference.registry, reference.repository),
            digest,
            layers: image.pieces.len(),
            bytes_sent,
            notes: image.notes,
        })
    }

    async fn layers(&self, image: &Image, reference: &Reference) -> Result<u64, Failure> {
        let mut seen = std::collections::BTreeSet::new();
        let mut sending = Vec::new();
        for piece in &image.pieces {
            if seen.insert(&piece.layer.digest) {
                sending.push(self.layer(piece.clone(), reference).boxed());
            }
        }
        let sent = futures::stream::iter(sending).buffer_unordered(AT_ONCE);
        sent.try_fold(0, |sum, sent| async move { Ok(sum + sent) }).await
    }

    async fn layer(&self, piece: Piece, reference: &Reference) -> Result<u64, Failure> {
        let (target, runtime) = (Arc::clone(&self.target), Arc::clone(&self.runtime));
        let (handle, given) = (Handle::current(), Arc::clone(&self.given));
        self.ask(reference, move || {
            let Piece { layer, from } = piece;
            let open = |from| {
                let opened = handle.block_on(runtime.open_blob(&layer.digest, from));
                let lost = || std::io::Error::other(format!("layer {} is gone", layer.digest));
                let reader = opened.map_err(std::io::Error::other)?.ok_or_else(lost)?;
                let (handle, given) = (handle.clone(), Arc::clone(&given));
                Ok(Box::new(Blocking { reader, handle, given }) as Box<dyn std::io::Read>)
            };
            target.put_blob(&layer.digest, layer.bytes, from.as_ref(), &open)
        })
        .await
    }

    async fn documents(&self, image: &Image, reference: &Reference) -> Result<u64, Failure> {
        let (target, Image { config, manifest, .. }) = (Arc::clone(&self.target), image.clone());
        self.ask(reference, move || {
            let Document { digest, bytes } = &config;
            let sent = target.put_blob(digest, bytes.len() as u64, None, &in_memory(bytes))?;
            target.put_manifest(MANIFEST_TYPE, &manifest.bytes)?;
            Ok(sent)
        })
        .await
    }

    /// Speaks to the registry on a thread of its own.
    async fn ask<T: Send + 'static>(
        &self,
        reference: &Reference,
        work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, Failure> {
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.map_err(|e| {
            failed(windlass_containers::RuntimeError::NotFound {
                what: "end of the work",
                name: e.to_string(),
            })
        })?;
        done.map_err(|e| self.failure(&e, reference))
    }

    /// With how far it came, where the connection broke or nothing was taken from it any more.
    fn failure(&self, error: &RegistryError, reference: &Reference) -> Failure {
        let mut failure = error.push_failure(reference);
        let given = self.given.load(Ordering::Relaxed);
        if given > 0 && matches!(error, RegistryError::Unreachable { .. }) {
            failure.why = format!("{}, after {given} bytes of layers were sent", failure.why);
        }
        failure
    }
}

/// A blob's stream for a thread that may wait.
struct Blocking {
    reader: Reader,
    handle: Handle,
    given: Arc<AtomicU64>,
}

impl std::io::Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.handle.block_on(self.reader.read(buffer))?;
        self.given.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
