//! What a project uses of the host's plugins.

use std::sync::Arc;

use windlass_build::Login;
use windlass_model::plugin::manage::{PluginView, ProjectPlugin, SetProjectPlugin};
use windlass_model::{Failure, ProjectName};

use super::stored;
use crate::access::caller;
use crate::host::Host;

/// A plugin with all that is known of it; of projects only those that the caller may see.
///
/// # Errors
/// `plugin.not-found`
pub(crate) fn show(host: &Host, name: &str) -> Result<PluginView, Failure> {
    let mut view = host.plugins.show(name)?;
    view.projects.retain(|chosen| caller::sees(&chosen.project));
    Ok(view)
}

/// The logins of image registries that a plugin is fetched with: those of a project, or none.
///
/// # Errors
/// `project.not-found`
pub(crate) fn logins(host: &Host, project: Option<&ProjectName>) -> Result<Vec<Login>, Failure> {
    let Some(project) = project else { return Ok(Vec::new()) };
    host.store.project(project).map_err(stored)?;
    host.source_credentials(project).map(|credentials| credentials.logins)
}

/// What a project uses of every plugin.
///
/// # Errors
/// `project.not-found`
pub(crate) fn of_project(
    host: &Host,
    project: &ProjectName,
) -> Result<Vec<ProjectPlugin>, Failure> {
    host.store.project(project).map_err(stored)?;
    Ok(host.plugins.chosen_by(project))
}

/// What a project uses of one plugin.
///
/// # Errors
/// `project.not-found`, `plugin.not-found`.
pub(crate) fn one(
    host: &Host,
    project: &ProjectName,
    name: &str,
) -> Result<ProjectPlugin, Failure> {
    host.store.project(project).map_err(stored)?;
    host.plugins.of_project_shown(project, name)
}

/// Changes what a project uses of a plugin.
///
/// # Errors
/// `project.not-found` and those of [`crate::plugins::Plugins::choose`].
pub(crate) async fn choose(
    host: &Arc<Host>,
    project: &ProjectName,
    name: &str,
    body: SetProjectPlugin,
) -> Result<ProjectPlugin, Failure> {
    host.store.project(project).map_err(stored)?;
    host.plugins.choose(project, name, body).await
}
