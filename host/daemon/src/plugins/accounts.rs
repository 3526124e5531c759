//! What the calls of plugins amounted to, and which plugins are switched off for which projects.
//!
//! **Invariants.** A call costs its caller a lock and a few additions; nothing is written on its way. What is counted
//! is written every [`EVERY`] and when the host stops, so a host that is killed loses at most that much of it. That
//! a plugin is off is on the disk before anybody is told. It is off for one project, in one stage, and as long as
//! the project uses the very file that failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windlass_model::event::Event;
use windlass_model::plugin::account::{
    self, Account, Blame, OFF_FILE, PluginStats, PluginUse, SwitchedOff,
};
use windlass_model::plugin::{CallReport, Stage};
use windlass_model::secret::Masker;
use windlass_model::{Deployment, Digest, Failure, ProjectName, Timestamp};
use windlass_sandbox::{Observer, Plugin, PluginFault};
use windlass_store::Store;

use super::install::blocking;
use super::{Plugins, failures, lock};
use crate::host::Host;

/// How often what is counted is written.
pub(crate) const EVERY: Duration = Duration::from_secs(60);

/// All that is counted.
pub(super) struct Accounts {
    /// Where [`OFF_FILE`] is.
    folder: PathBuf,
    /// Faults in a row after which a plugin is switched off; 0: never.
    faults_max: u32,
    state: Mutex<State>,
    /// Held while the file is written.
    writing: tokio::sync::Mutex<()>,
    /// Wakes who tells of what is asked again.
    is_on_again: tokio::sync::Notify,
}

#[derive(Default)]
struct State {
    projects: BTreeMap<ProjectName, Account>,
    /// Projects with something that is not written yet.
    changed: BTreeSet<ProjectName>,
    off: Vec<SwitchedOff>,
    /// What is asked again, until an event says so.
    on_again: Vec<SwitchedOff>,
}

impl State {
    fn account(&mut self, project: &ProjectName) -> &mut Account {
        self.changed.insert(project.clone());
        let new = || Account::new(project.clone());
        self.projects.entry(project.clone()).or_insert_with(new)
    }
}

/// A project whose account is being written. Dropped before it is, it is to be written again.
struct Unwritten<'a> {
    accounts: &'a Accounts,
    project: &'a ProjectName,
    is_settled: bool,
}

impl<'a> Unwritten<'a> {
    /// What is counted while it is written marks the project anew.
    fn take(accounts: &'a Accounts, project: &'a ProjectName) -> Self {
        accounts.state().changed.remove(project);
        Self { accounts, project, is_settled: false }
    }

    fn settle(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.accounts.state().changed.insert(self.project.clone());
        }
    }
}

/// Counts the calls on behalf of a project.
struct Counting {
    accounts: Arc<Accounts>,
    project: ProjectName,
}

impl Observer for Counting {
    fn ended(&self, plugin: &Plugin, report: &CallReport) {
        let mut state = self.accounts.state();
        state.account(&self.project).count(plugin.info(), report, Timestamp::now());
    }
}

