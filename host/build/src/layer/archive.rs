//! Images in a file.
//!
//! Both forms are a tar of blobs named by their digests; what differs is the document that leads to them:
//! `index.json` of an OCI layout, or `manifest.json`, which `docker load` reads.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use windlass_containers::Runtime;
use windlass_model::deployment::Artifact;
use windlass_model::{Digest, Failure};

use super::blob::{Present, failed};
use super::image::{self, Document, Image};
use super::room::Room;
use super::tarball::{self, Entry, Type};
use super::{ArchiveFormat, Export, SavedImage};
use crate::registry::{MANIFEST_TYPE, Reference};

const COPY_BYTES: usize = 256 * 1024;

/// Writes the file under another name beside it, and renames it last.
pub(super) async fn save(
    export: &Export,
    artifact: &Artifact,
    output: Option<&str>,
    format: ArchiveFormat,
    to: &Path,
) -> Result<SavedImage, Failure> {
    let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fail = |e: &io::Error| io_failure(to, e);
    let partial = tempfile::Builder::new().prefix(".windlass-image-").tempfile_in(dir);
    let partial = partial.map_err(|e| fail(&e))?;
    let file = partial.as_file().try_clone().map_err(|e| fail(&e))?;
    let saved = write(export, artifact, output, format, file, to).await?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let kept = partial.as_file().set_permissions(mode).and_then(|()| partial.as_file().sync_all());
    kept.map_err(|e| fail(&e))?;
    partial.persist(to).map_err(|e| fail(&e.error))?;
    Ok(saved)
}

/// Writes into a file that nobody can find and that is gone when it is closed.
pub(super) async fn spool(
    export: &Export,
    artifact: &Artifact,
    output: Option<&str>,
    format: ArchiveFormat,
) -> Result<(SavedImage, File), Failure> {
    let dir = &export.builder.config.data_dir;
    let mut file = tempfile::tempfile_in(dir).map_err(|e| io_failure(dir, &e))?;
    let copy = file.try_clone().map_err(|e| io_failure(dir, &e))?;
    let saved = write(export, artifact, output, format, copy, dir).await?;
    file.seek(SeekFrom::Start(0)).map_err(|e| io_failure(dir, &e))?;
    Ok((saved, file))
}

async fn write(
    export: &Export,
    artifact: &Artifact,
    output: Option<&str>,
    format: ArchiveFormat,
    file: File,
    named: &Path,
) -> Result<SavedImage, Failure> {
    let (lease, runtime) = export.builder.work("save", super::WORK_LEASE).await?;
    let nowhere: Present<'_> = &|_| Box::pin(std::future::ready(false));
    // In full: `docker.io/library/shop:12`.
    let name = export.name.as_deref().and_then(|name| name.parse::<Reference>().ok());
    let name = name.map(|name| name.to_string());
    let room = Room::of(export);
    let written = async {
        let image = image::make(export, &*runtime, artifact, output, nowhere).await?;
        room.fits(&file, image.layers().iter().map(|layer| layer.bytes).sum())?;
        let tar = Tar { file: tokio::fs::File::from_std(file), bytes: 0, named };
        let bytes = tar.image(&*runtime, &image, format, name.as_deref()).await?;
        Ok(SavedImage {
            digest: image.manifest.digest,
            config: image.config.digest,
            bytes,
            layers: image.pieces.len(),
            notes: image.notes,
        })
    };
    let written = room.guard(Box::pin(written)).await;
    export.builder.end_work(&lease).await;
    written
}

struct Tar<'a> {
    file: tokio::fs::File,
    bytes: u64,
    named: &'a Path,
}

impl Tar<'_> {
    async fn image(
        mut self,
        runtime: &dyn Runtime,
        image: &Image,
        format: ArchiveFormat,
        name: Option<&str>,
    ) -> Result<u64, Failure> {
        match format {
            ArchiveFormat::Oci => {
                self.document("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).await?;
                self.document("index.json", &index(image, name)).await?;
            }
            ArchiveFormat::Docker => self.document("manifest.json", &saved(image, name)).await?,
        }
        for dir in ["blobs/", "blobs/sha256/"] {
            let entry = Entry { kind: Type::Dir, mode: 0o755, ..Entry::file(dir.as_bytes(), 0) };
            self.put(&entry.header()).await?;
        }
        let documents = match format {
            ArchiveFormat::Oci => vec![&image.config, &image.manifest],
            ArchiveFormat::Docker => vec![&image.config],
        };
        for Document { digest, bytes } in documents {
            self.document(&blob(digest), bytes).await?;
        }
        for layer in image.layers() {
            self.layer(runtime, &layer.digest, layer.bytes).await?;
        }
        self.put(&tarball::END).await?;
        self.file.flush().await.map_err(|e| io_failure(self.named, &e))?;
        Ok(self.bytes)
    }

    async fn document(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.put(&Entry::file(name.as_bytes(), bytes.len() as u64).header()).await?;
        self.put(bytes).await?;
        self.put(&tarball::END[..tarball::padding(bytes.len() as u64)]).await
    }

    async fn layer(
        &mut self,
        runtime: &dyn Runtime,
        digest: &Digest,
        bytes: u64,
    ) -> Result<(), Failure> {
        let opened = runtime.open_blob(digest, 0).await.map_err(failed)?;
        let mut from = opened.ok_or_else(|| lost(digest, "it is gone"))?.take(bytes + 1);
        self.put(&Entry::file(blob(digest).as_bytes(), bytes).header()).await?;
        let (mut buffer, mut copied) = (vec![0; COPY_BYTES], 0);
        loop {
            match from.read(&mut buffer).await {
                Ok(0) => break,
                Ok(n) => {
                    copied += n as u64;
                    self.put(&buffer[..n]).await?;
                }
                Err(e) => return Err(lost(digest, &e.to_string())),
            }
        }
        if copied != bytes {
            return Err(lost(digest, "it has another size than when it was made"));
        }
        self.put(&tarball::END[..tarball::padding(bytes)]).await
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).await.map_err(|e| io_failure(self.named, &e))
    }
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn index(image: &Image, name: Option<&str>) -> Vec<u8> {
    let mut descriptor = json!({
        "mediaType": MANIFEST_TYPE, "digest": image.manifest.digest,
        "size": image.manifest.bytes.len(),
        "platform": { "architecture": crate::key::architecture(), "os": "linux" },
    });
    if let Some(name) = name {
        // The tag alone is the standard's; the whole name is what others look for.
        let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        descriptor["annotations"] =
            json!({ "org.opencontainers.image.ref.name": tag, "io.containerd.image.name": name });
    }
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [descriptor],
    });
    index.to_string().into_bytes()
}

fn saved(image: &Image, name: Option<&str>) -> Vec<u8> {
    let layers: Vec<_> = image.pieces.iter().map(|piece| blob(&piece.layer.digest)).collect();
    let tags: Vec<&str> = name.into_iter().collect();
    let one = json!({ "Config": blob(&image.config.digest), "RepoTags": tags, "Layers": layers });
    json!([one]).to_string().into_bytes()
}

fn lost(digest: &Digest, why: &str) -> Failure {
    Failure::host(
        "image.io",
        format!("The layer {} cannot be read", digest.short()),
        why,
        "try again: it is made anew",
    )
}

fn io_failure(path: &Path, error: &io::Error) -> Failure {
    Failure::host(
        "image.io",
        "The image could not be written",
        format!("{}: {error}", path.display()),
        "check the free space there (windlass doctor), then try again",
    )
}
