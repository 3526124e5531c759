//! The state of one build.
//!
//! Each step has a clone of the session for itself: what they share is behind [`Shared`], and what they
//! must not mix (the log's last lines, the steps that were done when it began) is their own.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;
use windlass_containers::Runtime;
use windlass_model::deployment::Warning;
use windlass_model::plan::{Base, Place, RunConfig, Toolchain};
use windlass_model::secret::Masker;
use windlass_model::{Digest, Failure};

use super::budget::{Budget, Wait};
use super::places::Places;
use super::{Builder, scratch_dir};
use crate::base::{BaseImage, Bases};
use crate::disk::{Guard, Held};
use crate::log::BuildLog;
use crate::place::Pick;
use crate::request::{BuildConfig, BuildRequest, StepOutcome};
use crate::source::Tree;

/// Files and folders of a copy that are kept until it is carried out: some 30 MB.
const PICKS_KEPT_MAX: usize = 100_000;

/// A step that is done.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// Name of its snapshot.
    pub(crate) snapshot: String,
    /// How the image at the bottom is run.
    pub(crate) base: RunConfig,
}

/// One build, as one of its steps sees it.
#[derive(Clone)]
pub(crate) struct Session {
    /// The runtime, under the build's lease.
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Settings and limits.
    pub(crate) config: Arc<BuildConfig>,
    /// What is asked for. Its `cancel` ends this build alone.
    pub(crate) request: Arc<BuildRequest>,
    /// The log.
    pub(crate) log: BuildLog,
    /// The application's source.
    pub(crate) source: Arc<Tree>,
    /// All of the source, of which the application's is a part.
    whole: Arc<Tree>,
    /// The host's bundle of certificate authorities.
    pub(crate) certificates: Option<PathBuf>,
    /// Steps that are done, by id.
    pub(crate) done: BTreeMap<String, Done>,
    /// What the builds of this host may use together.
    pub(crate) budget: Budget,
    /// Places in the network of builds, for commands.
    pub(crate) places: Arc<Places>,
    /// What it has made or found so far that no artifact's record may keep yet.
    pub(crate) held: Held,
    /// Place of the step in the plan.
    pub(super) place: usize,
    /// See [`super::record`].
    pub(super) salt: Arc<Vec<u8>>,
    bases: Bases,
    shared: Arc<Shared>,
    /// Images that this step has resolved, in order.
    images: Vec<BaseImage>,
}

/// What all steps of a build share.
#[derive(Default)]
struct Shared {
    warnings: Mutex<Vec<(usize, Warning)>>,
    resolved: Mutex<HashMap<String, Arc<OnceCell<BaseImage>>>>,
    told: Mutex<BTreeMap<String, Digest>>,
    written: Mutex<BTreeMap<String, u64>>,
    output: Mutex<BTreeMap<String, u64>>,
    /// What shared caches held when the build first used them.
    held: Mutex<BTreeMap<PathBuf, u64>>,
    used_caches: AtomicBool,
    /// What the last copy that was looked up picks from the source: mostly it is the next that is carried out.
    picked: Mutex<Option<(Place, Vec<Pick>)>>,
}

impl Shared {
    fn note_written(&self, name: &str, bytes: u64) -> u64 {
        let mut written = locked(&self.written);
        written.insert(name.to_owned(), bytes);
        written.values().sum()
    }

    fn note_more(&self, name: &str, bytes: u64) -> u64 {
        let mut written = locked(&self.written);
        match written.get_mut(name) {
            Some(noted) => *noted += bytes,
            None => drop(written.insert(name.to_owned(), bytes)),
        }
        written.values().sum()
    }

    fn begin_shared(&self, dir: &Path, bytes: u64) {
        locked(&self.held).entry(dir.to_owned()).or_insert(bytes);
    }

