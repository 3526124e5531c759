//! What is loaded: files of two folders, and what `plugins.lock` names.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;
use std::{fs, io};

use windlass_model::plugin::PluginInfo;
use windlass_model::plugin::lock::{Installed, Lock, Version};
use windlass_model::plugin::manage::Standing;
use windlass_model::{Digest, Failure, ProjectName};
use windlass_sandbox::{Plugin, Sandbox};

use super::{failures, lock};

/// What tells a file from the one that had its name before: device, inode, size and time of its last change.
pub(super) type Stamp = (u64, u64, u64, i64, i64);

/// A file of a folder.
#[derive(Clone)]
pub(super) struct Loose {
    pub(super) stamp: Stamp,
    /// What is in use of it. It may be older than the file, when the file cannot be loaded.
    pub(super) plugin: Option<Plugin>,
    /// Why the file is not in use.
    pub(super) failure: Option<Failure>,
}

/// The files of a folder, by path: in the order of their names.
pub(super) type Files = BTreeMap<PathBuf, Loose>;

/// All that is loaded. Cheap enough to copy for a change.
#[derive(Clone)]
pub(super) struct Set {
    pub(super) bundled: Files,
    /// Put into the folder by hand.
    pub(super) dropped: Files,
    /// Every version of the lock that could be loaded.
    pub(super) installed: BTreeMap<(String, Digest), Plugin>,
    pub(super) lock: Lock,
    /// Why the lock must not be written.
    pub(super) lock_failure: Option<Failure>,
    /// What is wrong beside files of the folders.
    pub(super) problems: Vec<(String, Failure)>,
}

impl Set {
    /// Loads everything. Nothing is compiled, and no code is mapped.
    pub(super) fn load(sandbox: &Sandbox, bundled: &Path, folder: &Path) -> Self {
        let mut problems = Vec::new();
        let (lock, lock_failure) = match lock::read(folder) {
            Ok((lock, problem)) => {
                problems.extend(
                    problem.map(|problem| (file_name(&folder.join("plugins.lock")), problem)),
                );
                (lock, None)
            }
            Err(failure) => {
                problems.push((file_name(&folder.join("plugins.lock")), failure.clone()));
                (Lock::default(), Some(failure))
            }
        };
        let versions_of = |plugin: &'_ Installed| -> Vec<(String, Version)> {
            plugin.versions.iter().map(|one| (plugin.name.clone(), one.clone())).collect()
        };
        let named: Vec<(String, Version)> = lock.plugins.iter().flat_map(versions_of).collect();
        let loaded =
            in_parallel(&named, |(name, version)| load_version(sandbox, folder, name, version));
        let mut installed = BTreeMap::new();
        for ((name, version), loaded) in named.into_iter().zip(loaded) {
            match loaded {
                Ok(loaded) => {
                    installed.insert((name, version.digest), loaded);
                }
                Err(failure) => problems.push((version.file(&name), failure)),
            }
        }
        let bundled = load_folder(sandbox, bundled, true, &mut problems);
        let dropped = load_folder(sandbox, folder, false, &mut problems);
        Self { bundled, dropped, installed, lock, lock_failure, problems }
    }

    /// What a project uses; without one, what a project uses that chose nothing.
    pub(super) fn in_force(&self, project: Option<&ProjectName>) -> Vec<Plugin> {
        let chosen = |name: &str| project.and_then(|project| self.lock.choice(project, name));
        let mut plugins: Vec<Plugin> = self.bundled().chain(self.unmanaged()).collect();
        plugins.retain(|plugin| {
            project.is_none_or(|project| self.lock.is_enabled(project, plugin.name()))
        });
        for installed in &self.lock.plugins {
            let digest = match project {
                Some(project) => self.lock.in_use(project, installed),
                None => Some(installed.active.clone()).filter(|_| installed.everywhere),
            };
            plugins.extend(digest.and_then(|digest| self.version(&installed.name, &digest)));
        }
        let with_options = |plugin: Plugin| match chosen(plugin.name()) {
            Some(choice) => plugin.with_options(choice.options.clone()),
            None => plugin,
        };
        plugins.into_iter().map(with_options).collect()
    }

    /// The file that a project uses of a plugin; `None` when it uses none of this name.
    pub(super) fn digest_in_use(&self, project: &ProjectName, name: &str) -> Option<Digest> {
        if let Some(installed) = self.lock.installed(name) {
            let digest = self.lock.in_use(project, installed)?;
            return self.version(name, &digest).map(|_| digest);
        }
        if !self.lock.is_enabled(project, name) {
            return None;
        }
        let files = self.bundled.values().chain(self.dropped.values());
        let mut plugins = files.filter_map(|file| file.plugin.as_ref());
        let found = plugins.find(|plugin| plugin.name() == name)?;
        Some(found.info().digest.clone())
    }

    /// Those that came with Windlass, each with what it was granted.
    pub(super) fn bundled(&self) -> impl Iterator<Item = Plugin> {
        let plugins = self.bundled.values().filter_map(|file| file.plugin.as_ref());
        plugins.map(|plugin| match self.lock.bundled.get(plugin.name()) {
            Some(grants) => plugin.with_grants(grants.clone()),
            None => plugin.clone(),
        })
    }

    /// Those that were put into the folder by hand. The name of an installed one is its own.
    pub(super) fn unmanaged(&self) -> impl Iterator<Item = Plugin> {
        let plugins = self.dropped.values().filter_map(|file| file.plugin.clone());
        plugins.filter(|plugin| self.lock.installed(plugin.name()).is_none())
    }

    /// A version of an installed one.
    pub(super) fn version(&self, name: &str, digest: &Digest) -> Option<Plugin> {
        self.installed.get(&(name.to_owned(), digest.clone())).cloned()
    }

    /// Any version that is kept, by its digest.
    pub(super) fn kept(&self, digest: &Digest) -> Option<Plugin> {
        self.installed
            .iter()
            .find(|((_, kept), _)| kept == digest)
            .map(|(_, plugin)| plugin.clone())
    }

    /// Each plugin once, installed ones in their active version, with how it came here.
    pub(super) fn all(&self) -> Vec<(Plugin, Standing)> {
        let mut all: Vec<(Plugin, Standing)> =
            self.bundled().map(|plugin| (plugin, Standing::Bundled)).collect();
        all.extend(self.unmanaged().map(|plugin| (plugin, Standing::Unmanaged)));
        let active = |one: &Installed| self.version(&one.name, &one.active);
        all.extend(
            self.lock.plugins.iter().filter_map(active).map(|one| (one, Standing::Installed)),
        );
        all
    }

    /// The plugin of this name, with how it came here.
    pub(super) fn find(&self, name: &str) -> Option<(Plugin, Standing)> {
        self.all().into_iter().find(|(plugin, _)| plugin.name() == name)
    }

    /// Whether a plugin of this name is here.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.lock.installed(name).is_some() || self.find(name).is_some()
    }

    /// What every plugin says of itself.
    pub(super) fn infos(&self) -> Vec<PluginInfo> {
        self.all().into_iter().map(|(plugin, _)| plugin.info().clone()).collect()
    }

    /// What could not be loaded: file and failure.
    pub(super) fn problems(&self) -> Vec<(String, Failure)> {
        let mut problems = self.problems.clone();
        for (path, file) in self.bundled.iter().chain(&self.dropped) {
            problems.extend(file.failure.clone().map(|failure| (file_name(path), failure)));
        }
        for (path, file) in &self.dropped {
            let Some(plugin) = &file.plugin else { continue };
            if self.lock.installed(plugin.name()).is_some() {
                problems.push((file_name(path), taken(plugin.name())));
            }
        }
        problems
    }
}

