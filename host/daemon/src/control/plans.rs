//! Plans of sources that are not deployed: what a deployment of them would be.

use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use tokio_util::sync::CancellationToken;
use windlass_model::ahead::{CreatePlan, PlanView};
use windlass_model::{Digest, Failure, Source};

use super::{Target, deployments, require};
use crate::host::Host;
use crate::pipeline::ahead::{self, Scratch};
use crate::source::{address, uploads};

/// An archive that came in to be looked at, with its name.
pub(crate) struct Upload {
    scratch: Scratch,
    source: Source,
}

/// The plan of a Git repository.
///
/// # Errors
/// `project.not-found`, `environment.not-found`, `source.*`, `settings.*`, `preflight.*`.
pub(crate) async fn of_git(
    host: &Arc<Host>,
    target: &Target,
    body: CreatePlan,
    cancel: &CancellationToken,
) -> Result<PlanView, Failure> {
    address::check_url(&body.git_url)?;
    if let Some(reference) = &body.reference {
        address::check_reference(reference)?;
    }
    require(host, target)?;
    let source = Source::Git { url: body.git_url, reference: body.reference };
    ahead::look(Scratch::of_git(host.clone()), target, &source, cancel).await
}

/// Takes an archive in, to be looked at. Who hangs up meanwhile leaves nothing.
///
/// # Errors
/// `archive.name-invalid`, `project.not-found`, `environment.not-found`, and those of [`uploads::take_in`].
pub(crate) async fn take_in<E: std::fmt::Display>(
    host: &Arc<Host>,
    target: &Target,
    name: String,
    body: impl Stream<Item = Result<Bytes, E>>,
    bytes_max: u64,
) -> Result<Upload, Failure> {
    deployments::check_archive_name(&name)?;
    require(host, target)?;
    let scratch = Scratch::of_upload(host.clone());
    let stored: Result<Digest, Failure> =
        uploads::take_in(host, &scratch.data_dir(), body, bytes_max).await;
    match stored {
        Ok(digest) => Ok(Upload { scratch, source: Source::Archive { digest, name } }),
        Err(failure) => {
            scratch.clear().await;
            Err(failure)
        }
    }
}

/// The plan of an archive that was taken in.
///
/// # Errors
/// `source.*`, `settings.*`, `preflight.*`.
pub(crate) async fn of_archive(
    target: &Target,
    upload: Upload,
    cancel: &CancellationToken,
) -> Result<PlanView, Failure> {
    ahead::look(upload.scratch, target, &upload.source, cancel).await
}
