//! What a step starts from: images and toolchains, resolved to committed snapshots.
//!
//! **Invariant: what was resolved once is looked up.** A base is remembered in the content store under the
//! name it was asked for, with a reference that keeps its snapshot. What is not there is made on a task of
//! its own, each base once at a time and different ones side by side ([`making`]); a pull that nobody waits for
//! any more ends before its next layer.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use windlass_containers::{Labels, Runtime, RuntimeError};
use windlass_model::plan::{Base, RunConfig, Toolchain};
use windlass_model::{Digest, Failure};

use crate::disk::free::Floor;
use crate::disk::{Archive, Guard, picture};
use crate::http::certificate_bundle;
use crate::registry::{Access, ImageManifest, Mirror, Reference, RegistryError};
use crate::settled;

mod assemble;
mod away;
mod family;
mod known;
mod making;
mod pull;
mod reach;
mod recipe;
mod record;
mod requirement;
mod room;
mod toolchain;

use away::Away;
use known::Known;
use making::{Lease, Making};
use pull::{Image, PullError};
use recipe::Recipe;
pub(crate) use record::all;
use room::Room;
use toolchain::{Origin, has_image, no_image, settle};

/// Tags whose meaning is waited for at once; beyond it those of pulls that never came are forgotten.
const MEANT_MAX: usize = 1000;

/// Where the bases of toolchains come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BasePolicy {
    /// The official image; assembled where its registry cannot be reached.
    #[default]
    Auto,
    /// The official image only.
    Registry,
    /// Assembled from Debian packages only.
    Assemble,
}

/// How bases are resolved on this host.
#[derive(Debug, Clone)]
pub struct BaseConfig {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where bases of toolchains come from.
    pub policy: BasePolicy,
    /// Directory of assembled bases that hosts on this machine share; `<data>/cache/bases` if absent.
    pub cache_dir: Option<PathBuf>,
    /// The host's bundle of certificate authorities; `None` finds it in the usual places.
    pub certificates: Option<PathBuf>,
}

/// A base: a committed snapshot and how its image is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// Name of the committed snapshot.
    pub snapshot: String,
    /// Digest of the image's index or manifest, or of the recipe of an assembled base.
    pub digest: Digest,
    /// What it is: `docker.io/library/node:22.11.0-slim`, `assembled:node-22.11.0`.
    pub reference: String,
    /// Environment, user, working directory and command of the image.
    pub config: RunConfig,
    /// Toolchains with exact versions, if it was asked for by toolchain.
    pub toolchains: Vec<Toolchain>,
}

/// What an image's name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    /// Its name with its digest instead of a tag.
    pub reference: String,
    /// The first port that it says it listens on.
    pub port: Option<u16>,
}

/// A line of progress, for the log of the step that waits.
pub type Progress<'a> = &'a (dyn Fn(String) + Send + Sync);

/// Where a task of its own reports to; nobody may listen any more.
#[derive(Debug, Clone)]
pub(crate) struct Report(mpsc::UnboundedSender<String>);

impl Report {
    fn say(&self, line: String) {
        tracing::info!(target: "windlass::base", "{line}");
        let _nobody_waits = self.0.send(line);
    }

    /// Returns when nobody waits for the work any more.
    async fn unheard(&self) {
        self.0.closed().await;
    }
}

/// Resolves bases.
#[derive(Clone)]
pub struct Bases {
    inner: Arc<Inner>,
    access: Access,
}

struct Inner {
    runtime: Arc<dyn Runtime>,
    config: BaseConfig,
    certificates: Option<PathBuf>,
    making: Making,
    /// What pulls leave free on the disk; nothing for one that no builder told.
    floor: OnceLock<Floor>,
    /// What builds use now.
    guard: Arc<Guard>,
    mirrors: Vec<Mirror>,
    away: Away,
    /// What images were at their registries.
    known: Known,
    /// What tags were told to mean ([`told`]), until the image is there.
    meant: Mutex<HashMap<String, Digest>>,
}

impl Bases {
    /// A resolver on this runtime.
    pub fn new(runtime: Arc<dyn Runtime>, config: BaseConfig) -> Self {
        Self::with_mirrors(runtime, config, Vec::new())
    }

