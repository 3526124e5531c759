//! Installing, upgrading, going back and removing.
//!
//! The order of an installation: read, check the name, the signature and what is asked for; compile and try; put
//! the file in its place; write `plugins.lock`; exchange the set. What fails before the lock is written has changed
//! nothing; a file that is not in the lock is removed by the next change.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use windlass_build::Login;
use windlass_model::limits::PluginLimits;
use windlass_model::plugin::index::Release;
use windlass_model::plugin::lock::{Lock, Origin, Policy, Version};
use windlass_model::plugin::manage::{FetchPlugin, PluginView, Proposal};
use windlass_model::plugin::{
    Capability, Give, Grants, PluginInfo, difference, effective, missing,
};
use windlass_model::{Digest, Failure, Timestamp};

use super::fetch::Reach;
use super::index::Resolved;
use super::set::{Set, load_version};
use super::signature::Proof;
use super::{Plugins, failures, fetch, lock, options, signature, view};

/// Folder of files that are not installed yet, in that of the installed ones. No plugin can have this name.
pub(super) const INCOMING: &str = ".incoming";

/// A file that may become a plugin.
pub(crate) struct Incoming {
    pub(crate) bytes: Vec<u8>,
    pub(crate) origin: Origin,
    /// What came with it to show who made it.
    pub(crate) proof: Proof,
}

/// What is to be done with it.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The plugin that it is a version of; none: it is new.
    pub(crate) upgrades: Option<String>,
    /// What is granted; for an upgrade beside what was granted before.
    pub(crate) give: Option<Give>,
    /// Only say what would be.
    pub(crate) dry_run: bool,
    /// Whether projects use it that do not choose.
    pub(crate) everywhere: bool,
    /// Who asks.
    pub(crate) by: String,
}

impl Incoming {
    /// An upload with the name of its file.
    pub(crate) fn upload(bytes: Vec<u8>, name: &str, signature: Option<String>) -> Self {
        let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        Self { bytes, origin: Origin::File { name }, proof: Proof::given(signature) }
    }

    fn shown(&self) -> &str {
        match &self.origin {
            Origin::File { name } => name,
            Origin::Url { url } => url,
            Origin::Oci { reference } => reference,
        }
    }
}

impl Plugins {
    /// Fetches a file from an address, a registry, or from where an index says that it is; with the signature that
    /// lies beside it, where signatures are looked at and none is given.
    ///
    /// # Errors
    /// See [`fetch::fetch`] and [`Plugins::resolve`].
    pub(crate) async fn fetch(
        &self,
        mut wanted: FetchPlugin,
        logins: &[Login],
    ) -> Result<Incoming, Failure> {
        let resolved = match wanted.url.contains("://") {
            true => None,
            false => Some(self.resolve(&wanted.url).await?),
        };
        if let Some(resolved) = &resolved {
            let release = &resolved.release;
            if let Some(digest) = wanted.digest.filter(|digest| *digest != release.digest) {
                return Err(other_in_index(&wanted.url, release, &digest));
            }
            wanted.url.clone_from(&release.url);
            wanted.digest = Some(release.digest.clone());
        }
        let typed = Reach::typed(&wanted.url);
        let reach = resolved.as_ref().map_or(typed, Resolved::reach);
        let bytes_max = self.sandbox.limits().component_bytes_max;
        let looks = self.set().lock.signatures.policy != Policy::Off;
        let fetched = fetch::fetch(&wanted, reach, logins, bytes_max, looks).await?;
        let origin = match wanted.url.strip_prefix(fetch::OCI) {
            Some(reference) => Origin::Oci { reference: reference.to_owned() },
            None => Origin::Url { url: fetch::shown(&wanted.url) },
        };
        Ok(Incoming { bytes: fetched.bytes, origin, proof: fetched.proof })
    }

