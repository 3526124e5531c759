//! What a project uses of the host's plugins.

use std::sync::Arc;

use windlass_build::Login;
use windlass_model::plugin::account::PluginStats;
use windlass_model::plugin::manage::{PluginView, PluginsView, ProjectPlugin, SetProjectPlugin};
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
    view.summary.switched_off.retain(|off| caller::sees(&off.project));
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

/// All plugins, and what could not be loaded; of what is off only what the caller may see.
pub(crate) fn list(host: &Host) -> PluginsView {
    let mut view = host.plugins.view();
    for plugin in &mut view.plugins {
        plugin.switched_off.retain(|off| caller::sees(&off.project));
    }
    view
}

/// What the calls of plugins amounted to, of the projects that the caller may see.
///
/// # Errors
/// `project.not-found`, `plugin.not-found`.
pub(crate) fn stats(
    host: &Host,
    project: Option<&ProjectName>,
    plugin: Option<&str>,
) -> Result<PluginStats, Failure> {
    if let Some(project) = project {
        caller::must_see(project)?;
        host.store.project(project).map_err(stored)?;
    }
    host.plugins.stats(project, plugin, caller::sees)
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