/// Does the same for every item, on as many threads as there are cores; the results are in the order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let (each, work) = (items.len().div_ceil(threads).max(1), &work);
    std::thread::scope(|scope| {
        let mut parts: Vec<ScopedJoinHandle<'_, Vec<R>>> = Vec::new();
        for part in items.chunks(each) {
            parts.push(scope.spawn(move || part.iter().map(work).collect()));
        }
        let done = parts.into_iter().map(|part| part.join().unwrap_or_else(|e| resume_unwind(e)));
        done.flatten().collect()
    })
}

/// Loads a version that the lock names: the file must be the one that was installed.
pub(super) fn load_version(
    sandbox: &Sandbox,
    folder: &Path,
    name: &str,
    version: &Version,
) -> Result<Plugin, Failure> {
    let path = folder.join(version.file(name));
    let plugin = sandbox
        .load_granted(&path, false, &version.grants)
        .map_err(|error| failures::not_loaded(&path, &error))?;
    let info = plugin.info();
    if info.digest == version.digest && info.manifest.name == name {
        return Ok(plugin);
    }
    Err(Failure::host(
        "plugin.file-changed",
        format!("the plugin {name} {} was not loaded", version.version),
        format!(
            "{} is not the file that was installed: its digest is {}, plugins.lock says {}",
            path.display(),
            info.digest.short(),
            version.digest.short()
        ),
        format!("install it again: windlass plugin upgrade {name} FILE"),
    ))
}

fn load_folder(
    sandbox: &Sandbox,
    folder: &Path,
    bundled: bool,
    problems: &mut Vec<(String, Failure)>,
) -> Files {
    let stamps = scan(folder).unwrap_or_else(|error| {
        problems
            .push((file_name(folder), failures::unwritable("read a folder of plugins", &error)));
        BTreeMap::new()
    });
    let load = |(path, stamp): (PathBuf, Stamp)| {
        let (plugin, failure) = match sandbox.load(&path, bundled) {
            Ok(plugin) => (Some(plugin), None),
            Err(error) => (None, Some(failures::not_loaded(&path, &error))),
        };
        (path, Loose { stamp, plugin, failure })
    };
    stamps.into_iter().map(load).collect()
}

/// The files of a folder that are or claim to be plugins; one that does not exist has none.
pub(super) fn scan(folder: &Path) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut stamps = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        // Compiled code is looked at too: it is refused aloud.
        let is_plugin = |extension: &std::ffi::OsStr| extension == "wasm" || extension == "cwasm";
        if !path.extension().is_some_and(is_plugin) {
            continue;
        }
        // One that goes while we look is not there; one that leads nowhere is said when it is loaded.
        let stamp = fs::metadata(&path).map_or((0, 0, 0, 0, 0), |meta| {
            (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())
        });
        stamps.insert(path, stamp);
    }
    Ok(stamps)
}

/// The name of a file, for people.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn taken(name: &str) -> Failure {
    Failure::host(
        "plugin.name-taken",
        format!("a file for the plugin {name} is not used"),
        "a plugin of this name is installed, and the installed one is used",
        format!("remove the file, or install it with `windlass plugin upgrade {name} FILE`"),
    )
}