    /// Installs a file, or makes it the active version of what is installed; of a dry run only what would be.
    /// Durable when it returns.
    ///
    /// # Errors
    /// `plugin.not-loadable` and other faults of the file; `plugin.exists`, `plugin.not-found`,
    /// `plugin.other-name`; `plugin.signature-*`; `plugin.asks-more`, `plugin.not-granted`,
    /// `plugin.grant-too-large`;
    /// `plugin.options-*`; `plugin.folder` and `plugin.lock-*` of the host.
    pub(crate) async fn install(&self, file: Incoming, ask: Ask) -> Result<Proposal, Failure> {
        let _changing = self.changing.lock().await;
        let mut set = self.writable()?;
        let staged = Staged::put(&self.folder, &file).await?;
        let info = staged.inspect(file.shown(), self.sandbox.limits().component_bytes_max)?;
        let name = info.manifest.name.clone();
        check_name(&set, &name, ask.upgrades.as_deref())?;
        let trust = &set.lock.signatures;
        let signature = signature::check(trust, file.shown(), &file.bytes, &file.proof)?;
        options::check_schema(&info.manifest)?;
        let before = set.lock.installed(&name).and_then(|plugin| plugin.active()).cloned();
        let asked_before = before.as_ref().and_then(|before| set.version(&name, &before.digest));
        let asked_before = asked_before.map(|plugin| plugin.info().manifest.capabilities.clone());
        let asks = &info.manifest.capabilities;
        let more = match before {
            Some(_) => difference(&asked_before.unwrap_or_default(), asks),
            None => Vec::new(),
        };
        let grants = grants(asks, before.as_ref(), ask.give.as_ref());
        let version = Version {
            version: info.manifest.version.clone(),
            digest: info.digest.clone(),
            bytes: info.bytes,
            source: file.origin.clone(),
            installed_at: Timestamp::now(),
            installed_by: ask.by.clone(),
            grants,
            signature,
        };
        let mut proposal = view::proposal(&info, &version, more, before.map(|v| v.version));
        if ask.dry_run {
            return Ok(proposal);
        }
        check_grants(&name, asks, &proposal.more, &version.grants, ask.give.is_some())?;
        check_ceilings(&name, asks, &version.grants, self.sandbox.limits())?;
        check_options(&set.lock, &info)?;
        self.try_out(&staged.path, file.shown(), &version.grants).await?;
        staged.keep(&self.folder, &version.file(&name)).await?;
        for unused in set.lock.activate(&name, version.clone()) {
            tracing::info!(name, version = unused.version, "a version is kept no more");
        }
        if ask.upgrades.is_none()
            && let Some(plugin) = set.lock.installed_mut(&name)
        {
            plugin.everywhere = ask.everywhere;
        }
        let loaded = load_version(&self.sandbox, &self.folder, &name, &version);
        set.installed.insert((name.clone(), version.digest.clone()), loaded?);
        self.commit(set, &name).await?;
        proposal.installed = true;
        Ok(proposal)
    }

    /// Makes the version before the active one again. Durable when it returns.
    ///
    /// # Errors
    /// `plugin.not-found`, `plugin.not-installed`, `plugin.nothing-before`, `plugin.file-gone`, and
    /// `plugin.options-invalid` when a project's options do not fit the version before.
    pub(crate) async fn roll_back(&self, name: &str) -> Result<PluginView, Failure> {
        let _changing = self.changing.lock().await;
        let mut set = self.writable()?;
        require_installed(&set, name)?;
        let Some(version) = set.lock.roll_back(name).cloned() else {
            return Err(Failure::app(
                "plugin.nothing-before",
                format!("{name} has no version before this one"),
                "it was not upgraded since it was installed",
                format!("`windlass plugin show {name}` lists its versions"),
            ));
        };
        let Some(plugin) = set.version(name, &version.digest) else {
            return Err(Failure::host(
                "plugin.file-gone",
                format!("{name} {} cannot be used", version.version),
                "its file could not be loaded when the host was started",
                format!("install it again: windlass plugin upgrade {name} FILE"),
            ));
        };
        check_options(&set.lock, plugin.info())?;
        self.commit(set, name).await?;
        self.show(name)
    }

