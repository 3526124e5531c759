//! Images taken out of deployments: pushed to registries, saved to archives.

use std::fs::File;
use std::sync::Arc;

use windlass_build::disk::Held;
use windlass_build::{ArchiveFormat, Export, SavedImage};
use windlass_model::deployment::Artifact;
use windlass_model::image::{PushImage, PushedView, SavedView};
use windlass_model::{Deployment, Failure};

use crate::host::Host;
use crate::{disk, failpoint};

/// Pushes a deployment's image, with the project's login for that registry. What is pushed is held meanwhile,
/// and nothing else is.
///
/// # Errors
/// `image.no-artifact`, `image.no-such-output`, `layer.*`, `registry.*`, `base.disk-floor`.
pub async fn push(
    host: &Arc<Host>,
    of: &Deployment,
    wanted: &PushImage,
) -> Result<PushedView, Failure> {
    let artifact = artifact(of)?;
    let export = export(host, of)?;
    let _held = host.builder.hold(&artifact.digest).await;
    host.builder.verify_artifact(artifact).await?;
    prune_if_low(host).await?;
    failpoint::reached("during:push");
    let pushed = export.push(artifact, wanted.output.as_deref(), &wanted.reference).await?;
    tracing::info!(deployment = %of.id, reference = pushed.reference, "an image was pushed");
    Ok(PushedView {
        reference: pushed.reference,
        digest: pushed.digest,
        layers: pushed.layers,
        bytes_sent: pushed.bytes_sent,
        notes: pushed.notes,
    })
}

/// Writes a deployment's image into a file without a name.
///
/// # Errors
/// `image.no-artifact`, `image.no-such-output`, `image.unknown-format`, `image.io`, `layer.*`, `base.disk-floor`.
pub async fn save(
    host: &Arc<Host>,
    of: &Deployment,
    output: Option<&str>,
    format: &str,
) -> Result<(SavedView, File), Failure> {
    let format: ArchiveFormat = format.parse()?;
    let artifact = artifact(of)?;
    let export = export(host, of)?.named(format!("{}:{}", of.project, of.number));
    let _held = host.builder.hold(&artifact.digest).await;
    host.builder.verify_artifact(artifact).await?;
    prune_if_low(host).await?;
    let (saved, file) = export.spool(artifact, output, format).await?;
    let SavedImage { digest, config, bytes, layers, notes } = saved;
    Ok((SavedView { digest, config, bytes, layers, notes }, file))
}

/// Makes room for layers and archives where less is free than a deployment needs. They may take half of that: the
/// builder sees to it.
async fn prune_if_low(host: &Host) -> Result<(), Failure> {
    let _still_low = disk::room(host, None).await?;
    Ok(())
}

/// A deployment as it is now, with its artifact held, if it has one: nothing takes that before it is stored that the
/// deployment is wanted.
pub(super) async fn held(
    host: &Host,
    of: Deployment,
) -> Result<(Deployment, Option<Held>), Failure> {
    let Some(artifact) = of.outputs.artifact.as_ref().filter(|_| !of.artifact_pruned) else {
        return Ok((of, None));
    };
    let held = host.builder.hold(&artifact.digest).await;
    let now = host.deployment(&of.id)?.map(|(now, _)| now);
    Ok((now.unwrap_or(of), Some(held)))
}

fn export(host: &Host, of: &Deployment) -> Result<Export, Failure> {
    let access = host.source_credentials(&of.project)?.images(&of.project);
    Ok(host.builder.export(access))
}

pub(super) fn artifact(of: &Deployment) -> Result<&Artifact, Failure> {
    let artifact = of.outputs.artifact.as_ref().filter(|_| !of.artifact_pruned);
    artifact.ok_or_else(|| {
        let why = match of.artifact_pruned {
            true => "what it was built into has been removed to save space",
            false => "it was not built to its end",
        };
        let fix =
            "choose one that is kept (windlass deployments), or build it again: windlass redeploy";
        Failure::app("image.no-artifact", format!("#{} has no image", of.number), why, fix)
    })
}
