//! Uploaded source archives: `<data>/uploads/<sha256>`.
//!
//! **Invariant: a file under its digest's name is whole and on disk.** It is written under another
//! name, synced and renamed; an upload that breaks off leaves nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use windlass_model::failure::Fault;
use windlass_model::{DeploymentId, Digest, Failure};

use super::{blocking, host_failed};
use crate::disk;
use crate::host::Host;

/// Where an uploaded archive lies.
pub fn path(data_dir: &Path, digest: &Digest) -> PathBuf {
    data_dir.join("uploads").join(digest.hex())
}

/// An upload that has not been renamed for so long was broken off by a crash.
const PARTIAL_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// A whole one may still be about to get its deployment.
const WHOLE_KEPT_FOR: Duration = Duration::from_secs(3600);
/// Of a body that comes in, between two looks at the disk.
const LOOK_EVERY_BYTES: u64 = 16 << 20;

/// Whether there is room for more.
type Room<'a> = &'a (dyn Fn() -> Result<(), Failure> + Send + Sync);

/// Archives that are not to be kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unclaimed {
    /// Those that may go, and what broken uploads left.
    pub old: Vec<PathBuf>,
    /// How many came less than an hour ago: their deployments may be about to be made.
    pub young: usize,
}

/// Removes archives that are not to be kept, and what broken uploads left. Blocks.
///
/// # Errors
/// When the folder cannot be read or a file of it not be removed.
pub fn prune(data_dir: &Path, keep: &BTreeSet<Digest>) -> std::io::Result<()> {
    for path in unclaimed(data_dir, keep)?.old {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// What [`prune`] removes, and what it leaves for now. Blocks.
///
/// # Errors
/// When the folder cannot be read.
pub fn unclaimed(data_dir: &Path, keep: &BTreeSet<Digest>) -> std::io::Result<Unclaimed> {
    let mut found = Unclaimed::default();
    let entries = match std::fs::read_dir(data_dir.join("uploads")) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        let partial = name.ends_with(".partial");
        let limit = if partial { PARTIAL_KEPT_FOR } else { WHOLE_KEPT_FOR };
        if keep.iter().any(|digest| digest.hex() == name) {
            continue;
        }
        if age > limit {
            found.old.push(entry.path());
        } else if !partial {
            found.young += 1;
        }
    }
    Ok(found)
}

/// Takes a body in for a deployment, where there is room on the disk, and answers its digest. What the host has no
/// room for is read to its end and thrown away: nobody hears an answer who is still sending.
///
/// # Errors
/// `preflight.disk-floor`, `preflight.inode-floor`; `request.body-too-large` above `bytes_max`, `request.body-empty`,
/// `request.body-broken` when the client breaks off, `source.host-failed` when it cannot be stored.
pub(crate) async fn take_in<E: std::fmt::Display>(
    host: &Host,
    data_dir: &Path,
    body: impl Stream<Item = Result<Bytes, E>>,
    bytes_max: u64,
) -> Result<Digest, Failure> {
    let mut body = std::pin::pin!(body);
    let stored = match disk::require_room(host, None).await {
        Ok(()) => store(data_dir, body.as_mut(), bytes_max, &|| disk::still_room(host)).await,
        Err(low) => Err(low),
    };
    if stored.as_ref().is_err_and(|failure| failure.fault == Fault::Host) {
        throw_away(body, bytes_max).await;
    }
    stored
}

/// Reads what is left of a body, if that is not more than it may have.
async fn throw_away<E>(mut body: Pin<&mut impl Stream<Item = Result<Bytes, E>>>, bytes_max: u64) {
    let mut bytes = 0_u64;
    while let Some(Ok(chunk)) = body.next().await {
        bytes += chunk.len() as u64;
        if bytes > bytes_max {
            return;
        }
    }
}

/// Stores a body as it comes in and answers its digest.
async fn store<E: std::fmt::Display>(
    data_dir: &Path,
    body: impl Stream<Item = Result<Bytes, E>>,
    bytes_max: u64,
    room: Room<'_>,
) -> Result<Digest, Failure> {
    let dir = data_dir.join("uploads");
    let failed = |e: std::io::Error| host_failed("store the upload", &e);
    tokio::fs::create_dir_all(&dir).await.map_err(failed)?;
    let partial = Partial(dir.join(format!("{}.partial", DeploymentId::generate())));
    let mut file = tokio::fs::File::create_new(&partial.0).await.map_err(failed)?;
    let mut sha = Sha256::new();
    let (mut bytes, mut looks_at) = (0_u64, LOOK_EVERY_BYTES);
    let mut body = std::pin::pin!(body);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| body_broken(&e))?;
        bytes += chunk.len() as u64;
        if bytes > bytes_max {
            return Err(body_too_large(bytes_max));
        }
        if bytes >= looks_at {
            room()?;
            looks_at = bytes + LOOK_EVERY_BYTES;
        }
        sha.update(&chunk);
        file.write_all(&chunk).await.map_err(failed)?;
    }
    if bytes == 0 {
        return Err(empty());
    }
    file.sync_all().await.map_err(failed)?;
    drop(file);
    let digest = Digest::from_sha256(sha.finalize().into());
    let (from, to) = (partial.0.clone(), path(data_dir, &digest));
    blocking("store the upload", move || {
        std::fs::rename(from, to)?;
        std::fs::File::open(dir)?.sync_all()
    })
    .await?;
    Ok(digest)
}