impl Accounts {
    /// Reads what is off. A file that does not read says nothing: what it switched off is asked again.
    pub(super) fn open(folder: &Path, faults_max: u32) -> Arc<Self> {
        let off = match fs::read(folder.join(OFF_FILE)) {
            Ok(text) => account::parse_off(&text).unwrap_or_else(|error| {
                tracing::warn!(%error, "{OFF_FILE} does not read: plugins that were off are asked again");
                Vec::new()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "{OFF_FILE} cannot be read: plugins that were off are asked again");
                Vec::new()
            }
        };
        Arc::new(Self {
            folder: folder.to_owned(),
            faults_max,
            state: Mutex::new(State { off, ..State::default() }),
            writing: tokio::sync::Mutex::new(()),
            is_on_again: tokio::sync::Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who counts the calls on behalf of a project.
    pub(super) fn observer(self: &Arc<Self>, project: &ProjectName) -> Arc<dyn Observer> {
        Arc::new(Counting { accounts: Arc::clone(self), project: project.clone() })
    }

    /// What is off for a project; for all of them without one.
    pub(super) fn off(&self, project: Option<&ProjectName>) -> Vec<SwitchedOff> {
        let state = self.state();
        let of_it = |off: &&SwitchedOff| project.is_none_or(|project| off.project == *project);
        state.off.iter().filter(of_it).cloned().collect()
    }

    /// Takes out of what is off what this says; what that was.
    fn take(&self, is_on: impl Fn(&SwitchedOff) -> bool) -> Vec<SwitchedOff> {
        let mut state = self.state();
        let (on, off) = std::mem::take(&mut state.off).into_iter().partition(is_on);
        state.off = off;
        on
    }

    /// Has it told that these are asked again.
    fn tell(&self, on: impl IntoIterator<Item = SwitchedOff>) {
        self.state().on_again.extend(on);
        self.is_on_again.notify_one();
    }

    /// Leaves off only what is off in the file that its project uses; whether anything is off no more.
    pub(super) fn settle(&self, in_use: impl Fn(&ProjectName, &str) -> Option<Digest>) -> bool {
        let used = |off: &SwitchedOff| in_use(&off.project, &off.plugin);
        let gone = self.take(|off| used(off).as_ref() != Some(&off.digest));
        let is_any = !gone.is_empty();
        // One that is not used at all is asked by nobody.
        self.tell(gone.into_iter().filter(|off| used(off).is_some()));
        is_any
    }

    /// Leaves off only what is off in the files that are used after a start.
    pub(super) fn settle_at_start(&self, in_use: impl Fn(&ProjectName, &str) -> Option<Digest>) {
        if self.settle(in_use)
            && let Err(error) = write(&self.folder, &self.off(None))
        {
            tracing::warn!(%error, "{OFF_FILE} could not be written and says too much");
        }
    }

    /// Writes what is off, durably. What cannot be written is off until the host stops, and that is said.
    pub(super) async fn keep_off(&self) {
        let _one = self.writing.lock().await;
        let (folder, off) = (self.folder.clone(), self.off(None));
        let written =
            blocking("write which plugins are switched off", move || write(&folder, &off));
        if let Err(failure) = written.await {
            tracing::error!(%failure, "after a restart other plugins may be switched off than now");
        }
    }
}

/// Writes the file: it is whole or the one before. Without anything to say there is none.
fn write(folder: &Path, off: &[SwitchedOff]) -> io::Result<()> {
    let path = folder.join(OFF_FILE);
    if off.is_empty() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => lock::sync(folder),
        };
    }
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".switched-off-").tempfile_in(folder)?;
    file.write_all(&serde_json::to_vec_pretty(off)?)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    lock::sync(folder)
}

impl Plugins {
    /// Notes how a call on behalf of a deployment ended. What is returned was switched off by it, and is on the
    /// disk; `function` is the function, of a custom stage with the stage's name.
    pub(super) async fn note(
        &self,
        deployment: &Deployment,
        plugin: &Plugin,
        stage: Stage,
        function: String,
        fault: Option<&PluginFault>,
        masker: &Masker,
    ) -> Option<SwitchedOff> {
        let (project, info) = (&deployment.project, plugin.info());
        if self.set().digest_in_use(project, plugin.name()).as_ref() != Some(&info.digest) {
            // Another version was made active while this one was at work.
            return None;
        }
        let off = {
            let mut state = self.accounts.state();
            let blame = fault.map_or(Blame::Nobody, PluginFault::blame);
            let account = state.account(project);
            let faults = account.note(info, stage, &function, blame)?;
            let is_off = state.off.iter().any(|off| {
                off.project == *project && off.digest == info.digest && off.stage == stage
            });
            let faults_max = self.accounts.faults_max;
            if faults_max == 0 || faults < faults_max || is_off {
                return None;
            }
            let off = SwitchedOff {
                project: project.clone(),
                plugin: plugin.name().to_owned(),
                version: info.manifest.version.clone(),
                digest: info.digest.clone(),
                stage,
                function,
                faults,
                code: fault.map_or_else(String::new, |fault| fault.code().to_owned()),
                reason: masker.mask(&fault.map_or_else(String::new, ToString::to_string)),
                at: Timestamp::now(),
                environment: deployment.environment.clone(),
                deployment: deployment.id.clone(),
                number: deployment.number,
            };
            state.off.push(off.clone());
            off
        };
        self.accounts.keep_off().await;
        Some(off)
    }

