//! Images as a source: looked up in their registry, or unpacked from an upload. There is nothing to
//! build, so the workspace is empty; `build` takes the image into the artifact.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use windlass_build::{Access, Builder, FoundImage, Layout};
use windlass_model::deployment::{Fetched, FetchedImage};
use windlass_model::{DeploymentId, Digest, Failure};

use super::{FetchRequest, Got, Place, Tree, archive, cancelled, host_failed, uploads};

/// Where an uploaded image lies once it is unpacked, beside the workspace.
pub fn layout_dir(data_dir: &Path, deployment: &DeploymentId) -> PathBuf {
    super::work_dir(data_dir, deployment).join("image")
}

/// Asks the registry what the name means now.
pub(super) async fn look_up(
    builder: &Builder,
    access: Access,
    name: &str,
    cancel: &CancellationToken,
) -> Result<Got, Failure> {
    let found = tokio::select! {
        found = builder.look_up_image(name, access) => found?,
        () = cancel.cancelled() => return Err(cancelled()),
    };
    Ok(got(found, 0))
}

/// Unpacks an uploaded image and reads it as far as it can be told whether it is one.
pub(super) async fn unpack(
    request: &FetchRequest<'_>,
    digest: &Digest,
    place: &Place,
    cancel: &CancellationToken,
) -> Result<Got, Failure> {
    let upload = uploads::path(request.data_dir, digest);
    let (into, limits, cancel) = (place.scratch("image"), request.limits.clone(), cancel.clone());
    let unpacked = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&into).map_err(|e| host_failed("unpack the image", &e))?;
        let unpacked = archive::unpack(&upload, &into, &limits, &cancel)?;
        let layout = Layout::open(&into)?;
        let port = layout.image().config.exposed.first().copied();
        Ok(got(FoundImage { reference: layout.reference(), port }, unpacked.fetched.bytes))
    });
    unpacked.await.map_err(|e| host_failed("unpack the image", &e)).flatten()
}

fn got(found: FoundImage, bytes: u64) -> Got {
    let fetched = Fetched {
        commit: None,
        subject: None,
        author: None,
        tree: Digest::of(found.reference.as_bytes()),
        files: 0,
        bytes,
        anonymous: false,
        image: Some(FetchedImage { reference: found.reference, port: found.port }),
    };
    Got { tree: Tree::default(), fetched, warnings: Vec::new() }
}