/// The body is over its limit. Answered with status 413.
pub fn body_too_large(bytes_max: u64) -> Failure {
    Failure::app(
        "request.body-too-large",
        "the request's body is too large",
        format!("at most {bytes_max} bytes are accepted here"),
        "leave out what the application does not need (dependencies, build output, data), or raise \
         the limit",
    )
}

fn empty() -> Failure {
    Failure::app(
        "request.body-empty",
        "the request has no body",
        "a source archive was expected",
        "send the archive as the body: curl --data-binary @source.tar.gz …",
    )
}

/// The body ended before all of it had come.
pub fn body_broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::app(
        "request.body-broken",
        "the request's body broke off",
        error.to_string(),
        "send it again",
    )
}

/// Removes an unfinished file. After the rename there is nothing to remove.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::stream;
    use windlass_model::Limits;

    use super::*;
    use crate::testing::TestHost;

    fn chunks(parts: &[&'static str]) -> impl Stream<Item = Result<Bytes, String>> + use<> {
        let parts: Vec<_> = parts.iter().map(|p| Ok(Bytes::from_static(p.as_bytes()))).collect();
        stream::iter(parts)
    }

    /// Of at most five bytes, on a disk with room for it.
    async fn stored(
        dir: &Path,
        body: impl Stream<Item = Result<Bytes, String>>,
    ) -> Result<Digest, Failure> {
        store(dir, body, 5, &|| Ok(())).await
    }

    fn files(dir: &Path) -> usize {
        std::fs::read_dir(dir.join("uploads")).unwrap().count()
    }

    #[tokio::test]
    async fn an_upload_is_kept_under_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let digest = stored(dir.path(), chunks(&["he", "llo"])).await.unwrap();
        assert_eq!(digest, Digest::of(b"hello"));
        assert_eq!(std::fs::read(path(dir.path(), &digest)).unwrap(), b"hello");
        stored(dir.path(), chunks(&["hello"])).await.unwrap();
        assert_eq!(files(dir.path()), 1);
    }

    #[tokio::test]
    async fn an_upload_without_a_deployment_stays_for_an_hour() {
        let dir = tempfile::tempdir().unwrap();
        let old = stored(dir.path(), chunks(&["old"])).await.unwrap();
        let young = stored(dir.path(), chunks(&["young"])).await.unwrap();
        let kept = stored(dir.path(), chunks(&["kept"])).await.unwrap();
        std::fs::write(dir.path().join("uploads/coming.partial"), "x").unwrap();
        let before = std::time::SystemTime::now() - 2 * WHOLE_KEPT_FOR;
        for digest in [&old, &kept] {
            let file = std::fs::File::options().write(true).open(path(dir.path(), digest));
            file.unwrap().set_modified(before).unwrap();
        }
        let keep = BTreeSet::from([kept.clone()]);
        let found = unclaimed(dir.path(), &keep).unwrap();
        assert_eq!(found, Unclaimed { old: vec![path(dir.path(), &old)], young: 1 });
        prune(dir.path(), &keep).unwrap();
        assert!(path(dir.path(), &kept).exists() && path(dir.path(), &young).exists());
        assert_eq!(unclaimed(dir.path(), &keep).unwrap().old, Vec::<PathBuf>::new());
    }

    #[tokio::test]
    async fn what_is_refused_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let code = |r: Result<Digest, Failure>| r.unwrap_err().code;
        let large = stored(dir.path(), chunks(&["hello", "!"])).await;
        assert_eq!(code(large), "request.body-too-large");
        assert_eq!(code(stored(dir.path(), chunks(&[])).await), "request.body-empty");
        let cut = stream::iter([Ok(Bytes::from_static(b"x")), Err("reset".to_owned())]);
        assert_eq!(code(stored(dir.path(), cut).await), "request.body-broken");
        assert_eq!(files(dir.path()), 0);
    }

    #[tokio::test]
    async fn an_upload_is_stopped_when_the_room_is_gone_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let piece = Bytes::from(vec![7; usize::try_from(LOOK_EVERY_BYTES).unwrap()]);
        let body = stream::iter(vec![Ok::<_, String>(piece); 3]);
        let looks = AtomicUsize::new(0);
        let room = || match looks.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(()),
            _ => Err(Failure::host("preflight.disk-floor", "low", "low", "free some")),
        };
        let stopped = store(dir.path(), body, u64::MAX, &room).await.unwrap_err();
        assert_eq!(stopped.code, "preflight.disk-floor");
        assert_eq!(looks.load(Ordering::SeqCst), 2, "it was read on");
        assert_eq!(files(dir.path()), 0);
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_read_to_its_end_and_not_stored() {
        let limits = Limits { disk_free_bytes_min: u64::MAX, ..Limits::default() };
        let parts = TestHost::with(limits, &crate::pipeline::TABLE).await;
        let data_dir = &parts.host.config.data_dir;
        let read = AtomicUsize::new(0);
        let body = chunks(&["he", "llo"]).inspect(|_| {
            read.fetch_add(1, Ordering::SeqCst);
        });
        let refused = take_in(&parts.host, data_dir, body, 5).await.unwrap_err();
        assert_eq!(refused.code, "preflight.disk-floor");
        assert_eq!(read.load(Ordering::SeqCst), 2);
        assert!(!data_dir.join("uploads").exists(), "it was stored first");
    }
}
