//! Plugins as people see them.

use windlass_model::plugin::account::SwitchedOff;
use windlass_model::plugin::lock::{Choice, Version};
use windlass_model::plugin::manage::{
    Asked, PluginSummary, PluginView, PluginsView, ProjectPlugin, Proposal, Standing,
};
use windlass_model::plugin::{Capability, Grants, PluginInfo, effective};
use windlass_model::{Failure, ProjectName};
use windlass_sandbox::Plugin;

use super::set::Set;
use super::{Plugins, failures};

impl Plugins {
    /// All plugins, and what could not be loaded.
    pub fn view(&self) -> PluginsView {
        let (set, off) = (self.set(), self.switched_off(None));
        let summaries =
            set.all().into_iter().map(|(plugin, standing)| summary(&set, &plugin, standing, &off));
        PluginsView {
            plugins: summaries.collect(),
            problems: set.problems(),
            component_bytes_max: Some(self.sandbox.limits().component_bytes_max),
        }
    }

    /// What every plugin says of itself.
    pub(crate) fn infos(&self) -> Vec<PluginInfo> {
        self.set().infos()
    }

    /// What could not be loaded: file and failure.
    pub(crate) fn problems(&self) -> Vec<(String, Failure)> {
        self.set().problems()
    }

    /// A plugin with all that is known of it here: which live versions it had a part in, the store knows.
    ///
    /// # Errors
    /// `plugin.not-found`
    pub(crate) fn show(&self, name: &str) -> Result<PluginView, Failure> {
        let (set, off) = (self.set(), self.switched_off(None));
        let (plugin, standing) = set.find(name).ok_or_else(|| failures::unknown(name))?;
        let installed = set.lock.installed(name);
        let mut versions = installed.map(|one| one.versions.clone()).unwrap_or_default();
        versions.reverse();
        let choices = set.lock.projects.iter().filter(|(_, choices)| choices.contains_key(name));
        let projects = choices.filter_map(|(project, _)| of_project(&set, project, name, &off));
        let info = plugin.info();
        Ok(PluginView {
            asks: asked(&info.manifest.capabilities, plugin.grants()),
            versions,
            previous: installed.and_then(|one| one.previous.clone()),
            projects: projects.collect(),
            live: Vec::new(),
            summary: summary(&set, &plugin, standing, &off),
        })
    }
}

fn summary(set: &Set, plugin: &Plugin, standing: Standing, off: &[SwitchedOff]) -> PluginSummary {
    PluginSummary {
        info: plugin.info().clone(),
        standing,
        grants: plugin.grants().clone(),
        everywhere: set.lock.installed(plugin.name()).is_none_or(|one| one.everywhere),
        switched_off: of_plugin(off, plugin.name()).cloned().collect(),
    }
}

fn of_plugin<'a>(off: &'a [SwitchedOff], name: &'a str) -> impl Iterator<Item = &'a SwitchedOff> {
    off.iter().filter(move |off| off.plugin == name)
}

/// What a project uses of a plugin; `None` when there is none of this name, or its version could not be loaded.
pub(super) fn of_project(
    set: &Set,
    project: &ProjectName,
    name: &str,
    off: &[SwitchedOff],
) -> Option<ProjectPlugin> {
    let choice = set.lock.choice(project, name).cloned().unwrap_or_default();
    let Choice { pinned, options, .. } = choice;
    let plugin = match &pinned {
        Some(digest) => set.version(name, digest)?,
        None => set.find(name)?.0,
    };
    Some(ProjectPlugin {
        project: project.clone(),
        plugin: name.to_owned(),
        enabled: set.lock.is_enabled(project, name),
        version: plugin.info().manifest.version.clone(),
        pinned: pinned.is_some(),
        options,
        switched_off: of_plugin(off, name).filter(|off| off.project == *project).cloned().collect(),
    })
}

/// Each capability, with what of it is granted.
fn asked(capabilities: &[Capability], grants: &Grants) -> Vec<Asked> {
    let asked = |capability: &Capability| Asked {
        capability: capability.clone(),
        granted: Grants(effective(std::slice::from_ref(capability), grants).requests().to_vec()),
    };
    capabilities.iter().map(asked).collect()
}

/// What an installation does.
pub(super) fn proposal(
    info: &PluginInfo,
    version: &Version,
    more: Vec<Capability>,
    replaces: Option<String>,
) -> Proposal {
    let manifest = &info.manifest;
    Proposal {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        digest: info.digest.clone(),
        bytes: info.bytes,
        summary: manifest.summary.clone(),
        licence: manifest.licence.clone(),
        stages: info.stages.clone(),
        asks: asked(&manifest.capabilities, &version.grants),
        more,
        replaces,
        signature: version.signature.clone(),
        installed: false,
    }
}