    /// The same, which asks mirrors before the registries that they are of, in this order.
    pub fn with_mirrors(
        runtime: Arc<dyn Runtime>,
        config: BaseConfig,
        mirrors: Vec<Mirror>,
    ) -> Self {
        let certificates = certificate_bundle(config.certificates.as_deref());
        let inner = Inner {
            runtime,
            config,
            certificates,
            making: Making::default(),
            floor: OnceLock::new(),
            guard: Arc::default(),
            mirrors,
            away: Away::default(),
            known: Known::default(),
            meant: Mutex::default(),
        };
        Self { inner: Arc::new(inner), access: Access::default() }
    }

    /// The same, for a project that may reach more than public images.
    #[must_use]
    pub fn with(&self, access: Access) -> Self {
        Self { inner: Arc::clone(&self.inner), access }
    }

    /// Pulls leave so much free on the disk from now on. Said once.
    pub(crate) fn keep_free(&self, floor: Floor) {
        let _first = self.inner.floor.set(floor);
    }

    /// What builds use now, bases and steps.
    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.inner.guard
    }

    /// Files of assembled bases, where no other host shares them.
    pub(crate) fn archives(&self) -> Vec<Archive> {
        let config = &self.inner.config;
        match config.cache_dir {
            Some(_) => Vec::new(),
            None => picture::archives(&config.data_dir.join("cache/bases")),
        }
    }

    /// Keeps bases from being made while it is held; `None` when one is being made.
    pub(crate) fn alone(&self) -> Option<tokio::sync::OwnedRwLockWriteGuard<()>> {
        self.inner.making.alone()
    }

    /// What an image's name means now, without pulling it: its name by digest, and its port.
    ///
    /// # Errors
    /// `registry.*`, `image.archive-invalid`.
    pub async fn look_up(&self, text: &str) -> Result<FoundImage, Failure> {
        let reference = parse(text)?;
        let found = self.inner.look_up(&reference, &self.access).await?;
        let exact = Reference { tag: None, digest: Some(found.0), ..reference };
        Ok(FoundImage { reference: exact.to_string(), port: found.1 })
    }

    /// How an image is run, without pulling it: its digest, and its configuration. What was pulled before
    /// answers for a registry that does not.
    ///
    /// # Errors
    /// `registry.*`, `image.archive-invalid`.
    pub async fn describe(&self, text: &str) -> Result<(Digest, RunConfig), Failure> {
        let reference = parse(text)?;
        self.inner.describe(&reference, &self.access).await
    }

    /// The base, pulled, assembled or found.
    ///
    /// # Errors
    /// `build.toolchain-unsupported`, `registry.*`, `base.*`, with what is available. A step or nothing
    /// ([`Base::Step`], [`Base::Scratch`]) is no base to resolve: `base.none`.
    pub async fn resolve(&self, base: &Base, progress: Progress<'_>) -> Result<BaseImage, Failure> {
        let (send, mut lines) = mpsc::unbounded_channel();
        let (inner, base, access) = (Arc::clone(&self.inner), base.clone(), self.access.clone());
        let report = Report(send);
        let work = tokio::spawn(async move {
            match base {
                Base::Image(text) => inner.named_image(&text, &access, &report).await,
                Base::Toolchains(list) => inner.toolchains(&list, &report).await,
                Base::Step(_) | Base::Scratch => Err(Failure::host(
                    "base.none",
                    "There is no base to resolve",
                    "a step of the plan or nothing at all is no image",
                    "report this as a bug",
                )),
            }
        });
        while let Some(line) = lines.recv().await {
            progress(line);
        }
        work.await.map_err(|e| {
            Failure::host(
                "base.interrupted",
                "The base was not made",
                e.to_string(),
                "deploy again",
            )
        })?
    }
}

/// The name that what a tag was told to mean is remembered under. It is none that an image is asked for by: what a
/// toolchain's tag meant when its base was pulled stays its base.
fn told(reference: &Reference, access: &Access) -> String {
    let by_tag = Reference { digest: None, ..reference.clone() };
    format!("{} as it was told", access.remembered(&by_tag))
}

