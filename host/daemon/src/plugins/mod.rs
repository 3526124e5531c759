//! The plugins of this host: what is loaded, what each project uses of it, and how that is changed.
//!
//! **Invariants.** What is in use is one value that is exchanged whole: who began with a set goes on with it,
//! whatever is installed meanwhile. A set is exchanged only after `plugins.lock` says so on disk, and only for one
//! whose plugins were compiled and tried. Nothing that `plugins.lock` does not grant is granted.
//!
//! Reading order: [`Plugins`], `set` (what is loaded), `lock` (the file), `install`, `fetch` and `artifact` (files from
//! elsewhere), `signature` (who made them), `index` (where plugins are looked for), `choose` (grants and what projects choose), `reload` (files that are put into the folders by hand), `calls`,
//! `accounts` (what calls amounted to, and what is switched off).

mod accounts;
mod artifact;
mod calls;
mod choose;
mod failures;
mod fetch;
mod index;
mod install;
mod lock;
mod options;
mod reload;
mod set;
mod signature;
mod view;

#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use windlass_model::plugin::Stage;
use windlass_model::plugin::account::{self, SwitchedOff};
use windlass_model::spelling::nearest;
use windlass_model::{Digest, Failure, ProjectName};
use windlass_sandbox::{Plugin, Sandbox};

use self::accounts::Accounts;
pub(crate) use self::accounts::keep as keep_accounts;
pub(crate) use self::calls::{Asker, bare_context, platform};
pub(crate) use self::failures::not_granted;
pub(crate) use self::fetch::check_digest;
use self::index::Indexes;
pub(crate) use self::install::{Ask, Incoming};
pub(crate) use self::options::check_of_stage;
pub(crate) use self::reload::watch;
use self::set::Set;

/// All plugins of this host.
pub struct Plugins {
    pub(crate) sandbox: Sandbox,
    /// Those that came with Windlass.
    bundled: PathBuf,
    /// Those that were installed, and `plugins.lock`.
    folder: PathBuf,
    set: RwLock<Arc<Set>>,
    indexes: Indexes,
    /// Held while the set or the lock file is changed.
    changing: tokio::sync::Mutex<()>,
    /// What calls amounted to, and what is switched off.
    accounts: Arc<Accounts>,
}

impl Plugins {
    /// Loads both folders. A component that cannot be loaded, or a lock file that does not read, is a problem
    /// to show, not a reason not to start.
    pub(crate) fn load(sandbox: Sandbox, bundled: &Path, installed: &Path) -> Self {
        // What a killed host was about to install.
        let _ = std::fs::remove_dir_all(installed.join(install::INCOMING));
        let set = Set::load(&sandbox, bundled, installed);
        let accounts = Accounts::open(installed, sandbox.limits().faults_in_a_row_max);
        // Files may have been exchanged while no host ran.
        accounts.settle_at_start(|project, name| set.digest_in_use(project, name));
        Self {
            accounts,
            sandbox,
            bundled: bundled.to_owned(),
            folder: installed.to_owned(),
            set: RwLock::new(Arc::new(set)),
            indexes: Indexes::new(installed),
            changing: tokio::sync::Mutex::new(()),
        }
    }

    /// What is loaded now.
    fn set(&self) -> Arc<Set> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a set into use. What failed in a file that is not used any more is asked again in the other one.
    async fn exchange(&self, set: Set) {
        let set = Arc::new(set);
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&set);
        if self.accounts.settle(|project, name| set.digest_in_use(project, name)) {
            self.accounts.keep_off().await;
        }
    }

    /// What a project uses, in the versions and with the grants and options that are in force; without one,
    /// what a project uses that chose nothing.
    pub(crate) fn of_project(&self, project: Option<&ProjectName>) -> InForce {
        let set = self.set();
        let sandbox = match project {
            Some(project) => self.sandbox.with_observer(self.accounts.observer(project)),
            None => self.sandbox.clone(),
        };
        let off = project.map(|project| self.accounts.off(Some(project))).unwrap_or_default();
        InForce { plugins: set.in_force(project), set, sandbox, off, project: project.cloned() }
    }
}

