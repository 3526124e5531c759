//! What the operator grants, whom he trusts, and what projects choose.

use windlass_model::plugin::lock::{Choice, Signatures};
use windlass_model::plugin::manage::{
    PluginView, ProjectPlugin, SetGrants, SetProjectPlugin, SetSignatures, SignaturesView, Standing,
};
use windlass_model::plugin::missing;
use windlass_model::{Failure, ProjectName};
use windlass_sandbox::Plugin;

use super::install::{check_ceilings, require_installed};
use super::set::Set;
use super::{Plugins, failures, options, signature, view};

/// Keys that are trusted at the same time.
const KEYS_MAX: usize = 100;

impl Plugins {
    /// Grants this and nothing else to the active version, or to one that came with Windlass. Durable when it
    /// returns; calls that run keep what they had.
    ///
    /// # Errors
    /// `plugin.not-found`, `plugin.not-installed`; `plugin.not-granted` when an installed one could not do
    /// without what is taken away; `plugin.grant-too-large`.
    pub(crate) async fn grant(&self, name: &str, body: &SetGrants) -> Result<PluginView, Failure> {
        let _changing = self.changing.lock().await;
        let mut set = self.writable()?;
        let Some((plugin, standing)) = set.find(name) else {
            return Err(failures::unknown(name));
        };
        let asks = &plugin.info().manifest.capabilities;
        let grants = body.grant.of(asks);
        let fits = check_ceilings(name, asks, &grants, self.sandbox.limits());
        match standing {
            Standing::Unmanaged => return Err(failures::not_installed(name, false)),
            Standing::Bundled => {
                fits?;
                set.lock.bundled.insert(name.to_owned(), grants);
                set.lock.bundled.retain(|_, grants| !grants.0.is_empty());
            }
            Standing::Installed => {
                fits?;
                if !missing(asks, &grants).is_empty() {
                    return Err(failures::not_granted(name, asks, &grants, true));
                }
                let digest = plugin.info().digest.clone();
                let granted = plugin.with_grants(grants.clone());
                set.installed.insert((name.to_owned(), digest.clone()), granted);
                let installed = set.lock.installed_mut(name);
                let versions = installed.map(|installed| &mut installed.versions);
                for version in versions.into_iter().flatten().filter(|v| v.digest == digest) {
                    version.grants = grants.clone();
                }
            }
        }
        self.commit(set, name).await?;
        self.show(name)
    }

    /// Changes what a project uses of a plugin. Durable when it returns; deployments that run keep what they
    /// began with.
    ///
    /// # Errors
    /// `plugin.not-found`, `plugin.not-installed` for a version of one that is not, `plugin.version-unknown`,
    /// `plugin.options-invalid`.
    pub(crate) async fn choose(
        &self,
        project: &ProjectName,
        name: &str,
        body: SetProjectPlugin,
    ) -> Result<ProjectPlugin, Failure> {
        let _changing = self.changing.lock().await;
        let mut set = self.writable()?;
        if !set.knows(name) {
            return Err(failures::unknown(name));
        }
        let before = set.lock.choice(project, name).cloned().unwrap_or_default();
        let pinned = match body.version.as_deref() {
            None => before.pinned,
            Some("active") => None,
            Some(text) => Some(pinned(&set, name, text)?),
        };
        let choice = Choice {
            enabled: body.enabled.or(before.enabled),
            pinned,
            options: body.options.unwrap_or(before.options),
        };
        let chosen = chosen(&set, name, &choice);
        if let Some(plugin) = &chosen {
            options::check(&plugin.info().manifest, project, &choice.options)?;
        }
        set.lock.choose(project, name, choice);
        self.commit(set, name).await?;
        if body.enabled.is_some() {
            self.switch_on(project, name).await;
        }
        self.of_project_shown(project, name)
    }

    /// What a project uses of every plugin.
    pub(crate) fn chosen_by(&self, project: &ProjectName) -> Vec<ProjectPlugin> {
        let set = self.set();
        let off = self.switched_off(Some(project));
        let names = set.all().into_iter().map(|(plugin, _)| plugin.name().to_owned());
        names.filter_map(|name| view::of_project(&set, project, &name, &off)).collect()
    }

    /// What a project uses of one plugin.
    ///
    /// # Errors
    /// `plugin.not-found`
    pub(crate) fn of_project_shown(
        &self,
        project: &ProjectName,
        name: &str,
    ) -> Result<ProjectPlugin, Failure> {
        let off = self.switched_off(Some(project));
        view::of_project(&self.set(), project, name, &off).ok_or_else(|| failures::unknown(name))
    }

    /// Forgets what a project chose: it is deleted, and a later one of its name chooses anew.
    ///
    /// # Errors
    /// The lock file cannot be written.
    pub(crate) async fn forget(&self, project: &ProjectName) -> Result<(), Failure> {
        self.forget_account(project).await;
        let _changing = self.changing.lock().await;
        if !self.set().lock.projects.contains_key(project) {
            return Ok(());
        }
        let mut set = self.writable()?;
        set.lock.projects.remove(project);
        self.store(set).await
    }

    /// Whose signatures count.
    pub(crate) fn signatures(&self) -> SignaturesView {
        let Signatures { policy, keys } = self.set().lock.signatures.clone();
        SignaturesView { policy, keys }
    }

    /// Changes whose signatures count. Durable when it returns. What is installed stays.
    ///
    /// # Errors
    /// `plugin.key-invalid`
    pub(crate) async fn trust(&self, body: SetSignatures) -> Result<SignaturesView, Failure> {
        let _changing = self.changing.lock().await;
        let mut set = self.writable()?;
        let trust = &mut set.lock.signatures;
        trust.policy = body.policy.unwrap_or(trust.policy);
        for name in &body.remove {
            if trust.keys.remove(name).is_none() {
                return Err(no_key(name));
            }
        }
        for (name, key) in body.add {
            signature::check_key(&name, &key)?;
            trust.keys.insert(name, key.trim().to_owned());
        }
        if trust.keys.len() > KEYS_MAX {
            return Err(Failure::app(
                "plugin.key-invalid",
                "there are too many trusted keys",
                format!("at most {KEYS_MAX} are kept"),
                "remove those that are not needed: windlass plugin trust --remove NAME",
            ));
        }
        self.store(set).await?;
        Ok(self.signatures())
    }
}

fn no_key(name: &str) -> Failure {
    Failure::app(
        "plugin.key-unknown",
        format!("no key {name} is trusted"),
        "there is none of this name",
        "`windlass plugin trust` lists them",
    )
}

/// The version that a person means.
fn pinned(set: &Set, name: &str, text: &str) -> Result<windlass_model::Digest, Failure> {
    require_installed(set, name)?;
    let installed = set.lock.installed(name);
    if let Some(version) = installed.and_then(|plugin| plugin.find(text)) {
        return Ok(version.digest.clone());
    }
    let versions = installed.map(|plugin| plugin.versions.as_slice()).unwrap_or_default();
    let kept: Vec<String> =
        versions.iter().map(|v| format!("{} ({})", v.version, v.digest.short())).collect();
    Err(Failure::app(
        "plugin.version-unknown",
        format!("{name} has no version {text} here"),
        format!("kept are {}", kept.join(", ")),
        "name one of these, or install it with `windlass plugin upgrade`; `active` follows the active one",
    ))
}

/// The plugin that a choice leads to.
fn chosen(set: &Set, name: &str, choice: &Choice) -> Option<Plugin> {
    match &choice.pinned {
        Some(digest) => set.version(name, digest),
        None => set.find(name).map(|(plugin, _)| plugin),
    }
}