    fn note_shared(&self, dir: &Path, bytes: u64) {
        let held = locked(&self.held).get(dir).copied().unwrap_or(bytes);
        self.note_written(&dir.to_string_lossy(), bytes.saturating_sub(held));
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of all steps, in the plan's order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Results {
    /// For the outside.
    pub(crate) outcomes: Vec<StepOutcome>,
    /// Bases used, by reference.
    pub(crate) bases_used: BTreeMap<String, Digest>,
    /// Exact versions of toolchains.
    pub(crate) toolchains: Vec<Toolchain>,
}

impl Results {
    /// Notes the images of a step.
    pub(super) fn note(&mut self, images: &[BaseImage]) {
        for image in images {
            self.bases_used.insert(image.reference.clone(), image.digest.clone());
            for toolchain in &image.toolchains {
                if !self.toolchains.contains(toolchain) {
                    self.toolchains.push(toolchain.clone());
                }
            }
        }
    }
}

impl Session {
    /// Opens the source and prepares the log.
    pub(super) async fn open(
        builder: &Builder,
        runtime: Arc<dyn Runtime>,
        mut request: BuildRequest,
    ) -> Result<Self, Failure> {
        let config = Arc::clone(&builder.config);
        let secrets: Vec<&str> = request
            .variables
            .iter()
            .filter(|v| v.secret)
            .map(|v| v.value.expose().as_str())
            .collect();
        let masker = Masker::new(secrets);
        let log =
            BuildLog::new(Arc::clone(&request.log), masker, config.limits.failure_log_lines_max);
        let (dir, app_dir) = (request.source_dir.clone(), request.app_dir.clone());
        let (known, data_dir) = (request.source_digests.take(), config.data_dir.clone());
        let open = move || {
            let of = |folder: &str, known| -> std::io::Result<Arc<Tree>> {
                Ok(Arc::new(Tree::source(&dir, folder, known)?.remembered(&data_dir)))
            };
            if app_dir.is_empty() {
                let whole = of("", known)?;
                return Ok((Arc::clone(&whole), whole));
            }
            let whole = of("", known.clone())?;
            Ok((of(&app_dir, known)?, whole))
        };
        let (source, whole) = blocking(open)
            .await?
            .map_err(|e: std::io::Error| source_unreadable(&request.app_dir, &e))?;
        // The first step that fails ends the others, and nothing else.
        request.cancel = request.cancel.child_token();
        let places = Places::new(&runtime, &builder.spare, &request.deployment, &request.plan);
        Ok(Self {
            runtime,
            log,
            source,
            whole,
            certificates: builder.certificates.clone(),
            bases: builder.bases.with(request.access.clone()),
            request: Arc::new(request),
            done: BTreeMap::new(),
            budget: builder.budget.clone(),
            places,
            held: builder.holds.none(),
            place: 0,
            salt: Arc::new(super::record::salt(&config.data_dir)?),
            shared: Arc::default(),
            images: Vec::new(),
            config,
        })
    }

    /// The tree that globs of the source mean: the application's folder, and all of the source where they
    /// begin with a slash.
    pub(crate) fn source_of(&self, sources: &[String]) -> &Arc<Tree> {
        match sources.iter().all(|glob| glob.starts_with('/')) {
            true => &self.whole,
            false => &self.source,
        }
    }

    /// What builds use now: told before a snapshot is looked up that is used when it is there.
    pub(crate) fn guard(&self) -> &Guard {
        self.bases.guard()
    }

    /// The session of one step, which begins.
    pub(super) fn of_step(&self, place: usize, name: &str) -> Self {
        let log = self.log.of_step(place, name);
        Self { log, place, images: Vec::new(), ..self.clone() }
    }

    /// Keeps what a copy picks from the source until it is carried out, or another is looked up.
    pub(crate) fn keep_picks(&self, place: &Place, picks: Vec<Pick>) {
        let count = |pick: &Pick| match pick {
            Pick::File(..) => 1,
            Pick::Inside(below) => below.len(),
        };
        if picks.iter().map(count).sum::<usize>() <= PICKS_KEPT_MAX {
            *locked(&self.shared.picked) = Some((place.clone(), picks));
        }
    }

    /// What a copy picks from the source, if that was kept.
    pub(crate) fn take_picks(&self, place: &Place) -> Option<Vec<Pick>> {
        let mut kept = locked(&self.shared.picked);
        kept.take_if(|(of, _)| of == place).map(|(_, picks)| picks)
    }

    /// Resolves a base once a build.
    pub(crate) async fn resolve(&mut self, base: &Base) -> Result<BaseImage, Failure> {
        let asked = serde_json::to_string(base).unwrap_or_default();
        let cell = Arc::clone(locked(&self.shared.resolved).entry(asked).or_default());
        let image = cell.get_or_try_init(|| self.look_for(base)).await?.clone();
        if !self.images.contains(&image) {
            self.images.push(image.clone());
        }
        Ok(image)
    }

    async fn look_for(&self, base: &Base) -> Result<BaseImage, Failure> {
        let log = self.log.clone();
        let progress = move |line: String| log.host(line);
        let cancel = self.request.cancel.clone();
        let image = tokio::select! {
            image = self.bases.resolve(base, &progress) => image?,
            () = cancel.cancelled() => return Err(cancelled()),
        };
        self.log.host(format!("base {} ({})", image.reference, image.digest.short()));
        let before =
            locked(&self.shared.told).insert(image.reference.clone(), image.digest.clone());
        if before.is_none() {
            (self.request.bases)(&image.reference, &image.digest);
        }
        Ok(image)
    }

    /// Images that this step has resolved, in order.
    pub(super) fn take_images(&mut self) -> Vec<BaseImage> {
        std::mem::take(&mut self.images)
    }

    /// Snapshot of an image that was resolved before.
    pub(crate) fn image_snapshot(&self, reference: &str) -> Result<String, Failure> {
        let asked = serde_json::to_string(&Base::Image(reference.to_owned())).unwrap_or_default();
        let cell = locked(&self.shared.resolved).get(&asked).cloned();
        let found = cell.and_then(|cell| cell.get().map(|image| image.snapshot.clone()));
        found.ok_or_else(|| bug(&format!("the image {reference} was not resolved")))
    }

