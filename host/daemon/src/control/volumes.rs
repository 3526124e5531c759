//! Volumes of an environment: listed, and removed by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_model::id::VolumeName;
use windlass_model::running::VolumeView;
use windlass_model::settings::Volume;
use windlass_model::{DeploymentStatus, Failure, ProjectName};

use super::Target;
use crate::host::Host;
use crate::volumes;

/// The volumes that there are, and those that the live deployment mounts. An environment that was deleted
/// may have some still.
///
/// # Errors
/// `volume.io`.
pub async fn list(host: &Arc<Host>, target: &Target) -> Result<Vec<VolumeView>, Failure> {
    let mounted = mounted(host, target)?;
    let folders = host.volumes(&target.project, &target.environment)?;
    let measured = tokio::task::spawn_blocking(move || {
        folders
            .into_iter()
            .map(|one| {
                let volume = mounted.get(&one.name);
                VolumeView {
                    path: volume.map(|volume| volume.path.clone()),
                    shared: volume.is_some_and(|volume| volume.shared),
                    bytes: volumes::bytes(&one.folder),
                    folder: one.folder.display().to_string(),
                    name: one.name,
                }
            })
            .collect()
    });
    Ok(measured.await.unwrap_or_default())
}

/// Removes a volume with everything in it.
///
/// # Errors
/// `volume.not-found`; `volume.in-use` while a live deployment mounts it, or one waits or runs; `volume.io`.
pub async fn remove(host: &Arc<Host>, target: &Target, name: &VolumeName) -> Result<(), Failure> {
    let folders = host.volumes(&target.project, &target.environment)?;
    let Some(found) = folders.into_iter().find(|one| one.name == *name) else {
        return Err(Failure::app(
            "volume.not-found",
            format!("{target} has no volume {name}"),
            "there is nothing to remove",
            "`windlass volume list` shows what there is",
        ));
    };
    let again = "then remove the volume";
    super::running::not_deploying(host, target, "changed", again).map_err(|mut failure| {
        "volume.in-use".clone_into(&mut failure.code);
        failure
    })?;
    let live = host.live(&target.project, &target.environment)?;
    let is_live = live.is_some_and(|(live, _)| live.status == DeploymentStatus::Live);
    if is_live && mounted(host, target)?.contains_key(name) {
        return Err(Failure::app(
            "volume.in-use",
            format!("the volume {name} of {target} is mounted"),
            "the live deployment's instances write to it",
            "end them first: `windlass stop`",
        ));
    }
    volumes::remove(found.folder).await
}

/// Removes every volume of an environment that was deleted.
///
/// # Errors
/// `volume.io`.
pub async fn remove_all_of(host: &Arc<Host>, target: &Target) -> Result<(), Failure> {
    let Target { project, environment } = target;
    volumes::remove(volumes::environment_dir(&host.config.data_dir, project, environment)).await
}

/// Removes every volume of a project that was deleted.
///
/// # Errors
/// `volume.io`.
pub async fn remove_all_of_project(host: &Arc<Host>, project: &ProjectName) -> Result<(), Failure> {
    volumes::remove(volumes::project_dir(&host.config.data_dir, project)).await
}

/// What the live or stopped deployment mounts.
fn mounted(host: &Host, target: &Target) -> Result<BTreeMap<VolumeName, Volume>, Failure> {
    let live = host.live(&target.project, &target.environment)?;
    let settings = live.and_then(|(live, _)| live.outputs.settings);
    let volumes = settings.map(|settings| settings.run.volumes).unwrap_or_default();
    Ok(volumes.into_iter().map(|volume| (volume.name.clone(), volume)).collect())
}
