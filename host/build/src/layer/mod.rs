//! Images out of artifacts: layers, manifests and configurations, which a deployment never needs. They are
//! made when an artifact is pushed, saved or given to another host, and not before.
//!
//! **Invariant: the same artifact is the same image, byte for byte.** Entries are in the order of their
//! names, times are clamped to [`EPOCH`], and nothing of the machine, the time or the host gets in. A
//! layer that was made is kept beside its snapshot and lives as long; one of a pulled base is the
//! registry's own blob again.
//!
//! Reading order: `tarball` and `walk` (a directory of the overlay becomes a tar), `blob` (a tar becomes a
//! blob of the content store), `image` (the documents), `archive` and `push` (where they go), `room` (what stays free
//! on the disk meanwhile).

mod archive;
mod blob;
mod image;
mod push;
mod room;
mod tarball;
mod walk;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use windlass_containers::{Labels, Runtime};
use windlass_model::deployment::Artifact;
use windlass_model::{DeploymentId, Digest, Failure};

pub(crate) use blob::{kept, note};
pub use push::PushedImage;

use crate::builder::{Builder, LABEL_WORK};
use crate::registry::Access;

/// No time in an image is later: 1980-01-02, the first day that a zip archive can name in every time zone.
pub const EPOCH: i64 = 315_619_200;

/// The same in words, for documents.
const EPOCH_TEXT: &str = "1980-01-02T00:00:00Z";

/// Work on one image that takes longer loses what it made.
const WORK_LEASE: Duration = Duration::from_secs(6 * 3600);

/// Form of a saved image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// An OCI image layout in a tar.
    #[default]
    Oci,
    /// What `docker load` reads.
    Docker,
}

impl std::str::FromStr for ArchiveFormat {
    type Err = Failure;
    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "oci" => Ok(Self::Oci),
            "docker" => Ok(Self::Docker),
            other => Err(Failure::app(
                "image.unknown-format",
                format!("{other:?} is no form of an image archive"),
                "the forms are oci and docker",
                "windlass save <deployment> --output image.tar --format oci",
            )),
        }
    }
}

/// An image that was written to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedImage {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Digest of its configuration, which Docker calls the image's id.
    pub config: Digest,
    /// Size of the file.
    pub bytes: u64,
    /// Layers in it.
    pub layers: usize,
    /// What is worth saying.
    pub notes: Vec<String>,
}

/// Takes images out of artifacts; see [`Builder::export`].
#[derive(Clone)]
pub struct Export {
    builder: Builder,
    access: Access,
    name: Option<String>,
}

impl Export {
    /// The name that a saved image is loaded under, `shop:12`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Writes an artifact's output to a file, whole or not at all; one that is there is replaced.
    ///
    /// # Errors
    /// As [`Builder::save`].
    pub async fn save(
        &self,
        artifact: &Artifact,
        output: Option<&str>,
        format: ArchiveFormat,
        to: &Path,
    ) -> Result<SavedImage, Failure> {
        archive::save(self, artifact, output, format, to).await
    }

    /// The same into a file without a name, which is gone when it is closed.
    ///
    /// # Errors
    /// As [`Builder::save`].
    pub async fn spool(
        &self,
        artifact: &Artifact,
        output: Option<&str>,
        format: ArchiveFormat,
    ) -> Result<(SavedImage, std::fs::File), Failure> {
        archive::spool(self, artifact, output, format).await
    }

    /// Pushes an artifact's output to a registry under this name.
    ///
    /// # Errors
    /// As [`Builder::push`].
    pub async fn push(
        &self,
        artifact: &Artifact,
        output: Option<&str>,
        to: &str,
    ) -> Result<PushedImage, Failure> {
        push::push(self, artifact, output, to).await
    }
}

impl Builder {
    /// Takes images out of artifacts, with these logins.
    pub fn export(&self, access: Access) -> Export {
        Export { builder: self.clone(), access, name: None }
    }

    /// Writes an artifact's output to a file, whole or not at all; one that is there is replaced. Without
    /// a name it is the output of the web process, or the only one.
    ///
    /// # Errors
    /// `image.no-such-output`, `layer.*`, `image.io`, `base.disk-floor`, the runtime's.
    pub async fn save(
        &self,
        artifact: &Artifact,
        output: Option<&str>,
        format: ArchiveFormat,
        to: &Path,
    ) -> Result<SavedImage, Failure> {
        self.export(self.bases.access().clone()).save(artifact, output, format, to).await
    }

    /// Pushes an artifact's output to a registry. It can be called again after whatever cut it off: what
    /// is there already is not sent again, and the name is given last.
    ///
    /// # Errors
    /// `image.no-such-output`, `layer.*`, `registry.*`, `base.disk-floor`, the runtime's.
    pub async fn push(
        &self,
        artifact: &Artifact,
        output: Option<&str>,
        to: &str,
    ) -> Result<PushedImage, Failure> {
        self.export(self.bases.access().clone()).push(artifact, output, to).await
    }

    /// A lease for work of this kind, and the runtime under it.
    pub(crate) async fn work(
        &self,
        kind: &str,
        lasts: Duration,
    ) -> Result<(String, Arc<dyn Runtime>), Failure> {
        let lease = format!("{kind}-{}", DeploymentId::generate());
        let labels = Labels::from([(LABEL_WORK.to_owned(), "1".to_owned())]);
        let made = self.runtime.create_lease(&lease, &labels, lasts).await;
        made.map_err(|e| e.failure("The image could not be protected from clean-up"))?;
        let leased = self.runtime.leased(&lease);
        Ok((lease, leased))
    }

    /// Ends it, and what only it kept.
    pub(crate) async fn end_work(&self, lease: &str) {
        if let Err(error) = self.runtime.delete_lease(lease).await {
            tracing::warn!(lease, %error, "a lease is left until it expires");
        }
    }

    /// Ends what a killed host was pulling, pushing and saving: its leases, and what only they kept. Only
    /// at start, when nothing of it can run.
    ///
    /// # Errors
    /// What the runtime says; calling it again is safe.
    pub async fn sweep_work(&self) -> Result<(), Failure> {
        let failed = |e: windlass_containers::RuntimeError| {
            e.failure("What was being pulled and pushed could not be removed")
        };
        let labels = Labels::from([(LABEL_WORK.to_owned(), "1".to_owned())]);
        for lease in self.runtime.list_leases(&labels).await.map_err(failed)? {
            self.runtime.delete_lease(&lease).await.map_err(failed)?;
        }
        Ok(())
    }
}
