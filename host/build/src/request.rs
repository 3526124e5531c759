//! What a build is given and what it yields.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use crate::registry::Access;
use tokio_util::sync::CancellationToken;
use windlass_model::build::{BuildRecord, StepRecord};
use windlass_model::deployment::{Artifact, Warning};
use windlass_model::plan::BuildPlan;
use windlass_model::{DeploymentId, Digest, EnvironmentName, Limits, LogLine, ProjectName, Secret};

/// Where the lines of a build go, in order. It must not block for long.
pub type LogSink = Arc<dyn Fn(LogLine) + Send + Sync>;

/// Is told a base as soon as it is resolved, by reference and digest: what a build that fails was based
/// on. It must not block.
pub type BaseSink = Arc<dyn Fn(&str, &Digest) + Send + Sync>;

/// Is told what becomes of each step. It must not block for long.
pub type StepSink = Arc<dyn Fn(StepEvent) + Send + Sync>;

/// Something that becomes of a step.
#[derive(Debug, Clone)]
pub enum StepEvent {
    /// It is carried out, because it was not found.
    Begun {
        /// Id in the plan.
        id: String,
        /// Name for people.
        name: String,
    },
    /// Its operations succeeded: what they made is about to be committed.
    Committing {
        /// Id in the plan.
        id: String,
    },
    /// What they made is committed, and nothing is recorded of it yet.
    Committed {
        /// Id in the plan.
        id: String,
    },
    /// It was found, succeeded or failed.
    Ended(Box<StepRecord>),
}

/// Records of earlier builds, the newest first; read when the first step is not found.
#[derive(Clone)]
pub struct Earlier(Arc<LazyLock<Vec<BuildRecord>, Read>>);

type Read = Box<dyn FnOnce() -> Vec<BuildRecord> + Send>;

impl Earlier {
    /// Records that are read when they are needed.
    pub fn read_by(read: impl FnOnce() -> Vec<BuildRecord> + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(read))))
    }

    /// The records.
    pub(crate) fn records(&self) -> &[BuildRecord] {
        &self.0
    }
}

impl Default for Earlier {
    fn default() -> Self {
        Self::read_by(Vec::new)
    }
}

/// How a build uses what earlier ones left.
#[derive(Clone)]
pub struct CacheUse {
    /// Whether every step is carried out although its result is there. The new results take the place of
    /// the old ones for later builds.
    pub bypass: bool,
    /// Records of earlier builds of the environment: what a step that is not found is compared with.
    pub earlier: Earlier,
    /// Is told what becomes of each step.
    pub told: StepSink,
}

impl Default for CacheUse {
    fn default() -> Self {
        Self { bypass: false, earlier: Earlier::default(), told: Arc::new(|_| ()) }
    }
}

/// Ids of files by their path relative to the root of the source: mode (`100644`, `100755`, `120000`)
/// and blob id, as `git ls-tree -r` lists them.
pub type SourceDigests = BTreeMap<String, (String, String)>;

/// How builds are carried out on this host.
#[derive(Debug, Clone)]
pub struct BuildConfig {
    /// The data directory. Builds use `build`, `cache` and `static` below it.
    pub data_dir: PathBuf,
    /// Limits of commands, logs and static trees.
    pub limits: Limits,
    /// The host's bundle of certificate authorities, given to every command; `None` finds it in the
    /// usual places.
    pub certificates: Option<PathBuf>,
}

/// A variable that a build sees.
#[derive(Debug, Clone)]
pub struct BuildVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Secret<String>,
    /// Whether it is masked in the log.
    pub secret: bool,
}

/// One build.
#[derive(Clone)]
pub struct BuildRequest {
    /// Whose; cache mounts belong to a project.
    pub project: ProjectName,
    /// For which environment.
    pub environment: EnvironmentName,
    /// For which deployment: names of containers and writable snapshots come from it.
    pub deployment: DeploymentId,
    /// What is to be done.
    pub plan: BuildPlan,
    /// The source, which is only read.
    pub source_dir: PathBuf,
    /// Directory of the application in the source; empty for its root.
    pub app_dir: String,
    /// Git's ids of the source's files, where they are known; else the files are hashed.
    pub source_digests: Option<SourceDigests>,
    /// Variables of scope `build` or `both`: given to every command and part of its step's key, unless the
    /// plan asks for them by name where it needs them.
    pub variables: Vec<BuildVariable>,
    /// Where output goes.
    pub log: LogSink,
    /// Is told every base, once.
    pub bases: BaseSink,
    /// Ends the build and every process of it.
    pub cancel: CancellationToken,
    /// What images may be reached with.
    pub access: Access,
    /// What of earlier builds is used, and who is told about the steps.
    pub cache: CacheUse,
    /// Labels of everything that is made, beside the build's own.
    pub labels: BTreeMap<String, String>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutcome {
    /// Id in the plan.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Whether it was looked up only.
    pub cached: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Its key, which is the name of its snapshot.
    pub key: String,
}

/// What a build yields.
#[derive(Debug, Clone)]
pub struct BuildOutcome {
    /// The artifact, recorded in the content store.
    pub artifact: Artifact,
    /// The steps, in the plan's order; those that no output needs are left out.
    pub steps: Vec<StepOutcome>,
    /// Static trees that were exported or found, with their folders.
    pub static_trees: Vec<(Digest, PathBuf)>,
    /// What is worth saying.
    pub warnings: Vec<Warning>,
}

impl BuildOutcome {
    /// Whether nothing had to be done.
    pub fn all_cached(&self) -> bool {
        self.steps.iter().all(|step| step.cached)
    }
}
