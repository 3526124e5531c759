//! What a project uses of the host's plugins, and who uses a plugin.

use std::sync::Arc;

use windlass_build::Login;
use windlass_model::plugin::account::PluginStats;
use windlass_model::plugin::manage::{
    LiveUse, PluginView, PluginsView, ProjectPlugin, SetProjectPlugin,
};
use windlass_model::stage::StageRun;
use windlass_model::{Failure, ProjectName};

use super::stored;
use crate::access::caller;
use crate::host::Host;
use crate::pipeline::custom::record::Folder;

/// A plugin with all that is known of it; of projects only those that the caller may see.
///
/// # Errors
/// `plugin.not-found`; those of the store.
pub(crate) fn show(host: &Host, name: &str) -> Result<PluginView, Failure> {
    let (view, live) = (host.plugins.show(name)?, live(host, name)?);
    Ok(seen(view, live))
}

/// The same of one that was changed just now, which is so whatever else can be read.
pub(crate) fn changed(host: &Host, view: PluginView) -> PluginView {
    let live = live(host, &view.summary.info.manifest.name).unwrap_or_else(|failure| {
        tracing::warn!(%failure, "who uses a plugin is left out of what is said of its change");
        Vec::new()
    });
    seen(view, live)
}

fn seen(mut view: PluginView, live: Vec<LiveUse>) -> PluginView {
    view.live = live;
    view.projects.retain(|chosen| caller::sees(&chosen.project));
    view.summary.switched_off.retain(|off| caller::sees(&off.project));
    view
}

/// The live versions that a plugin had a part in, of the projects that the caller may see.
fn live(host: &Host, plugin: &str) -> Result<Vec<LiveUse>, Failure> {
    let mut found = Vec::new();
    let projects = host.store.projects().map_err(stored)?;
    for project in projects.iter().filter(|project| caller::sees(&project.name)) {
        for environment in host.store.environments(&project.name).map_err(stored)? {
            let Some(live) = &environment.live else { continue };
            let Some((deployment, _)) = host.deployment(live)? else { continue };
            let kept = Folder::of(&host.config.data_dir, live).stages().unwrap_or_else(|failure| {
                tracing::warn!(%failure, deployment = %live, "its stages are left out of who uses a plugin");
                Vec::new()
            });
            let custom: Vec<StageRun> = kept.into_iter().map(|kept| kept.run).collect();
            found.extend(LiveUse::of(plugin, &deployment, &custom));
        }
    }
    Ok(found)
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
