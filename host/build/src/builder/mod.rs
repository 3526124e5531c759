//! One build from end to end: what was left behind goes, a lease is taken, the steps that outputs need are
//! carried out or looked up, the artifact is recorded, the lease goes.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use windlass_containers::{Labels, Runtime};
use windlass_model::deployment::Artifact;
use windlass_model::plan::{Base, RunConfig};
use windlass_model::{DeploymentId, Digest, Failure};

use crate::artifact::{self, KIND_STEP, LABEL_KIND};
use crate::base::{BaseImage, Bases, FoundImage, Progress};
use crate::disk::free::Floor;
use crate::disk::{Held, Holds, Sizes};
use crate::http::certificate_bundle;
use crate::ops::{caches, secrets};
use crate::registry::Access;
use crate::request::{BuildConfig, BuildOutcome, BuildRequest};
use crate::settled::{Settling, is_suspect};
use crate::tree;

mod budget;
mod clear;
mod graph;
mod needed;
mod outputs;
mod places;
mod record;
mod session;
mod steps;
mod variables;

use places::Spare;
pub(crate) use session::{Session, blocking, cancelled, io_failure};
pub(crate) use variables::given;

/// Label of everything that is made while building: the deployment.
pub const LABEL_BUILD: &str = "windlass.build";

/// On a lease of work that a host does not take up again: pulls, pushes, saves.
pub(crate) const LABEL_WORK: &str = "windlass.work";

/// After a build, before its caches are held to their quota: what was built is started meanwhile.
const EVICT_AFTER: Duration = Duration::from_secs(2);
/// A build that takes longer than its limit by this much loses what it made.
const LEASE_SLACK: Duration = Duration::from_secs(3600);

/// When what only a build's lease kept is collected.
#[derive(Debug, Clone, Copy)]
enum Collects {
    /// Before the clean-up is over.
    AtOnce,
    /// With the next [`Builder::settle_later`].
    Later,
}

/// Carries out plans.
#[derive(Clone)]
pub struct Builder {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) bases: Bases,
    pub(crate) config: Arc<BuildConfig>,
    certificates: Option<PathBuf>,
    budget: budget::Budget,
    sizes: Sizes,
    settling: Settling,
    holds: Holds,
    spare: Spare,
}

impl Builder {
    /// A builder on this runtime.
    pub fn new(runtime: Arc<dyn Runtime>, bases: Bases, config: BuildConfig) -> Self {
        let certificates = certificate_bundle(config.certificates.as_deref());
        let budget = budget::Budget::new(&config.limits.build);
        bases.keep_free(Floor::of(&config.limits));
        let (config, sizes) = (Arc::new(config), Sizes::default());
        let (settling, holds) = (Settling::default(), Holds::default());
        let spare = Spare::new(&runtime);
        Self { runtime, bases, config, certificates, budget, sizes, settling, holds, spare }
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    pub(crate) fn bases(&self) -> &Bases {
        &self.bases
    }

    pub(crate) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    pub(crate) fn holds(&self) -> &Holds {
        &self.holds
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.config.data_dir
    }

    /// Carries a plan out, or finds that it was carried out before. What an earlier attempt of the same
    /// deployment left behind is removed first, so it can be called again after a crash.
    ///
    /// # Errors
    /// A failure with a `build.*`, `base.*` or `registry.*` code; nothing is left of the attempt but
    /// the steps that succeeded, as cache. A cancelled build fails with `build.cancelled`.
    pub async fn build(&self, request: BuildRequest) -> Result<BuildOutcome, Failure> {
        Box::pin(self.build_held(request)).await.map(|(outcome, _)| outcome)
    }

    /// The same; the artifact is held, from before its record is there until the second is dropped: it is not
    /// removed before it is known whose it is.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub async fn build_held(&self, request: BuildRequest) -> Result<(BuildOutcome, Held), Failure> {
        request.plan.validate(&self.config.limits.build).map_err(|problem| {
            let fix = "report this to the plugin's author";
            Failure::plugin(
                "builder",
                "build.plan-invalid",
                "The plan is not valid",
                problem.to_string(),
                fix,
            )
        })?;
        let deployment = request.deployment.clone();
        // Nothing that it looks up from here on is pruned before it is done.
        let _in_use = self.bases.guard().build();
        self.clean_up(&deployment).await?;
        let lease = lease_name(&deployment);
        let expires = Duration::from_secs(self.config.limits.build_s) + LEASE_SLACK;
        self.runtime
            .create_lease(&lease, &build_labels(&request), expires)
            .await
            .map_err(|e| e.failure("The build could not be protected from clean-up"))?;
        let outcome = self.build_leased(request, &lease).await;
        if let Err(failure) = outcome {
            self.settle_later();
            if let Err(left) = self.clean_up(&deployment).await {
                tracing::warn!(%deployment, failure = %left, "a failed build left something");
            }
            return Err(failure);
        }
        // What it made is kept, so there is next to nothing to collect, and somebody waits for the deployment: that is
        // left to the settling. What a failed build wrote may be much, and goes at once.
        let cleaned = self.clean_up_all(&deployment, Collects::Later).await;
        self.settle_later();
        cleaned?;
        outcome
    }