    /// Asks a plugin again on behalf of a project, and forgets that it failed.
    pub(super) async fn switch_on(&self, project: &ProjectName, plugin: &str) {
        self.accounts.state().account(project).forgive(plugin);
        let on = self.accounts.take(|off| off.project == *project && off.plugin == plugin);
        if on.is_empty() {
            return;
        }
        self.accounts.keep_off().await;
        self.accounts.tell(on);
    }

    /// What is off for a project; for all of them without one.
    pub(crate) fn switched_off(&self, project: Option<&ProjectName>) -> Vec<SwitchedOff> {
        self.accounts.off(project)
    }

    /// Totals: of a project, or of all that `sees` lets pass; of one plugin, or of all.
    ///
    /// # Errors
    /// `plugin.not-found` when nothing is known of the plugin.
    pub(crate) fn stats(
        &self,
        project: Option<&ProjectName>,
        plugin: Option<&str>,
        sees: impl Fn(&ProjectName) -> bool,
    ) -> Result<PluginStats, Failure> {
        let is_asked =
            |name: &ProjectName| sees(name) && project.is_none_or(|project| project == name);
        let is_it = |name: &str| plugin.is_none_or(|plugin| plugin == name);
        let state = self.accounts.state();
        let accounts = state.projects.values().filter(|account| is_asked(&account.project));
        let mut plugins: Vec<PluginUse> = account::summed(accounts);
        plugins.retain(|row| is_it(&row.plugin));
        let off = state.off.iter().filter(|off| is_asked(&off.project) && is_it(&off.plugin));
        let switched_off = off.cloned().collect();
        drop(state);
        if let Some(name) = plugin.filter(|name| plugins.is_empty() && !self.set().knows(name)) {
            return Err(failures::unknown(name));
        }
        Ok(PluginStats { project: project.cloned(), plugins, switched_off })
    }

    /// Goes on counting where the host before stopped.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn restore_accounts(&self, store: &Store) -> Result<(), Failure> {
        let kept = store.plugin_accounts().map_err(|error| error.to_failure())?;
        let mut state = self.accounts.state();
        state.projects = kept.into_iter().map(|one| (one.project.clone(), one)).collect();
        Ok(())
    }

    /// Writes what was counted since it was written last. What cannot be written now is written with what comes.
    pub(crate) async fn keep_accounts(&self, store: &Store) {
        let changed = self.accounts.state().changed.clone();
        for project in changed {
            // One by one, and put back unless it was written: whoever is dropped here drops nothing of the rest.
            let unwritten = Unwritten::take(&self.accounts, &project);
            let Some(account) = self.accounts.state().projects.get(&project).cloned() else {
                unwritten.settle();
                continue;
            };
            match store.put_plugin_account(&account).await {
                Ok(true) => unwritten.settle(),
                Ok(false) => {
                    unwritten.settle();
                    self.forget_account(&project).await;
                }
                Err(error) => {
                    tracing::debug!(%error, %project, "what plugins did is written later");
                }
            }
        }
    }

    /// Forgets a project that is gone.
    pub(super) async fn forget_account(&self, project: &ProjectName) {
        {
            let mut state = self.accounts.state();
            state.projects.remove(project);
            state.changed.remove(project);
        }
        if !self.accounts.take(|off| off.project == *project).is_empty() {
            self.accounts.keep_off().await;
        }
    }
}

/// Writes what is counted now and then, and tells of what is asked again, until the future is dropped.
pub(crate) async fn keep(host: Arc<Host>) {
    let accounts = &host.plugins.accounts;
    let mut writes = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = writes.tick() => host.plugins.keep_accounts(&host.store).await,
            () = accounts.is_on_again.notified() => {}
        }
        let on_again = std::mem::take(&mut accounts.state().on_again);
        for off in on_again {
            let said =
                format!("{} is asked again as a {} for {}", off.plugin, off.role(), off.project);
            tracing::info!("{said}");
            let event = Event::now("plugin.switched-on", said);
            host.observe.events.record(Event { project: Some(off.project), ..event });
        }
    }
}
