//! What a step starts from: images and toolchains, resolved to committed snapshots.

use std::path::PathBuf;
use std::sync::Arc;

use windlass_containers::Runtime;
use windlass_model::plan::{Base, RunConfig, Toolchain};
use windlass_model::{Digest, Failure};

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
    /// The data directory: `cache/bases` below it is used for locks and unfinished work.
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
    /// Digest of the image's manifest, or of the recipe of an assembled base.
    pub digest: Digest,
    /// What it was asked as: `docker.io/library/node:22.21.1-slim`, `assembled:node-22.21.1`.
    pub reference: String,
    /// Environment, user, working directory and command of the image.
    pub config: RunConfig,
    /// Toolchains with exact versions, if it was asked for by toolchain.
    pub toolchains: Vec<Toolchain>,
}

/// A line of progress, for the log of the step that waits.
pub type Progress<'a> = &'a (dyn Fn(String) + Send + Sync);

/// Resolves bases.
pub struct Bases {
    runtime: Arc<dyn Runtime>,
    config: BaseConfig,
}

impl Bases {
    /// A resolver on this runtime.
    pub fn new(runtime: Arc<dyn Runtime>, config: BaseConfig) -> Self {
        Self { runtime, config }
    }

    /// The base, pulled, assembled or found. [`Base::Step`] and [`Base::Scratch`] have none.
    ///
    /// # Errors
    /// `build.toolchain-unsupported`, `registry.*`, `base.*`, with what is available.
    pub async fn resolve(&self, base: &Base, progress: Progress<'_>) -> Result<BaseImage, Failure> {
        Err(Failure::host("base.unavailable", "", "", ""))
    }
}
