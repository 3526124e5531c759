//! One build from end to end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use windlass_containers::Runtime;
use windlass_model::deployment::Artifact;
use windlass_model::{DeploymentId, Digest, Failure};

use crate::base::Bases;
use crate::request::{BuildConfig, BuildOutcome, BuildRequest};

/// Carries out plans.
#[derive(Clone)]
pub struct Builder {
    runtime: Arc<dyn Runtime>,
    bases: Arc<Bases>,
    config: Arc<BuildConfig>,
}

impl Builder {
    /// A builder on this runtime.
    pub fn new(runtime: Arc<dyn Runtime>, bases: Arc<Bases>, config: BuildConfig) -> Self {
        Self { runtime, bases, config: Arc::new(config) }
    }

    /// Carries a plan out, or finds that it was carried out before. What an earlier attempt of the same
    /// deployment left behind is removed first, so it can be called again after a crash.
    ///
    /// # Errors
    /// A failure with a `build.*`, `base.*` or `registry.*` code; nothing is left of the attempt but
    /// the steps that succeeded, as cache. A cancelled build fails with `build.cancelled`.
    pub async fn build(&self, request: BuildRequest) -> Result<BuildOutcome, Failure> {
        Err(Failure::host("build.unavailable", "", "", ""))
    }

    /// Removes what an attempt that was cut off left behind: containers, writable snapshots, lease.
    pub async fn clean_up(&self, deployment: &DeploymentId) -> Result<(), Failure> {
        Ok(())
    }

    /// Reads an artifact's record; `None` when there is none.
    pub async fn load_artifact(&self, digest: &Digest) -> Result<Option<Artifact>, Failure> {
        Ok(None)
    }

    /// Whether everything that an artifact consists of is still there. The failure names what is not.
    pub async fn verify_artifact(&self, artifact: &Artifact) -> Result<(), Failure> {
        Ok(())
    }

    /// Deletes an artifact's record, which releases its snapshots, and its static trees unless another
    /// artifact has them too.
    pub async fn delete_artifact(&self, digest: &Digest) -> Result<(), Failure> {
        Ok(())
    }

    /// Removes every artifact that is not to be kept, static trees without an artifact, and cached
    /// steps that were not used for this long.
    pub async fn prune(
        &self,
        keep: &BTreeSet<Digest>,
        cache_unused_for: Duration,
    ) -> Result<Pruned, Failure> {
        Ok(Pruned::default())
    }

    /// The folder of a static tree: `<data>/static/<64 hexadecimal digits>`.
    pub fn static_tree_dir(&self, tree: &Digest) -> PathBuf {
        self.config.data_dir.join("static").join(tree.hex())
    }
}

/// What pruning removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Artifact records.
    pub artifacts: usize,
    /// Static trees.
    pub static_trees: usize,
    /// Cached steps.
    pub snapshots: usize,
}