impl Inner {
    /// An image by its name. A tag is asked for anew; what it meant last is taken when nobody answers.
    async fn named_image(
        &self,
        text: &str,
        access: &Access,
        report: &Report,
    ) -> Result<BaseImage, Failure> {
        let reference = parse(text)?;
        let asked = access.remembered(&reference);
        if reference.digest.is_some()
            && let Some(found) = self.remembered(&reference, access).await?
        {
            return Ok(found);
        }
        match self.pull(&reference, access, report).await {
            Err(PullError::Registry(
                error @ (RegistryError::Unreachable { .. }
                | RegistryError::RateLimited { .. }
                | RegistryError::TooSlow { .. }),
            )) => {
                let Some(found) = record::find(&*self.runtime, &self.guard, &asked).await? else {
                    return Err(error.failure(&reference));
                };
                report.say(format!("{error}: {asked} is taken as it was pulled last"));
                Ok(found)
            }
            Err(error) => Err(error.failure(&reference)),
            Ok(image) => Ok(image),
        }
    }

    async fn toolchains(&self, list: &[Toolchain], report: &Report) -> Result<BaseImage, Failure> {
        let policy = self.config.policy;
        let official = match (policy, list) {
            (BasePolicy::Assemble, _) => None,
            (_, [one]) if has_image(one) => match settle(one, Origin::Registry) {
                Ok(settled) => Some(settled),
                // Debian's one version may be older than all images: an application that was built with
                // it keeps it.
                Err(_) if policy == BasePolicy::Auto && settle(one, Origin::Assembled).is_ok() => {
                    None
                }
                Err(failure) => return Err(failure),
            },
            (BasePolicy::Registry, [one]) => return Err(no_image(one)),
            (BasePolicy::Auto, _) => None,
            (BasePolicy::Registry, _) => return Err(several(list)),
        };
        let parse = |text: String| text.parse::<Reference>().ok();
        if let Some(warning) = official.and_then(|settled| settled.warning()) {
            report.say(format!("warning: {warning}"));
        }
        let reference = official.and_then(|settled| settled.image()).and_then(parse);
        if let Some(reference) = &reference
            && let Some(found) =
                record::find(&*self.runtime, &self.guard, &reference.to_string()).await?
        {
            return Ok(with_toolchain(found, official.map(|s| s.toolchain())));
        }
        let recipe = Recipe::new(list);
        if let (Ok(recipe), true) = (&recipe, policy != BasePolicy::Registry)
            && let Some(found) = record::find(&*self.runtime, &self.guard, &asked(recipe)).await?
        {
            return Ok(found);
        }
        if let Some(reference) = &reference {
            match self.pull(reference, &Access::default(), report).await {
                Ok(image) => return Ok(with_toolchain(image, official.map(|s| s.toolchain()))),
                Err(PullError::Registry(error))
                    if policy == BasePolicy::Auto && may_assemble_instead(&error) =>
                {
                    report.say(format!("{error}: the base is assembled from Debian packages"));
                }
                Err(error) => return Err(error.failure(reference)),
            }
        }
        self.assemble(&recipe?, report).await
    }

