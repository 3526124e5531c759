//! Files that are put into the folders of plugins, exchanged or removed by hand, while the host runs.
//!
//! **Invariant: what is in use works.** A file is compiled and tried beside what is in use, and takes its place only
//! when that went well; else what was there stays, and the file's failure says why. A file is looked at when it has
//! been the same for one round: one that is still being written is left alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use windlass_model::Failure;
use windlass_model::event::Event;

use super::set::{Files, Loose, Set, Stamp, file_name, scan};
use super::{Plugins, failures};
use crate::host::Host;

/// How often the folders are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Keeps the folders and what is in use together, until the future is dropped.
pub(crate) async fn watch(host: Arc<Host>) {
    let mut seen = Seen::default();
    loop {
        tokio::time::sleep(EVERY).await;
        for change in host.plugins.look(&mut seen).await {
            let (kind, message) = match change {
                Change::Loaded(what) => ("plugin.loaded", format!("{what} is in use")),
                Change::Gone(what) => ("plugin.loaded", format!("{what} is gone")),
                Change::Failed(what, failure) => {
                    ("plugin.problem", format!("{what}: {}: {}", failure.what, failure.why))
                }
            };
            tracing::info!(kind, "{message}");
            host.observe.events.record(Event::now(kind, message));
        }
    }
}

/// What the folders held the last time, by folder.
#[derive(Default)]
pub(super) struct Seen {
    bundled: BTreeMap<PathBuf, Stamp>,
    dropped: BTreeMap<PathBuf, Stamp>,
}

/// Something that was done about a file.
#[derive(Debug)]
pub(super) enum Change {
    /// It is in use.
    Loaded(String),
    /// It was removed.
    Gone(String),
    /// It is not in use; what was in use before still is.
    Failed(String, Failure),
}

impl Plugins {
    /// One round.
    pub(super) async fn look(&self, seen: &mut Seen) -> Vec<Change> {
        let mut changes = self.look_at(true, &mut seen.bundled).await;
        changes.extend(self.look_at(false, &mut seen.dropped).await);
        changes
    }

    async fn look_at(&self, bundled: bool, seen: &mut BTreeMap<PathBuf, Stamp>) -> Vec<Change> {
        let folder = if bundled { self.bundled.clone() } else { self.folder.clone() };
        let scanned = tokio::task::spawn_blocking(move || scan(&folder)).await;
        let now = match scanned.map_err(std::io::Error::other).flatten() {
            Ok(now) => now,
            Err(error) => {
                // A folder that cannot be read is not one without files.
                tracing::debug!(%error, "a folder of plugins cannot be read");
                return Vec::new();
            }
        };
        let before = std::mem::replace(seen, now.clone());
        let set = self.set();
        let known = files(&set, bundled);
        let mut changes = Vec::new();
        for (path, stamp) in &now {
            let is_new = known.get(path).is_none_or(|file| file.stamp != *stamp);
            if is_new && before.get(path) == Some(stamp) {
                changes.push(self.take(path, *stamp, bundled).await);
            }
        }
        for path in known.keys() {
            if !now.contains_key(path) && !before.contains_key(path) {
                changes.push(self.drop_file(path, bundled).await);
            }
        }
        changes
    }

    /// Compiles and tries a file; it takes its place when that went well.
    async fn take(&self, path: &Path, stamp: Stamp, bundled: bool) -> Change {
        let name = file_name(path);
        let loaded = self.sandbox.load(path, bundled);
        let tried = match loaded {
            Ok(plugin) => match self.sandbox.smoke_test(&plugin).await {
                Ok(()) => Ok(plugin),
                Err(fault) => Err(failures::does_not_start(&name, &fault)),
            },
            Err(error) => Err(failures::not_loaded(path, &error)),
        };
        let _changing = self.changing.lock().await;
        let mut set = Set::clone(&self.set());
        let files = files_mut(&mut set, bundled);
        let before = files.get(path).and_then(|file| file.plugin.clone());
        let (plugin, failure) = match tried {
            Ok(plugin) => (Some(plugin), None),
            Err(failure) => (before.clone(), Some(not_exchanged(failure, before.is_some()))),
        };
        files.insert(path.to_owned(), Loose { stamp, plugin, failure: failure.clone() });
        self.exchange(set).await;
        match failure {
            None => Change::Loaded(name),
            Some(failure) => Change::Failed(name, failure),
        }
    }

    async fn drop_file(&self, path: &Path, bundled: bool) -> Change {
        let _changing = self.changing.lock().await;
        let mut set = Set::clone(&self.set());
        files_mut(&mut set, bundled).remove(path);
        self.exchange(set).await;
        Change::Gone(file_name(path))
    }
}

fn files(set: &Set, bundled: bool) -> &Files {
    if bundled { &set.bundled } else { &set.dropped }
}

fn files_mut(set: &mut Set, bundled: bool) -> &mut Files {
    if bundled { &mut set.bundled } else { &mut set.dropped }
}

fn not_exchanged(mut failure: Failure, was_in_use: bool) -> Failure {
    if was_in_use {
        failure.why = format!("{}; what the file held before stays in use", failure.why);
    }
    failure
}