    /// Removes a plugin with all its versions and what projects chose of it. Durable when it returns; what runs
    /// goes on to its end.
    ///
    /// # Errors
    /// `plugin.not-found`, `plugin.not-installed`.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Failure> {
        let _changing = self.changing.lock().await;
        let mut set = self.writable()?;
        require_installed(&set, name)?;
        set.lock.remove(name);
        self.commit(set, name).await
    }

    /// A copy of the set, to be changed and [committed](Self::commit).
    ///
    /// # Errors
    /// Why the lock file must not be written.
    pub(super) fn writable(&self) -> Result<Set, Failure> {
        let set = self.set();
        match &set.lock_failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(Set::clone(&set)),
        }
    }

    /// [Stores](Self::store) the set, and removes the files of this plugin that the lock does not name.
    pub(super) async fn commit(&self, set: Set, name: &str) -> Result<(), Failure> {
        let kept = set.lock.installed(name).map(|plugin| plugin.versions.iter());
        let kept = kept.into_iter().flatten().map(|version| self.folder.join(version.file(name)));
        let (own, kept) = (self.folder.join(name), kept.collect::<Vec<PathBuf>>());
        self.store(set).await?;
        if let Err(failure) = blocking("remove old versions", move || sweep(&own, &kept)).await {
            // They are in no lock and so never loaded; they cost space and nothing else.
            tracing::warn!(%failure, "files of plugins are left");
        }
        Ok(())
    }

    /// Writes the lock, and exchanges the set. Files of plugins stay as they are.
    pub(super) async fn store(&self, mut set: Set) -> Result<(), Failure> {
        let (folder, lock) = (self.folder.clone(), set.lock.clone());
        blocking("write plugins.lock", move || lock::write(&folder, &lock)).await?;
        set.installed.retain(|(of, digest), _| {
            set.lock.installed(of).is_some_and(|plugin| plugin.version(digest).is_some())
        });
        self.exchange(set).await;
        Ok(())
    }

    /// Compiles it and begins an instance, as a first call would.
    async fn try_out(&self, path: &Path, name: &str, grants: &Grants) -> Result<(), Failure> {
        let loaded = self.sandbox.load_granted(path, false, grants);
        let plugin = loaded.map_err(|error| failures::refused(name, &error))?;
        let tried = self.sandbox.smoke_test(&plugin).await;
        tried.map_err(|fault| failures::does_not_start(name, &fault))
    }
}

/// What the index names is not what was asked for: it changed since it was looked at, or the digest is of another
/// version.
fn other_in_index(name: &str, release: &Release, digest: &Digest) -> Failure {
    Failure::app(
        "plugin.digest-wrong",
        format!("{name} is another file than expected"),
        format!(
            "the index names {} with the digest {}, and {digest} was asked for",
            release.version, release.digest
        ),
        "look at it again, and say which version you want: NAME@VERSION",
    )
}

/// What a version is granted: what the one before was, and what is given now. What is given exactly is all.
fn grants(asks: &[Capability], before: Option<&Version>, give: Option<&Give>) -> Grants {
    let mut grants = before.map(|before| before.grants.clone()).unwrap_or_default();
    match give {
        Some(Give::Exactly(exactly)) => return exactly.clone(),
        Some(give) => grants.add(give.of(asks).0),
        None => {}
    }
    grants
}

fn check_grants(
    name: &str,
    asks: &[Capability],
    more: &[Capability],
    grants: &Grants,
    is_given: bool,
) -> Result<(), Failure> {
    if !more.is_empty() && !is_given {
        return Err(failures::asks_more(name, asks, more, grants));
    }
    if missing(asks, grants).is_empty() {
        return Ok(());
    }
    Err(failures::not_granted(name, asks, grants, false))
}

/// Refuses a grant of more than this host grants to anyone.
pub(super) fn check_ceilings(
    name: &str,
    asks: &[Capability],
    grants: &Grants,
    limits: &PluginLimits,
) -> Result<(), Failure> {
    let above = effective(asks, grants).above_ceilings(limits);
    if above.is_empty() { Ok(()) } else { Err(failures::above_ceilings(name, &above)) }
}

