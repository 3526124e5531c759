//! An image of a registry as a committed snapshot: layer by layer, each named by its chain id, so that
//! images share what they have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use windlass_containers::{Labels, Runtime, RuntimeError};
use windlass_model::{Digest, Failure};

use super::room::Room;
use super::{BaseImage, Inner, Report};
use crate::layer::note;
use crate::registry::{
    Access, ImageManifest, ImageSource, Layer, Layout, Reference, RegistryError, download,
};
use crate::settled;

/// Why a pull failed: the registry, or the runtime.
pub(super) enum PullError {
    /// The registry.
    Registry(RegistryError),
    /// Anything else.
    Other(Failure),
}

/// Reads the manifest, as far as another is not known. Blocking work is done on its own thread.
pub(super) async fn manifest(
    client: &Image,
    known: Option<ImageManifest>,
) -> Result<ImageManifest, PullError> {
    let client = Arc::clone(client);
    tokio::task::spawn_blocking(move || client.manifest(known))
        .await
        .map_err(|e| PullError::Other(broken(&e)))?
        .map_err(PullError::Registry)
}

/// Where an image is read from.
pub(super) type Image = Arc<dyn ImageSource>;

/// The registry of an image with its mirrors, or the folder that it was uploaded to. A registry that is away, for this
/// reason, is not asked.
pub(super) async fn open(
    reference: &Reference,
    bases: &Inner,
    access: &Access,
    away: Option<String>,
) -> Result<Image, PullError> {
    let Some(dir) = access.uploaded(reference).cloned() else {
        return Ok(Arc::new(bases.client(reference, access).away(away)));
    };
    let opened = tokio::task::spawn_blocking(move || Layout::open(&dir)).await;
    let layout = opened.map_err(|e| PullError::Other(broken(&e)))?.map_err(PullError::Other)?;
    Ok(Arc::new(layout))
}

/// Time for all downloads of an image: its lease is to outlive them by far. A registry that keeps to its least
/// speed may still send very much.
const DOWNLOADS_TIME_MAX: Duration = Duration::from_secs(90 * 60);

/// Downloads the layers that are missing, several at once, and commits them in order. `runtime` is under a
/// lease. It ends before the next layer when nobody waits for it any more.
pub(super) async fn unpack(
    runtime: &Arc<dyn Runtime>,
    client: &Image,
    reference: &Reference,
    manifest: ImageManifest,
    report: &Report,
    room: &Room,
) -> Result<BaseImage, PullError> {
    let (mut wanted, mut places) = (Vec::new(), Vec::new());
    for (layer, name) in manifest.layers.iter().zip(names(&manifest.layers)) {
        let place = settled::place(&**runtime, name).await;
        let (name, present) = place.map_err(PullError::runtime)?;
        wanted.push((layer.clone(), present));
        places.push(name);
    }
    let missing = wanted.iter().filter(|(_, present)| !present);
    let bytes = missing.fold(0_u64, |sum, (layer, _)| sum.saturating_add(layer.bytes));
    if bytes > 0 {
        room.check(reference, bytes).map_err(PullError::Other)?;
    }
    let mut downloads = Downloads::start(runtime, client, &wanted);
    let mut parent: Option<String> = None;
    let total = wanted.len();
    let until = tokio::time::Instant::now() + DOWNLOADS_TIME_MAX;
    for (n, ((layer, present), name)) in wanted.iter().zip(places).enumerate() {
        if !present {
            let mib = layer.bytes.div_ceil(1 << 20);
            report.say(format!("pulling {reference}: layer {} of {total}, {mib} MiB", n + 1));
            tokio::select! {
                done = downloads.wait(n) => done?,
                () = report.unheard() => return Err(PullError::Other(unheard())),
                failure = room.is_over(reference) => return Err(PullError::Other(failure)),
                () = tokio::time::sleep_until(until) => return Err(too_slow(reference, n, total)),
            }
            tokio::select! {
                applied = apply(&**runtime, client, parent.as_deref(), &name, layer) => applied?,
                failure = room.is_over(reference) => return Err(PullError::Other(failure)),
            }
            // It may have been quicker than the looks.
            room.check(reference, 0).map_err(PullError::Other)?;
        }
        parent = Some(name);
    }
    let snapshot = match parent {
        Some(name) => name,
        None => empty(&**runtime).await?,
    };
    Ok(BaseImage {
        snapshot,
        digest: manifest.digest,
        reference: named(reference),
        config: manifest.config,
        toolchains: Vec::new(),
    })
}