    async fn build_leased(
        &self,
        request: BuildRequest,
        lease: &str,
    ) -> Result<(BuildOutcome, Held), Failure> {
        let mut session = Session::open(self, self.runtime.leased(lease), request).await?;
        let _place = self.budget.build(&session.wait()).await?;
        let outcome = session.build().await;
        let left = session.places.end().await;
        session.places.prepare_spare();
        let (dir, project) = (self.config.data_dir.clone(), session.request.project.clone());
        let bytes_max = self.config.limits.build.cache_bytes_max;
        if session.used_caches() {
            // Nobody waits for it, but for what was built: measuring large caches takes its time.
            tokio::spawn(async move {
                tokio::time::sleep(EVICT_AFTER).await;
                let evict = move || caches::evict(&dir, &project, bytes_max);
                let evicted = tokio::task::spawn_blocking(evict).await;
                if let Err(error) = evicted.map_err(io::Error::other).flatten() {
                    tracing::warn!(%error, "cache mounts could not be held to their quota");
                }
            });
        }
        let outcome = outcome?;
        left.map_err(|e| e.failure("A build's place in the network could not be removed"))?;
        Ok((outcome, session.held))
    }

    /// Syncs what was built and collects what nothing keeps, in the background. What was not synced before the
    /// machine lost its power is no cached step any more; what was not collected before the host ended is collected
    /// after its next start, which asks for this, too.
    pub fn settle_later(&self) {
        self.settling.later(&self.runtime, &self.config.data_dir);
    }

    /// Names of the steps' snapshots that the machine stopped before they were known to be on the disk.
    ///
    /// # Errors
    /// What the runtime says.
    pub async fn unsynced_steps(&self) -> Result<BTreeSet<String>, Failure> {
        let steps = Labels::from([(LABEL_KIND.to_owned(), KIND_STEP.to_owned())]);
        let all = self.runtime.list_snapshots(&steps).await;
        let all = all.map_err(|e| e.failure("The cached steps could not be read"))?;
        let suspect = all.into_iter().filter(is_suspect);
        Ok(suspect.map(|snapshot| snapshot.key).collect())
    }

    /// Removes what an attempt that was cut off left behind: containers, places in the network, writable
    /// snapshots, lease, scratch files, secrets.
    ///
    /// # Errors
    /// What the runtime says; calling it again is safe.
    pub async fn clean_up(&self, deployment: &DeploymentId) -> Result<(), Failure> {
        self.clean_up_all(deployment, Collects::AtOnce).await
    }

