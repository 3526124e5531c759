//! Layers as blobs of the content store.
//!
//! A layer is written as a stream: the tar is hashed, compressed and stored as it is made. What came of it
//! is noted on its snapshot, which then keeps the blob. Of a pulled base the registry's own blob is noted,
//! and fetched again when it is needed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;
use tokio_util::io::StreamReader;
use windlass_containers::runtime::Reader;
use windlass_containers::{Labels, Runtime, RuntimeError};
use windlass_model::{Digest, Failure};

use super::Export;
use super::room::Room;
use super::walk::{self, WalkError};
use crate::pipe::Pipe;
use crate::registry::{Client, Layer, Reference, RegistryError};

/// On a snapshot: its layer's media type, digest, size and diff id.
pub(crate) const LABEL_LAYER: &str = "windlass.layer";
/// On a snapshot of a pulled image: the registry and repository that have its layer.
pub(crate) const LABEL_LAYER_FROM: &str = "windlass.layer.from";
/// On a snapshot: keeps the layer's blob.
const LABEL_GC_REF_LAYER: &str = "containerd.io/gc.ref.content.layer";
/// On a layer's blob, as containerd itself notes it.
const LABEL_UNCOMPRESSED: &str = "containerd.io/uncompressed";

const MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Fast rather than small: most of a layer is code that compresses well at any level.
const LEVEL: u32 = 4;

/// A layer of an image that is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) layer: Layer,
    /// Of a pulled base.
    pub(super) from: Option<Reference>,
}

