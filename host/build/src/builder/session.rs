//! The state of one build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_containers::Runtime;
use windlass_model::deployment::Warning;
use windlass_model::plan::{Base, RunConfig, Toolchain};
use windlass_model::secret::Masker;
use windlass_model::{Digest, Failure};

use super::scratch_dir;
use crate::base::{BaseImage, Bases};
use crate::disk::Guard;
use crate::log::BuildLog;
use crate::request::{BuildConfig, BuildRequest, StepOutcome};
use crate::source::Tree;

/// A step that is done.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// Its key, which is the name of its snapshot.
    pub(crate) snapshot: String,
    /// How the image at the bottom is run.
    pub(crate) base: RunConfig,
}

/// One build.
pub(crate) struct Session {
    /// The runtime, under the build's lease.
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Settings and limits.
    pub(crate) config: Arc<BuildConfig>,
    /// What is asked for.
    pub(crate) request: BuildRequest,
    /// The log.
    pub(crate) log: BuildLog,
    /// The application's source.
    pub(crate) source: Arc<Tree>,
    /// The host's bundle of certificate authorities.
    pub(crate) certificates: Option<PathBuf>,
    /// Steps that are done, by id.
    pub(crate) done: BTreeMap<String, Done>,
    /// The same for the outside, in order.
    pub(crate) outcomes: Vec<StepOutcome>,
    /// What is worth saying.
    pub(crate) warnings: Vec<Warning>,
    /// Bases used, by reference.
    pub(crate) bases_used: BTreeMap<String, Digest>,
    /// Exact versions of toolchains.
    pub(crate) toolchains: Vec<Toolchain>,
    bases: Bases,
    resolved: BTreeMap<String, BaseImage>,
}

impl Session {
    /// Lists the source and prepares the log.
    pub(super) async fn open(
        runtime: Arc<dyn Runtime>,
        bases: Bases,
        config: Arc<BuildConfig>,
        certificates: Option<PathBuf>,
        mut request: BuildRequest,
    ) -> Result<Self, Failure> {
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
        let known = request.source_digests.take();
        let source = blocking(move || Tree::source(&dir, &app_dir, known))
            .await?
            .map_err(|e| source_unreadable(&request.app_dir, &e))?;
        Ok(Self {
            runtime,
            config,
            log,
            source: Arc::new(source),
            certificates,
            request,
            bases,
            done: BTreeMap::new(),
            outcomes: Vec::new(),
            warnings: Vec::new(),
            bases_used: BTreeMap::new(),
            toolchains: Vec::new(),
            resolved: BTreeMap::new(),
        })
    }

    /// What builds use now: touched before a snapshot is looked up that is used when it is there.
    pub(crate) fn guard(&self) -> &Guard {
        self.bases.guard()
    }

    /// Resolves a base once a build.
    pub(crate) async fn resolve(&mut self, base: &Base) -> Result<BaseImage, Failure> {
        let asked = serde_json::to_string(base).unwrap_or_default();
        if let Some(known) = self.resolved.get(&asked) {
            return Ok(known.clone());
        }
        let log = self.log.clone();
        let progress = move |line: String| log.host(line);
        let cancel = self.request.cancel.clone();
        let image = tokio::select! {
            image = self.bases.resolve(base, &progress) => image?,
            () = cancel.cancelled() => return Err(cancelled()),
        };
        self.log.host(format!("base {} ({})", image.reference, image.digest.short()));
        let before = self.bases_used.insert(image.reference.clone(), image.digest.clone());
        if before.is_none() {
            (self.request.bases)(&image.reference, &image.digest);
        }
        for toolchain in &image.toolchains {
            if !self.toolchains.contains(toolchain) {
                self.toolchains.push(toolchain.clone());
            }
        }
        self.resolved.insert(asked, image.clone());
        Ok(image)
    }

    /// Snapshot of an image that was resolved before.
    pub(crate) fn image_snapshot(&self, reference: &str) -> Result<String, Failure> {
        let asked = serde_json::to_string(&Base::Image(reference.to_owned())).unwrap_or_default();
        let found = self.resolved.get(&asked).map(|image| image.snapshot.clone());
        found.ok_or_else(|| bug(&format!("the image {reference} was not resolved")))
    }

    /// Snapshot of a step that is done.
    pub(crate) fn step_snapshot(&self, id: &str) -> Result<String, Failure> {
        let found = self.done.get(id).map(|done| done.snapshot.clone());
        found.ok_or_else(|| bug(&format!("the step {id} was not carried out")))
    }

    /// Says something that stops nothing.
    pub(crate) fn warn(&mut self, code: &str, message: String) {
        self.log.host(format!("warning: {message}"));
        self.warnings.push(Warning { code: code.to_owned(), message });
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