    async fn clean_up_all(
        &self,
        deployment: &DeploymentId,
        collects: Collects,
    ) -> Result<(), Failure> {
        let failed = |e: windlass_containers::RuntimeError| {
            e.failure("A build's remains could not be removed")
        };
        let labels = Labels::from([(LABEL_BUILD.to_owned(), deployment.to_string())]);
        let prefix = places::prefix(deployment);
        // Mostly there is nothing, and somebody waits to be told so.
        let (containers, mut places, leases) = tokio::try_join!(
            self.runtime.list(&labels),
            self.runtime.list_places(&prefix),
            self.runtime.list_leases(&labels)
        )
        .map_err(failed)?;
        let had_containers = !containers.is_empty();
        if had_containers {
            for container in containers {
                self.runtime.delete(&container.id).await.map_err(failed)?;
            }
            // They took of the rest with them.
            places = self.runtime.list_places(&prefix).await.map_err(failed)?;
        }
        // Nothing but its lease and its containers keeps what a build has not committed. To list snapshots, containerd
        // goes through all of them: the more are cached, the longer it takes.
        let is_kept = had_containers || !leases.is_empty();
        let snapshots = match collects {
            Collects::AtOnce if is_kept => self.runtime.list_snapshots(&labels).await,
            Collects::AtOnce | Collects::Later => Ok(Vec::new()),
        };
        let snapshots = snapshots.map_err(failed)?;
        places.extend(self.spare.taken_by(&prefix));
        for place in places {
            self.runtime.remove_place(&place).await.map_err(failed)?;
            self.spare.is_gone(&place);
        }
        for snapshot in snapshots {
            if !snapshot.committed {
                self.runtime.remove_snapshot(&snapshot.key).await.map_err(failed)?;
            }
        }
        let lease = lease_name(deployment);
        let released = match collects {
            Collects::AtOnce => self.runtime.delete_lease(&lease).await,
            Collects::Later => self.runtime.release_lease(&lease).await,
        };
        released.map_err(failed)?;
        remove_dir(&scratch_dir(&self.config.data_dir, deployment))?;
        remove_dir(&caches::changes_dir(&self.config.data_dir, deployment))?;
        remove_dir(&tree::partial_dir(&self.config.data_dir, deployment))?;
        secrets::remove(deployment)
    }

    /// What an image's name means now, see [`Bases::look_up`].
    ///
    /// # Errors
    /// `registry.*`.
    pub async fn look_up_image(&self, name: &str, access: Access) -> Result<FoundImage, Failure> {
        self.bases.with(access).look_up(name).await
    }

    /// The base, pulled, assembled or found, see [`Bases::resolve`]: for what runs in an image that nobody built.
    ///
    /// # Errors
    /// As [`Bases::resolve`].
    pub async fn resolve_base(
        &self,
        base: &Base,
        access: Access,
        progress: Progress<'_>,
    ) -> Result<BaseImage, Failure> {
        self.bases.with(access).resolve(base, progress).await
    }

    /// How an image is run, see [`Bases::describe`].
    ///
    /// # Errors
    /// `registry.*`.
    pub async fn describe_image(
        &self,
        name: &str,
        access: Access,
    ) -> Result<(Digest, RunConfig), Failure> {
        self.bases.with(access).describe(name).await
    }

    /// Reads an artifact's record; `None` when there is none.
    ///
    /// # Errors
    /// When the content store cannot be read or the record makes no sense.
    pub async fn load_artifact(&self, digest: &Digest) -> Result<Option<Artifact>, Failure> {
        artifact::load(&*self.runtime, digest).await
    }

    /// Whether everything that an artifact consists of is still there.
    ///
    /// # Errors
    /// `artifact.missing`, with what is missing.
    pub async fn verify_artifact(&self, artifact: &Artifact) -> Result<(), Failure> {
        artifact::verify(&*self.runtime, &self.config.data_dir, artifact).await
    }

    /// The folder of a static tree: `<data>/static/<64 hexadecimal digits>`.
    pub fn static_tree_dir(&self, tree: &Digest) -> PathBuf {
        artifact::static_dir(&self.config.data_dir, tree)
    }
}

fn lease_name(deployment: &DeploymentId) -> String {
    format!("build-{deployment}")
}

/// Labels of everything that a build makes.
pub(crate) fn build_labels(request: &BuildRequest) -> Labels {
    let mut labels = request.labels.clone();
    labels.insert(LABEL_BUILD.to_owned(), request.deployment.to_string());
    labels
}

/// Where a build keeps its scratch files: logs of containers, copies for writable mounts.
pub(crate) fn scratch_dir(data_dir: &Path, deployment: &DeploymentId) -> PathBuf {
    data_dir.join("build").join(deployment.as_str())
}

fn remove_dir(dir: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Failure::host(
            "build.io",
            "A build's remains could not be removed",
            format!("{}: {e}", dir.display()),
            "check the permissions of the data directory",
        )),
        _ => Ok(()),
    }
}