    /// What an image is at its registry now, or at a mirror of it, and where it is read from. A registry that gave
    /// no answer a moment ago is not waited for again.
    async fn manifest(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<(Image, ImageManifest), PullError> {
        let away = self.away.why(reference, Instant::now());
        let is_asked = away.is_none();
        let image = pull::open(reference, self, access, away).await?;
        let asked = access.remembered(reference);
        let manifest = pull::manifest(&image, self.known.find(&asked)).await;
        // That it was passed over must not keep it away for longer.
        if is_asked {
            let error = match &manifest {
                Err(PullError::Registry(error)) => Some(error),
                _ => None,
            };
            self.away.note(reference, error, Instant::now());
        }
        let manifest = manifest?;
        if access.uploaded(reference).is_none() {
            self.known.note(asked, &manifest);
        }
        Ok((image, manifest))
    }

    /// Digest and first port of an image.
    async fn look_up(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<(Digest, Option<u16>), Failure> {
        match self.manifest(reference, access).await {
            Ok((_, manifest)) => Ok((manifest.digest, manifest.config.exposed.first().copied())),
            Err(error) => Err(error.failure(reference)),
        }
    }

    /// Digest and configuration of an image.
    async fn describe(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<(Digest, RunConfig), Failure> {
        if reference.digest.is_some()
            && let Some(found) = self.remembered(reference, access).await?
        {
            return Ok((found.digest, found.config));
        }
        match self.manifest(reference, access).await {
            Ok((_, manifest)) => {
                let noted = self.note_meaning(reference, access, &manifest.digest).await;
                if let Err(failure) = noted {
                    tracing::warn!(%reference, why = failure.why, "what a tag means was not noted");
                }
                Ok((manifest.digest, manifest.config))
            }
            Err(
                error @ PullError::Registry(
                    RegistryError::Unreachable { .. } | RegistryError::RateLimited { .. },
                ),
            ) => {
                let told = told(reference, access);
                let found = match record::find(&*self.runtime, &self.guard, &told).await? {
                    Some(found) => Some(found),
                    None => self.remembered(reference, access).await?,
                };
                let found = found.ok_or_else(|| error.failure(reference))?;
                Ok((found.digest, found.config))
            }
            Err(error) => Err(error.failure(reference)),
        }
    }

    /// What was pulled before under this name; a name with a tag and a digest is also what the tag meant
    /// then, if that is the digest.
    async fn remembered(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<Option<BaseImage>, Failure> {
        if let Some(found) =
            record::find(&*self.runtime, &self.guard, &access.remembered(reference)).await?
        {
            return Ok(Some(found));
        }
        let (Some(_), Some(digest)) = (&reference.tag, &reference.digest) else { return Ok(None) };
        let by_tag = Reference { digest: None, ..reference.clone() };
        let found = record::find(&*self.runtime, &self.guard, &access.remembered(&by_tag)).await?;
        Ok(found.filter(|found| found.digest == *digest))
    }

    /// A tag means this image from here on, also when nobody answers later: whoever was told so asks for it by its
    /// digest, and then it is there under that alone.
    async fn note_meaning(
        &self,
        reference: &Reference,
        access: &Access,
        digest: &Digest,
    ) -> Result<(), Failure> {
        if reference.digest.is_some() {
            return Ok(());
        }
        let told = told(reference, access);
        // Before it is looked for: a pull that ends meanwhile finds the note, or is found.
        {
            let mut meant = self.meant();
            if meant.len() >= MEANT_MAX {
                meant.clear();
            }
            meant.insert(told.clone(), digest.clone());
        }
        let known = record::find(&*self.runtime, &self.guard, &told).await?;
        if known.is_some_and(|known| known.digest == *digest) {
            self.forget_meaning(&told, digest);
            return Ok(());
        }
        let pinned = Reference { digest: Some(digest.clone()), ..reference.clone() };
        if let Some(image) = self.remembered(&pinned, access).await? {
            record::remember(&*self.runtime, &told, &image).await?;
            self.forget_meaning(&told, digest);
        }
        Ok(())
    }

    /// An image is there: if its tag was told to mean it, that is remembered.
    async fn keep_meaning(
        &self,
        leased: &dyn Runtime,
        reference: &Reference,
        access: &Access,
        image: &BaseImage,
    ) -> Result<(), Failure> {
        let told = told(reference, access);
        let is_meant = self.meant().get(&told) == Some(&image.digest);
        if is_meant {
            record::remember(leased, &told, image).await?;
            self.forget_meaning(&told, &image.digest);
        }
        Ok(())
    }

    /// Unless the tag was told to mean something else since.
    fn forget_meaning(&self, told: &str, digest: &Digest) {
        let mut meant = self.meant();
        if meant.get(told) == Some(digest) {
            meant.remove(told);
        }
    }

    fn meant(&self) -> std::sync::MutexGuard<'_, HashMap<String, Digest>> {
        self.meant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pull(
        &self,
        reference: &Reference,
        access: &Access,
        report: &Report,
    ) -> Result<BaseImage, PullError> {
        // A download that is cut later on says nothing about whether the registry answers.
        let (client, manifest) = self.manifest(reference, access).await?;
        let asked = access.remembered(reference);
        let _one = tokio::select! {
            one = self.making.one(manifest.digest.as_str()) => one,
            () = report.unheard() => return Err(PullError::Other(pull::unheard())),
        };
        let known =
            record::find(&*self.runtime, &self.guard, &asked).await.map_err(PullError::Other)?;
        if let Some(known) = known.filter(|known| known.digest == manifest.digest) {
            return Ok(known);
        }
        let lease = self.lease(manifest.digest.hex()).await.map_err(PullError::Other)?;
        let leased = &lease.runtime;
        let floor = self.floor.get().copied().unwrap_or_default();
        let room = Room::new(&self.config.data_dir, floor);
        let work = async {
            let image = pull::unpack(leased, &client, reference, manifest, report, &room).await?;
            record::remember(&**leased, &asked, &image).await.map_err(PullError::Other)?;
            let kept = self.keep_meaning(&**leased, reference, access, &image).await;
            kept.map_err(PullError::Other)?;
            Ok(image)
        };
        let outcome = work.await;
        self.pin(outcome.as_ref().ok()).await;
        self.making.release(&self.runtime, lease).await;
        outcome
    }

    async fn assemble(&self, recipe: &Recipe, report: &Report) -> Result<BaseImage, Failure> {
        // It takes much of the machine, so that of another base waits, too.
        let _one = self.making.one("assembled").await;
        let name = asked(recipe);
        if let Some(found) = record::find(&*self.runtime, &self.guard, &name).await? {
            return Ok(found);
        }
        let own = self.config.data_dir.join("cache/bases");
        let dir = self.config.cache_dir.as_ref().unwrap_or(&own);
        let archive = assemble::archive(recipe, dir, self.certificates.as_deref(), report).await?;
        let lease = self.lease(recipe.digest().hex()).await?;
        let outcome = self.import(&*lease.runtime, recipe, &archive, report).await;
        self.pin(outcome.as_ref().ok()).await;
        self.making.release(&self.runtime, lease).await;
        outcome
    }

    /// Keeps what was just made for those who hold a mark, as a look-up does with what it finds: whoever
    /// asked for it may begin to use it much later.
    async fn pin(&self, made: Option<&BaseImage>) {
        if let Some(image) = made {
            drop(self.guard.touch(&image.snapshot).await);
        }
    }

    async fn import(
        &self,
        leased: &dyn Runtime,
        recipe: &Recipe,
        archive: &std::path::Path,
        report: &Report,
    ) -> Result<BaseImage, Failure> {
        report.say(format!("unpacking {}", recipe.reference()));
        let failed = |e: RuntimeError| e.failure("The assembled base could not be unpacked");
        let name = format!("base-{}", recipe.digest().hex());
        let (snapshot, _) = settled::place(leased, name).await.map_err(failed)?;
        let image = BaseImage {
            snapshot,
            digest: recipe.digest(),
            reference: recipe.reference(),
            config: recipe.config(),
            toolchains: recipe.toolchains(),
        };
        let file = tokio::fs::File::open(archive).await.map_err(|e| {
            let fix = "deploy again; the base is assembled anew";
            Failure::host("base.io", "The assembled base cannot be read", e.to_string(), fix)
        })?;
        leased
            .import_rootfs(&image.snapshot, Box::new(file), &Labels::from([settled::unsynced()]))
            .await
            .map_err(failed)?;
        record::remember(leased, &asked(recipe), &image).await?;
        Ok(image)
    }

    async fn lease(&self, what: &str) -> Result<Lease, Failure> {
        let lease = self.making.lease(&self.runtime, what).await;
        lease.map_err(|e| e.failure("The base could not be protected from clean-up"))
    }
}

/// Whether a committed snapshot of this name is a layer of a base.
pub(crate) fn is_layer(snapshot: &str) -> bool {
    snapshot.starts_with("image-") || snapshot.starts_with("base-")
}

pub(crate) fn parse(text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|e: crate::registry::InvalidReference| {
        let fix = "use name:tag or name@sha256:digest";
        Failure::app(
            "registry.invalid-reference",
            "The image's name is not valid",
            e.to_string(),
            fix,
        )
    })
}

/// What the record of an assembled base is found by: its recipe, not only its versions.
fn asked(recipe: &Recipe) -> String {
    format!("{} {}", recipe.reference(), recipe.digest())
}

fn may_assemble_instead(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Unreachable { .. }
            | RegistryError::RateLimited { .. }
            | RegistryError::TooSlow { .. }
            | RegistryError::NotFound { .. }
            | RegistryError::UnsupportedPlatform { .. }
    )
}

fn with_toolchain(mut image: BaseImage, toolchain: Option<Toolchain>) -> BaseImage {
    image.toolchains = toolchain.into_iter().collect();
    image
}

fn several(list: &[Toolchain]) -> Failure {
    let names: Vec<_> = list.iter().map(|t| t.name.as_str()).collect();
    Failure::host(
        "base.several-toolchains",
        format!("There is no image with {} together", names.join(" and ")),
        "this host takes bases from registries only, and official images have one toolchain each",
        "let the host assemble bases: base policy `auto`",
    )
}