    /// Snapshot of a step that is done.
    pub(crate) fn step_snapshot(&self, id: &str) -> Result<String, Failure> {
        let found = self.done.get(id).map(|done| done.snapshot.clone());
        found.ok_or_else(|| bug(&format!("the step {id} was not carried out")))
    }

    /// What a step is called, for people.
    pub(crate) fn step_name(&self, id: &str) -> String {
        let step = self.request.plan.steps.iter().find(|step| step.id == id);
        step.map_or_else(|| id.to_owned(), |step| step.name.clone())
    }

    /// Says something that stops nothing.
    pub(crate) fn warn(&self, code: &str, message: String) {
        let warning = (self.place, Warning { code: code.to_owned(), message });
        let mut warnings = locked(&self.shared.warnings);
        if !warnings.contains(&warning) {
            self.log.host(format!("warning: {}", warning.1.message));
            warnings.push(warning);
        }
    }

    /// All warnings, in the plan's order.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let mut all = std::mem::take(&mut *locked(&self.shared.warnings));
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, warning)| warning).collect()
    }

    /// Notes what was written to the disk by now under this name: a step's files, or a command's caches.
    /// Answers what the whole build has written.
    pub(crate) fn note_written(&self, name: &str, bytes: u64) -> u64 {
        self.shared.note_written(name, bytes)
    }

    /// Notes what a command has said so far, and answers what all of the build's have, in bytes.
    pub(crate) fn note_output(&self, name: &str, bytes: u64) -> u64 {
        let mut output = locked(&self.shared.output);
        output.insert(name.to_owned(), bytes);
        output.values().sum()
    }

    /// Notes what a shared cache holds before a command uses it.
    pub(crate) fn begin_shared(&self, dir: &Path, bytes: u64) {
        self.shared.begin_shared(dir, bytes);
    }

    /// Notes what a shared cache holds by now: what it has grown by since the build first used it counts as
    /// written, once, however many commands of the build use it.
    pub(crate) fn note_shared(&self, dir: &Path, bytes: u64) {
        self.shared.note_shared(dir, bytes);
    }

    /// Notes so many bytes more under one name, for threads that have no session. Answers what
    /// [`Self::note_written`] does.
    pub(crate) fn noting(&self, name: String) -> impl Fn(u64) -> u64 + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move |bytes| shared.note_more(&name, bytes)
    }

    /// What the whole build has written to the disk, as far as it was noted.
    pub(crate) fn written(&self) -> u64 {
        locked(&self.shared.written).values().sum()
    }

    /// Notes that a command had a cache mount.
    pub(crate) fn note_cache(&self) {
        self.shared.used_caches.store(true, Ordering::Relaxed);
    }

    /// Whether any command had a cache mount.
    pub(super) fn used_caches(&self) -> bool {
        self.shared.used_caches.load(Ordering::Relaxed)
    }

    /// How to wait for a place in the budget.
    pub(crate) fn wait(&self) -> Wait<'_> {
        Wait { cancel: &self.request.cancel, log: &self.log }
    }

    /// Where this build keeps its scratch files.
    pub(crate) fn scratch(&self) -> PathBuf {
        scratch_dir(&self.config.data_dir, &self.request.deployment)
    }

    /// Fails when the build was cancelled meanwhile.
    pub(crate) fn check_cancelled(&self) -> Result<(), Failure> {
        if self.request.cancel.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }
}

/// Runs file work on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|e| bug(&e.to_string()))
}

/// The failure of a cancelled build.
pub(crate) fn cancelled() -> Failure {
    Failure::app(
        "build.cancelled",
        "The build was cancelled",
        "somebody asked for it",
        "deploy again",
    )
}

/// The host could not read or write.
pub(crate) fn io_failure(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    let why = format!("{}: {error}", path.display());
    Failure::host("build.io", what, why, "check free space and the data directory's permissions")
}

fn bug(why: &str) -> Failure {
    Failure::host("build.internal", "The build went wrong", why, "report this as a bug")
}

fn source_unreadable(app_dir: &str, error: &std::io::Error) -> Failure {
    Failure::app(
        "build.app-dir",
        format!("The application's directory {app_dir:?} cannot be read"),
        error.to_string(),
        "set [build] app_dir in windlass.toml to a directory of the repository",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shared_cache_grows_by_counts_once_whichever_command_measures_it() {
        let shared = Shared::default();
        let (npm, pip) = (Path::new("/cache/npm"), Path::new("/cache/pip"));
        shared.begin_shared(npm, 100);
        assert_eq!(shared.note_written("step", 5), 5);
        shared.note_shared(npm, 130);
        // Another command of the build begins, and both measure.
        shared.begin_shared(npm, 130);
        shared.begin_shared(pip, 7);
        shared.note_shared(npm, 140);
        shared.note_shared(npm, 140);
        shared.note_shared(pip, 3);
        assert_eq!(shared.note_written("step", 5), 45);
    }
}