fn check_name(set: &Set, name: &str, upgrades: Option<&str>) -> Result<(), Failure> {
    if set.bundled().any(|plugin| plugin.name() == name) {
        return Err(failures::exists(name, true));
    }
    match upgrades {
        None if set.lock.installed(name).is_some() => Err(failures::exists(name, false)),
        None => Ok(()),
        Some(upgraded) => {
            require_installed(set, upgraded)?;
            if upgraded == name {
                return Ok(());
            }
            Err(Failure::app(
                "plugin.other-name",
                format!("this is no version of {upgraded}"),
                format!("the file is the plugin {name}"),
                format!("to install it beside {upgraded}: windlass plugin install FILE"),
            ))
        }
    }
}

/// Refuses to change what nobody installed.
pub(super) fn require_installed(set: &Set, name: &str) -> Result<(), Failure> {
    if set.lock.installed(name).is_some() {
        return Ok(());
    }
    match set.find(name) {
        Some((plugin, _)) => Err(failures::not_installed(name, plugin.info().bundled)),
        None => Err(failures::unknown(name)),
    }
}

/// Refuses a version whose schema does not take what projects set, unless they pin another.
fn check_options(lock: &Lock, info: &PluginInfo) -> Result<(), Failure> {
    let name = &info.manifest.name;
    for (project, choices) in &lock.projects {
        let Some(choice) = choices.get(name) else { continue };
        if choice.pinned.as_ref().is_none_or(|pinned| *pinned == info.digest) {
            options::check(&info.manifest, project, &choice.options)?;
        }
    }
    Ok(())
}

/// A file in the folder of what is not installed yet; it goes with this, unless it is kept.
struct Staged {
    path: PathBuf,
    file: tempfile::NamedTempFile,
}

impl Staged {
    async fn put(folder: &Path, incoming: &Incoming) -> Result<Self, Failure> {
        let (folder, bytes) = (folder.join(INCOMING), incoming.bytes.clone());
        let file = blocking("store the file of a plugin", move || {
            fs::create_dir_all(&folder)?;
            let mut file = tempfile::Builder::new().suffix(".wasm").tempfile_in(&folder)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            Ok(file)
        });
        let file = file.await?;
        Ok(Self { path: file.path().to_owned(), file })
    }

    fn inspect(&self, name: &str, bytes_max: u64) -> Result<PluginInfo, Failure> {
        let refused = |error| failures::refused(name, &error);
        let bytes = fs::metadata(&self.path).map_or(0, |meta| meta.len());
        if bytes > bytes_max {
            let limit_bytes = bytes_max;
            return Err(refused(windlass_sandbox::LoadError::TooLarge { bytes, limit_bytes }));
        }
        windlass_sandbox::inspect(&self.path).map(|found| found.info).map_err(refused)
    }

    /// Gives it its name; durable when it returns.
    async fn keep(self, folder: &Path, name: &str) -> Result<(), Failure> {
        let (folder, place) = (folder.to_owned(), folder.join(name));
        blocking("keep the file of a plugin", move || {
            let own = place.parent().unwrap_or(&folder);
            fs::create_dir_all(own)?;
            let kept = self.file.persist(&place).map_err(|error| error.error)?;
            kept.sync_all()?;
            lock::sync(own)?;
            lock::sync(&folder)
        })
        .await
    }
}

/// Removes what is in a folder of components and is not to be kept, and the folder with the last of them.
fn sweep(own: &Path, kept: &[PathBuf]) -> io::Result<()> {
    let entries = match fs::read_dir(own) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let is_component = path.extension().is_some_and(|extension| extension == "wasm");
        if is_component && !kept.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    if kept.is_empty() {
        // Something else in it keeps it.
        let _ = fs::remove_dir(own);
    }
    Ok(())
}

/// Work on the disk.
pub(super) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let joined = tokio::task::spawn_blocking(work).await;
    let done = joined.map_err(io::Error::other).flatten();
    done.map_err(|error| failures::unwritable(doing, &error))
}