/// Whether a layer of a pulled base is already where the image is going.
pub(super) type Present<'a> = &'a (dyn Fn(Piece) -> BoxFuture<'static, bool> + Send + Sync);

/// The note of a snapshot about its layer.
pub(crate) fn note(layer: &Layer, from: Option<&Reference>) -> Labels {
    let Layer { digest, bytes, diff_id, media_type } = layer;
    let text = format!("{media_type} {digest} {bytes} {diff_id}");
    let mut labels = Labels::from([(LABEL_LAYER.to_owned(), text)]);
    match from {
        Some(from) => {
            let from = format!("{}/{}", from.registry, from.repository);
            labels.insert(LABEL_LAYER_FROM.to_owned(), from);
        }
        None => {
            labels.insert(LABEL_GC_REF_LAYER.to_owned(), digest.to_string());
        }
    }
    labels
}

/// The blob that a snapshot with these labels keeps.
pub(crate) fn kept(labels: &Labels) -> Option<Digest> {
    labels.get(LABEL_GC_REF_LAYER)?.parse().ok()
}

fn noted(labels: &Labels) -> Option<Piece> {
    let mut words = labels.get(LABEL_LAYER)?.split(' ');
    let layer = Layer {
        media_type: words.next()?.to_owned(),
        digest: words.next()?.parse().ok()?,
        bytes: words.next()?.parse().ok()?,
        diff_id: words.next()?.parse().ok()?,
    };
    let from = labels.get(LABEL_LAYER_FROM);
    let from = from.and_then(|from| format!("{from}@{}", layer.digest).parse().ok());
    Some(Piece { layer, from })
}

/// A snapshot of a chain, and the directory with what it changed.
struct Link {
    snapshot: String,
    labels: Labels,
    dir: PathBuf,
}

/// The layers of a committed snapshot, the lowest first. Those of pulled bases are not fetched unless
/// `present` says that they are not where the image is going.
pub(super) async fn layers(
    export: &Export,
    runtime: &dyn Runtime,
    snapshot: &str,
    present: Present<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Piece>, Failure> {
    let mut pieces = Vec::new();
    for link in chain(runtime, snapshot).await? {
        let known = match noted(&link.labels) {
            Some(piece) => at_hand(export, runtime, piece, present, notes).await?,
            None => None,
        };
        if let Some(piece) = known {
            pieces.push(piece);
            continue;
        }
        if walk::is_empty(&link.dir).map_err(|e| unreadable(&link.dir, &e))? {
            continue;
        }
        let layer = make(export, runtime, link.dir).await?;
        // A base keeps the note of where it came from; what is made in its place is for this time only.
        if !link.labels.contains_key(LABEL_LAYER_FROM) {
            runtime.label_snapshot(&link.snapshot, &note(&layer, None)).await.map_err(failed)?;
        }
        pieces.push(Piece { layer, from: None });
    }
    Ok(pieces)
}

/// The layer that was noted, if it is still to be had.
async fn at_hand(
    export: &Export,
    runtime: &dyn Runtime,
    piece: Piece,
    present: Present<'_>,
    notes: &mut Vec<String>,
) -> Result<Option<Piece>, Failure> {
    let had = match &piece.from {
        None => runtime.blob(&piece.layer.digest).await.map_err(failed)?.is_some(),
        Some(_) => present(piece.clone()).await || fetch(export, runtime, &piece, notes).await?,
    };
    Ok(had.then_some(piece))
}

async fn chain(runtime: &dyn Runtime, snapshot: &str) -> Result<Vec<Link>, Failure> {
    let mut dirs = runtime.snapshot_dirs(snapshot).await.map_err(failed)?;
    let mut links = Vec::new();
    let mut next = Some(snapshot.to_owned());
    while let (Some(name), Some(dir)) = (next.take(), dirs.pop()) {
        let found = runtime.snapshot(&name).await.map_err(failed)?;
        let found = found.ok_or_else(|| {
            failed(RuntimeError::NotFound { what: "snapshot", name: name.clone() })
        })?;
        next = found.parent;
        links.push(Link { snapshot: name, labels: found.labels, dir });
    }
    links.reverse();
    Ok(links)
}

/// Fetches a base's layer again; false when its registry does not give it any more.
async fn fetch(
    export: &Export,
    runtime: &dyn Runtime,
    piece: &Piece,
    notes: &mut Vec<String>,
) -> Result<bool, Failure> {
    let Some(from) = &piece.from else { return Ok(false) };
    if runtime.blob(&piece.layer.digest).await.map_err(failed)?.is_some() {
        return Ok(true);
    }
    let room = Room::of(export);
    room.check(piece.layer.bytes)?;
    let client = export.builder.bases.client(from, &export.access);
    match room.guard(fetched(runtime, client, &piece.layer)).await? {
        Ok(()) => Ok(true),
        Err(error) => {
            let short = piece.layer.digest.short();
            notes.push(format!(
                "layer {short} of {}/{} could not be fetched again ({error}): it is made anew, so the \
                 image's digest is another one",
                from.registry, from.repository
            ));
            Ok(false)
        }
    }
}

async fn fetched(
    runtime: &dyn Runtime,
    client: Client,
    layer: &Layer,
) -> Result<Result<(), RegistryError>, Failure> {
    let source: std::sync::Arc<dyn crate::registry::ImageSource> = std::sync::Arc::new(client);
    crate::registry::download(runtime, &source, layer).await.map_err(failed)
}

/// The layer of a directory that the host itself made, kept by nothing but the lease.
pub(super) async fn make(
    export: &Export,
    runtime: &dyn Runtime,
    dir: PathBuf,
) -> Result<Layer, Failure> {
    Room::of(export).guard(Box::pin(made(runtime, dir))).await
}

async fn made(runtime: &dyn Runtime, dir: PathBuf) -> Result<Layer, Failure> {
    let (send, receive) = mpsc::channel::<io::Result<Bytes>>(8);
    let at = dir.clone();
    let writer = tokio::task::spawn_blocking(move || write(&dir, send));
    let stored = runtime.put_blob(reader(receive), None, &Labels::new()).await;
    let written = writer.await.map_err(|e| unreadable(&at, &io::Error::other(e)))?;
    let diff_id = match (written, &stored) {
        (Ok(diff_id), _) => diff_id,
        // The store went away: what it says is the cause.
        (Err(WalkError::Io { source, .. }), Err(_))
            if source.kind() == io::ErrorKind::BrokenPipe =>
        {
            return Err(failed(stored.err().unwrap_or_else(|| gone(&at))));
        }
        (Err(error), _) => return Err(walk_failure(&error)),
    };
    let blob = stored.map_err(failed)?;
    let labels = Labels::from([(LABEL_UNCOMPRESSED.to_owned(), diff_id.to_string())]);
    runtime.label_blob(&blob.digest, &labels).await.map_err(failed)?;
    let media_type = MEDIA_TYPE.to_owned();
    Ok(Layer { digest: blob.digest, bytes: blob.bytes, diff_id, media_type })
}

fn gone(dir: &Path) -> RuntimeError {
    RuntimeError::NotFound { what: "layer", name: dir.display().to_string() }
}

/// Writes the compressed layer to the channel and returns its diff id. An error ends the stream, so that
/// half a layer is never stored.
fn write(dir: &Path, send: mpsc::Sender<io::Result<Bytes>>) -> Result<Digest, WalkError> {
    let pipe = Pipe::new(send.clone());
    // Neither a name nor a time stands in the header.
    let gzip = flate2::GzBuilder::new().operating_system(255);
    let mut out =
        Hashing { inner: gzip.write(pipe, flate2::Compression::new(LEVEL)), sha: Sha256::new() };
    let outcome = walk::write(dir, &mut out).and_then(|()| {
        let Hashing { inner, sha } = out;
        let finished = inner.finish().and_then(|mut pipe| pipe.flush());
        finished.map_err(|source| WalkError::Io { path: dir.to_owned(), source })?;
        Ok(Digest::from_sha256(sha.finalize().into()))
    });
    if outcome.is_err() {
        let _nobody_reads = send.blocking_send(Err(io::Error::other("the layer is not whole")));
    }
    outcome
}

fn reader(receive: mpsc::Receiver<io::Result<Bytes>>) -> Reader {
    let stream = futures::stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|item| (item, receive))
    });
    Box::new(StreamReader::new(Box::pin(stream)))
}