/// What is used for one piece of work, from its beginning to its end.
#[derive(Clone)]
pub(crate) struct InForce {
    plugins: Vec<Plugin>,
    set: Arc<Set>,
    sandbox: Sandbox,
    off: Vec<SwitchedOff>,
    /// Absent: what a project uses that chose nothing.
    project: Option<ProjectName>,
}

impl InForce {
    /// All of them, bundled ones first.
    pub(crate) fn all(&self) -> &[Plugin] {
        &self.plugins
    }

    /// All that fill a stage, bundled ones first.
    pub(crate) fn of(&self, stage: Stage) -> impl Iterator<Item = &Plugin> {
        self.plugins.iter().filter(move |plugin| plugin.fills(stage))
    }

    /// Calls plugins, and counts the calls.
    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Why a plugin is not to be asked as this, if it is not.
    pub(crate) fn off(&self, plugin: &Plugin, stage: Stage) -> Option<&SwitchedOff> {
        let digest = &plugin.info().digest;
        self.off
            .iter()
            .find(|off| off.stage == stage && off.digest == *digest && off.plugin == plugin.name())
    }

    /// All that fill a stage and may be asked, and why the others may not.
    pub(crate) fn to_ask(&self, stage: Stage) -> (Vec<&Plugin>, Vec<&SwitchedOff>) {
        let (mut on, mut off) = (Vec::new(), Vec::new());
        for plugin in self.of(stage) {
            match self.off(plugin, stage) {
                Some(why) => off.push(why),
                None => on.push(plugin),
            }
        }
        (on, off)
    }

    /// Refuses a plugin that is switched off as this.
    ///
    /// # Errors
    /// `plugin.switched-off`
    pub(crate) fn require_on(&self, plugin: &Plugin, stage: Stage) -> Result<(), Failure> {
        self.off(plugin, stage).map_or(Ok(()), |off| Err(account::switched_off(off)))
    }

    /// The plugin of this name that fills the stage.
    ///
    /// # Errors
    /// `plugin.missing`; `plugin.stage-not-filled` of one without a custom stage.
    pub(crate) fn named(&self, name: &str, stage: Stage) -> Result<&Plugin, Failure> {
        let found = self.of(stage).find(|plugin| plugin.name() == name);
        found.ok_or_else(|| self.lack(name, stage))
    }

    /// Why no plugin of this name is to be asked as this.
    fn lack(&self, name: &str, stage: Stage) -> Failure {
        let used = self.plugins.iter().find(|plugin| plugin.name() == name).cloned();
        let here = used.or_else(|| self.set.find(name).map(|(plugin, _)| plugin));
        let project = self.project.as_ref();
        let is_enabled = project.is_some_and(|one| self.set.lock.is_enabled(one, name));
        match here {
            Some(plugin) if !plugin.fills(stage) => failures::not_filled(plugin.info(), stage),
            Some(_) if !is_enabled => failures::not_enabled(name, stage, project),
            _ => {
                let is_installed = self.set.lock.installed(name).is_some();
                let mut known = self.set.infos();
                known.retain(|info| info.stages.contains(&stage) && info.manifest.name != name);
                let names = known.iter().map(|info| info.manifest.name.as_str());
                failures::missing(name, stage, is_installed, &nearest(name, names))
            }
        }
    }

    /// The very plugin that decided before, if it is still kept, else the one of its name: who detected an
    /// application also plans it, although another version was made active meanwhile.
    pub(crate) fn that_decided(
        &self,
        name: &str,
        digest: &Digest,
        stage: Stage,
    ) -> Result<Plugin, Failure> {
        let same = |plugin: &&Plugin| plugin.info().digest == *digest && plugin.fills(stage);
        if let Some(plugin) = self.plugins.iter().find(same) {
            return Ok(plugin.clone());
        }
        let options = self.plugins.iter().find(|plugin| plugin.name() == name);
        let options = options.map(|plugin| plugin.options().into_owned()).unwrap_or_default();
        match self.set.kept(digest).filter(|plugin| plugin.fills(stage)) {
            Some(plugin) => Ok(plugin.with_options(options)),
            None => self.named(name, stage).cloned(),
        }
    }
}