/// Layers that are downloaded at once.
const AT_ONCE: usize = 3;

/// Downloads of layers, each on a task of its own, which ends with this.
struct Downloads {
    tasks: JoinSet<()>,
    done: Vec<Option<oneshot::Receiver<Downloaded>>>,
}

type Downloaded = Result<Result<(), RegistryError>, RuntimeError>;

impl Downloads {
    /// Begins with the layers whose snapshots are not there.
    fn start(runtime: &Arc<dyn Runtime>, image: &Image, wanted: &[(Layer, bool)]) -> Self {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let (mut tasks, mut done) = (JoinSet::new(), Vec::new());
        for (layer, present) in wanted {
            if *present {
                done.push(None);
                continue;
            }
            let (send, receive) = oneshot::channel();
            let (runtime, image) = (Arc::clone(runtime), Arc::clone(image));
            let (layer, permits) = (layer.clone(), Arc::clone(&permits));
            tasks.spawn(async move {
                // The first ones begin first: who waits for a permit waits in a line.
                let _permit = permits.acquire_owned().await;
                let _nobody_waits = send.send(download(&*runtime, &image, &layer).await);
            });
            done.push(Some(receive));
        }
        Self { tasks, done }
    }

    async fn wait(&mut self, n: usize) -> Result<(), PullError> {
        let Some(done) = self.done.get_mut(n).and_then(Option::take) else { return Ok(()) };
        match done.await {
            Ok(outcome) => outcome.map_err(PullError::runtime)?.map_err(PullError::Registry),
            Err(_) => {
                let ended = self.tasks.join_next().await;
                let why = ended.map_or_else(String::new, |ended| format!("{ended:?}"));
                Err(PullError::Other(interrupted(why)))
            }
        }
    }
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
    image: &Image,
    parent: Option<&str>,
    name: &str,
    layer: &Layer,
) -> Result<(), PullError> {
    let mut labels = image.origin().map(|from| note(layer, Some(from))).unwrap_or_default();
    labels.extend([settled::unsynced()]);
    let applied = runtime
        .apply_layer(parent, name, &layer.digest, Some(&layer.diff_id), &labels)
        .await
        .map_err(PullError::runtime)?;
    match applied.diff_id {
        Some(got) if got != layer.diff_id => {
            let what = format!("the content of layer {}", layer.digest.short());
            let expected = layer.diff_id.clone();
            Err(PullError::Registry(RegistryError::DigestMismatch { what, expected, got }))
        }
        _ => Ok(()),
    }
}

/// An image without layers is an empty file system.
async fn empty(runtime: &dyn Runtime) -> Result<String, PullError> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    // Somebody else may make it now.
    let key = format!("image-empty-making-{}", MADE.fetch_add(1, Ordering::Relaxed));
    let (name, labels) = ("image-empty".to_owned(), Labels::new());
    runtime.prepare_snapshot(&key, None, &labels).await.map_err(PullError::runtime)?;
    runtime.commit_snapshot(&key, &name, &labels).await.map_err(PullError::runtime)?;
    Ok(name)
}

/// The snapshots of an image: each is named by the layers up to it.
fn names(layers: &[Layer]) -> Vec<String> {
    let mut chain: Option<Digest> = None;
    let name = |layer: &Layer| {
        let id = chain_id(chain.as_ref(), &layer.diff_id);
        let name = format!("image-{}", id.hex());
        chain = Some(id);
        name
    };
    layers.iter().map(name).collect()
}

/// The chain id of the image specification.
fn chain_id(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    match parent {
        None => diff_id.clone(),
        Some(parent) => Digest::of(format!("{parent} {diff_id}").as_bytes()),
    }
}

fn too_slow(reference: &Reference, layers: usize, total: usize) -> PullError {
    let minutes = DOWNLOADS_TIME_MAX.as_secs() / 60;
    let why = format!("{layers} of {total} layers of {reference} came in {minutes} minutes");
    PullError::Registry(RegistryError::TooSlow { host: reference.host().to_owned(), why })
}

/// Why a pull has ended that nobody waits for; nobody reads it.
pub(super) fn unheard() -> Failure {
    interrupted("what asked for it has ended".to_owned())
}

fn broken(error: &tokio::task::JoinError) -> Failure {
    interrupted(error.to_string())
}

fn interrupted(why: String) -> Failure {
    Failure::host("base.interrupted", "Pulling the image was interrupted", why, "deploy again")
}

impl PullError {
    fn runtime(error: RuntimeError) -> Self {
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
