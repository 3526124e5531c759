//! SSH keys of projects.

use std::sync::Arc;

use windlass_model::api::DeployKeyView;
use windlass_model::{Failure, ProjectName, Timestamp};
use windlass_store::DeployKey;

use super::stored;
use crate::host::Host;
use crate::source::ssh;

/// Makes a key in place of the one before.
///
/// # Errors
/// `project.not-found`, `source.ssh-missing`, `source.host-failed`.
pub async fn create(host: &Arc<Host>, project: &ProjectName) -> Result<DeployKeyView, Failure> {
    host.store.project(project).map_err(stored)?;
    let (private, public) = ssh::generate(&host.config.data_dir, project).await?;
    let pair = DeployKey { private, public, created_at: Timestamp::now() };
    host.store.set_deploy_key(project, &pair).await.map_err(stored)?;
    Ok(view(pair))
}

/// The public part.
///
/// # Errors
/// `project.not-found`, `deploy-key.not-found`.
pub fn show(host: &Host, project: &ProjectName) -> Result<DeployKeyView, Failure> {
    host.store.project(project).map_err(stored)?;
    let found = host.store.deploy_key(project).map_err(stored)?;
    found.map(view).ok_or_else(|| {
        Failure::app(
            "deploy-key.not-found",
            format!("the project {project} has no deploy key"),
            "none was made for it",
            "make one: windlass project deploy-key create",
        )
    })
}

/// Forgets the key.
///
/// # Errors
/// `project.not-found`.
pub async fn remove(host: &Arc<Host>, project: &ProjectName) -> Result<(), Failure> {
    host.store.project(project).map_err(stored)?;
    host.store.remove_deploy_key(project).await.map_err(stored)
}

/// Forgets the key of a host that the project has met.
///
/// # Errors
/// `project.not-found`, `known-host.not-found`.
pub async fn forget_host(
    host: &Arc<Host>,
    project: &ProjectName,
    name: &str,
) -> Result<(), Failure> {
    host.store.project(project).map_err(stored)?;
    if ssh::forget_host(&host.config.data_dir, project, name).await? {
        return Ok(());
    }
    Err(Failure::app(
        "known-host.not-found",
        format!("no key of {name:?} is known to the project {project}"),
        "hosts with a port of their own are named like [example.org]:2222",
        "take the name from the failure that told of it",
    ))
}

fn view(pair: DeployKey) -> DeployKeyView {
    DeployKeyView { public_key: pair.public, created_at: pair.created_at }
}