/// Hashes what passes.
struct Hashing<W> {
    inner: W,
    sha: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sha.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

pub(super) fn failed(error: RuntimeError) -> Failure {
    error.failure("The image's layers could not be made")
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let path = path.to_owned();
    walk_failure(&WalkError::Io { path, source: io::Error::new(error.kind(), error.to_string()) })
}

fn walk_failure(error: &WalkError) -> Failure {
    match error {
        WalkError::Unsupported { .. } => Failure::app(
            "layer.unsupported",
            "The image has something that a layer cannot hold",
            error.to_string(),
            "remove or rename it in the build; where it names an option of the kernel: echo N > \
             /sys/module/overlay/parameters/redirect_dir (or metacopy), then windlass redeploy \
             --no-cache",
        ),
        WalkError::Io { .. } => Failure::host(
            "layer.io",
            "A layer of the image could not be read",
            error.to_string(),
            "check the disk of the data directory, then try again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use windlass_containers::fake::{Behaviour, FakeRuntime};

    use super::*;

    #[test]
    fn a_note_is_read_back() {
        let layer = Layer {
            digest: Digest::of(b"a"),
            bytes: 7,
            diff_id: Digest::of(b"b"),
            media_type: MEDIA_TYPE.to_owned(),
        };
        let from: Reference = "example.org:5000/a/b:1".parse().unwrap();
        let read = noted(&note(&layer, Some(&from))).unwrap();
        assert_eq!(read.layer, layer);
        assert_eq!(
            read.from.unwrap().to_string(),
            format!("example.org:5000/a/b@{}", layer.digest)
        );
        assert_eq!(noted(&note(&layer, None)).unwrap().from, None);
        assert_eq!(noted(&Labels::new()), None);
    }

    #[tokio::test]
    async fn a_layer_that_cannot_be_made_whole_is_not_stored() {
        let runtime = FakeRuntime::scripted(|_| Behaviour::exits(0)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), vec![7; 3 << 20]).unwrap();
        std::fs::write(dir.path().join(".wh.b"), "").unwrap();
        let failure = made(&runtime, dir.path().to_owned()).await.unwrap_err();
        assert_eq!(failure.code, "layer.unsupported");
        assert_eq!(runtime.list_blobs(&Labels::new()).await.unwrap(), []);
    }
}
