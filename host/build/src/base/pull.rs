//! An image of a registry as a committed snapshot: layer by layer, each named by its chain id, so that
//! images share what they have in common.

use std::path::Path;
use std::sync::Arc;

use windlass_containers::{Labels, Runtime, RuntimeError};
use windlass_model::{Digest, Failure};

use super::{BaseImage, Report};
use crate::http::into_async;
use crate::registry::{
    Access, Client, ImageManifest, ImageSource, Layer, Layout, Reference, RegistryError,
};

/// Why a pull failed: the registry, or the runtime.
pub(super) enum PullError {
    /// The registry.
    Registry(RegistryError),
    /// Anything else.
    Other(Failure),
}

/// Reads the manifest. Blocking work is done on its own thread.
pub(super) async fn manifest(client: &Image) -> Result<ImageManifest, PullError> {
    let client = Arc::clone(client);
    tokio::task::spawn_blocking(move || client.manifest())
        .await
        .map_err(|e| PullError::Other(broken(&e)))?
        .map_err(PullError::Registry)
}

/// Where an image is read from.
pub(super) type Image = Arc<dyn ImageSource>;

/// The registry of an image, or the folder that it was uploaded to.
pub(super) async fn open(
    reference: &Reference,
    certificates: Option<&Path>,
    access: &Access,
) -> Result<Image, PullError> {
    let Some(dir) = access.uploaded(reference).cloned() else {
        let login = access.login(reference);
        return Ok(Arc::new(Client::new(reference.clone(), certificates, login)));
    };
    let opened = tokio::task::spawn_blocking(move || Layout::open(&dir)).await;
    let layout = opened.map_err(|e| PullError::Other(broken(&e)))?.map_err(PullError::Other)?;
    Ok(Arc::new(layout))
}

/// Downloads the layers that are missing and commits them. `runtime` is under a lease.
pub(super) async fn unpack(
    runtime: &dyn Runtime,
    client: &Image,
    reference: &Reference,
    manifest: ImageManifest,
    report: &Report,
) -> Result<BaseImage, PullError> {
    let mut parent: Option<String> = None;
    let mut chain: Option<Digest> = None;
    let total = manifest.layers.len();
    for (n, layer) in manifest.layers.iter().enumerate() {
        let id = chain_id(chain.as_ref(), &layer.diff_id);
        let name = format!("image-{}", id.hex());
        let known = runtime.snapshot(&name).await.map_err(PullError::runtime)?;
        if known.is_none_or(|s| !s.committed) {
            let mib = layer.bytes.div_ceil(1 << 20);
            report.say(format!("pulling {reference}: layer {} of {total}, {mib} MiB", n + 1));
            apply(runtime, client, parent.as_deref(), &name, layer).await?;
        }
        (parent, chain) = (Some(name), Some(id));
    }
    let snapshot = match parent {
        Some(name) => name,
        None => empty(runtime).await?,
    };
    Ok(BaseImage {
        snapshot,
        digest: manifest.digest,
        reference: named(reference),
        config: manifest.config,
        toolchains: Vec::new(),
    })
}

/// What a base is called: a tag says more than its digest, which is told beside it.
fn named(reference: &Reference) -> String {
    match &reference.tag {
        Some(_) => Reference { digest: None, ..reference.clone() }.to_string(),
        None => reference.to_string(),
    }
}

async fn apply(
    runtime: &dyn Runtime,
    client: &Image,
    parent: Option<&str>,
    name: &str,
    layer: &Layer,
) -> Result<(), PullError> {
    let (reader, wanted) = (Arc::clone(client), layer.clone());
    let body = tokio::task::spawn_blocking(move || reader.layer(&wanted))
        .await
        .map_err(|e| PullError::Other(broken(&e)))?
        .map_err(PullError::Registry)?;
    let labels = Labels::new();
    let stored = runtime.put_blob(into_async(body), Some(&layer.digest), &labels).await;
    stored.map_err(PullError::runtime)?;
    let applied = runtime
        .apply_layer(parent, name, &layer.digest, &labels)
        .await
        .map_err(PullError::runtime)?;
    match applied.diff_id {
        Some(got) if got != layer.diff_id => {
            runtime.remove_snapshot(name).await.map_err(PullError::runtime)?;
            let what = format!("the content of layer {}", layer.digest.short());
            let expected = layer.diff_id.clone();
            Err(PullError::Registry(RegistryError::DigestMismatch { what, expected, got }))
        }
        _ => Ok(()),
    }
}

/// An image without layers is an empty file system.
async fn empty(runtime: &dyn Runtime) -> Result<String, PullError> {
    let (key, name) = ("image-empty-making", "image-empty".to_owned());
    let labels = Labels::new();
    runtime.prepare_snapshot(key, None, &labels).await.map_err(PullError::runtime)?;
    runtime.commit_snapshot(key, &name, &labels).await.map_err(PullError::runtime)?;
    Ok(name)
}

/// The chain id of the image specification.
fn chain_id(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    match parent {
        None => diff_id.clone(),
        Some(parent) => Digest::of(format!("{parent} {diff_id}").as_bytes()),
    }
}

fn broken(error: &tokio::task::JoinError) -> Failure {
    Failure::host(
        "base.interrupted",
        "Pulling the image was interrupted",
        error.to_string(),
        "deploy again",
    )
}

impl PullError {
    fn runtime(error: RuntimeError) -> Self {
        if let RuntimeError::DigestMismatch { expected, got } = &error
            && let (Ok(expected), Ok(got)) = (expected.parse(), got.parse())
        {
            let what = "a layer".to_owned();
            return Self::Registry(RegistryError::DigestMismatch { what, expected, got });
        }
        Self::Other(error.failure("A layer of the image could not be stored"))
    }

    /// As a step's failure.
    pub(super) fn failure(self, reference: &Reference) -> Failure {
        match self {
            Self::Registry(error) => error.failure(reference),
            Self::Other(failure) => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_are_those_of_the_specification() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(chain_id(None, &a), a);
        assert_eq!(chain_id(Some(&a), &b), Digest::of(format!("{a} {b}").as_bytes()));
    }
}
