//! Uploaded source archives: `<data>/uploads/<sha256>`.
//!
//! **Invariant: a file under its digest's name is whole and on disk.** It is written under another
//! name, synced and renamed; an upload that breaks off leaves nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use windlass_model::{DeploymentId, Digest, Failure};

use super::{blocking, host_failed};

/// Where an uploaded archive lies.
pub fn path(data_dir: &Path, digest: &Digest) -> PathBuf {
    data_dir.join("uploads").join(digest.hex())
}

/// An upload that has not been renamed for so long was broken off by a crash.
const PARTIAL_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// A whole one may still be about to get its deployment.
const WHOLE_KEPT_FOR: Duration = Duration::from_secs(3600);

/// Removes archives that are not to be kept, and what broken uploads left. Blocks.
///
/// # Errors
/// When the folder cannot be read or a file of it not be removed.
pub fn prune(data_dir: &Path, keep: &BTreeSet<Digest>) -> std::io::Result<()> {
    for path in to_go(data_dir, keep)? {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// What [`prune`] removes. Blocks.
///
/// # Errors
/// When the folder cannot be read.
pub fn to_go(data_dir: &Path, keep: &BTreeSet<Digest>) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(data_dir.join("uploads")) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        let kept = keep.iter().any(|digest| digest.hex() == name);
        let limit = if name.ends_with(".partial") { PARTIAL_KEPT_FOR } else { WHOLE_KEPT_FOR };
        if !kept && age > limit {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Stores a body as it comes in and answers its digest.
///
/// # Errors
/// `request.body-too-large` above `bytes_max`, `request.body-empty`, `request.body-broken` when the
/// client breaks off, `source.host-failed` when it cannot be stored.
pub async fn store<E: std::fmt::Display>(
    data_dir: &Path,
    body: impl Stream<Item = Result<Bytes, E>>,
    bytes_max: u64,
) -> Result<Digest, Failure> {
    let dir = data_dir.join("uploads");
    let failed = |e: std::io::Error| host_failed("store the upload", &e);
    tokio::fs::create_dir_all(&dir).await.map_err(failed)?;
    let partial = Partial(dir.join(format!("{}.partial", DeploymentId::generate())));
    let mut file = tokio::fs::File::create_new(&partial.0).await.map_err(failed)?;
    let mut sha = Sha256::new();
    let mut bytes = 0_u64;
    let mut body = std::pin::pin!(body);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| body_broken(&e))?;
        bytes += chunk.len() as u64;
        if bytes > bytes_max {
            return Err(body_too_large(bytes_max));
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
    use futures::stream;

    use super::*;

    fn chunks(parts: &[&'static str]) -> impl Stream<Item = Result<Bytes, String>> + use<> {
        let parts: Vec<_> = parts.iter().map(|p| Ok(Bytes::from_static(p.as_bytes()))).collect();
        stream::iter(parts)
    }

    fn files(dir: &Path) -> usize {
        std::fs::read_dir(dir.join("uploads")).unwrap().count()
    }

    #[tokio::test]
    async fn an_upload_is_kept_under_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let digest = store(dir.path(), chunks(&["he", "llo"]), 5).await.unwrap();
        assert_eq!(digest, Digest::of(b"hello"));
        assert_eq!(std::fs::read(path(dir.path(), &digest)).unwrap(), b"hello");
        store(dir.path(), chunks(&["hello"]), 5).await.unwrap();
        assert_eq!(files(dir.path()), 1);
    }

    #[tokio::test]
    async fn what_is_refused_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let code = |r: Result<Digest, Failure>| r.unwrap_err().code;
        let large = store(dir.path(), chunks(&["hello", "!"]), 5).await;
        assert_eq!(code(large), "request.body-too-large");
        assert_eq!(code(store(dir.path(), chunks(&[]), 5).await), "request.body-empty");
        let cut = stream::iter([Ok(Bytes::from_static(b"x")), Err("reset".to_owned())]);
        assert_eq!(code(store(dir.path(), cut, 5).await), "request.body-broken");
        assert_eq!(files(dir.path()), 0);
    }
}
