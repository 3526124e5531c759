//! prune: what history and rollback no longer need. It never un-deploys anything.
//!
//! **Invariant: the live deployment, those that are pinned, and the newest `keep_artifacts` beside it keep
//! their artifact; what a build has just made stays until its deployment is stored, and what is pushed or saved as
//! long as it is.** The second half is what [`windlass_build::disk::Held`] is for: such an artifact is passed over, and
//! its environment is owed the rest when the next deployment ends. Nothing here waits for a build or a push, and
//! these wait for one removal at most, so artifacts go at any load. A page of a history costs its own length: nothing
//! here holds a long one as a whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use windlass_build::disk::Removing;
use windlass_model::deployment::Artifact;
use windlass_model::settings::{Overrides, Settings};
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, EnvironmentName, Failure, Limits, ProjectName,
};

use crate::host::Host;
use crate::source::uploads;

pub(crate) mod logs;
mod retained;

use retained::keep;
pub(crate) use retained::{due, images, is_kept_without, let_go, retained};

/// Environments whose artifacts could not all be pruned because somebody used one.
pub(crate) type Owed = Arc<Mutex<BTreeSet<(ProjectName, EnvironmentName)>>>;

/// Applies an environment's retention, and that of those that are owed it. Failures are logged: the next
/// finish tries again.
pub(crate) async fn environment(
    host: Arc<Host>,
    owed: Owed,
    project: ProjectName,
    environment: EnvironmentName,
) {
    let mut all = std::mem::take(&mut *owed.lock().unwrap_or_else(PoisonError::into_inner));
    all.insert((project, environment));
    match host.store.environments_owed_retention() {
        Ok(changed) => all.extend(changed),
        Err(error) => tracing::warn!(%error, "the settings of environments could not be read"),
    }
    for (project, environment) in all {
        match Box::pin(prune(&host, &project, &environment)).await {
            Ok(true) => {}
            Ok(false) => {
                let mut owed = owed.lock().unwrap_or_else(PoisonError::into_inner);
                owed.insert((project, environment));
            }
            Err(failure) => {
                tracing::warn!(%failure, %project, %environment, "pruning was not complete");
            }
        }
    }
    // What the deployment made, and what was released here, counts against the budgets now.
    host.built.notify_one();
}

/// Prunes; whether all of it could be done. What somebody uses now is left.
async fn prune(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<bool, Failure> {
    let _one = host.named_lock(lock(project, environment)).await;
    let live = host.live(project, environment)?;
    let set = host.store.environment_settings(project, environment).map_err(|e| e.to_failure())?;
    let keep = keep(host, project, environment)?;
    let retained =
        host.store.deployments_with_artifact(project, environment).map_err(|e| e.to_failure())?;
    let chosen = keep.artifacts_to_go(retained.iter().map(|found| &found.value));
    let mut oldest = live.map(|(live, _)| live.number);
    let mut whole = true;
    for found in retained {
        let (is_chosen, number) = (chosen.contains(&found.value.id), found.value.number);
        if is_chosen && let_go(host, found.value, found.revision).await? {
            continue;
        }
        whole &= !is_chosen;
        oldest = Some(oldest.map_or(number, |n| n.min(number)));
    }
    let beyond = host.store.history_beyond(project, environment, keep.deployments);
    for id in beyond.map_err(|e| e.to_failure())? {
        if let Some((deployment, _)) = host.deployment(&id)?
            && keep.record_may_go(&deployment, oldest)
        {
            host.forget_deployment(&id).await?;
        }
    }
    if let Some(set) = set.filter(|set| whole && set.value.retention_owed) {
        let noted = host.store.retention_applied(project, environment, set).await;
        noted.map_err(|e| e.to_failure())?;
    }
    Ok(whole)
}

/// One at a time prunes an environment.
fn lock(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("retention:{project}/{environment}")
}

/// Pinned ones, and what a waiting rollback or promotion takes over.
fn kept_always(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<BTreeSet<DeploymentId>, Failure> {
    use DeploymentStatus::{Paused, Queued, Running};
    let mut always = host.store.pins(project, environment).map_err(|e| e.to_failure())?;
    for status in [Queued, Running, Paused] {
        always.extend(host.briefs(status)?.iter().filter_map(|brief| brief.wants.clone()));
    }
    Ok(always)
}

/// Releases everything that an environment's settled deployments keep: artifacts and logs. False when
/// somebody uses one of these artifacts: to be asked again. Can be repeated.
pub(crate) async fn all_of(host: &Host, history: &[(Deployment, u64)]) -> Result<bool, Failure> {
    for (deployment, _) in history {
        let removing = host.builder.removing().await;
        // As it is now: retention may have come before this.
        let Some((mut pruned, revision)) = host.deployment(&deployment.id)? else { continue };
        let Some(artifact) = pruned.outputs.artifact.clone().filter(|_| !pruned.artifact_pruned)
        else {
            continue;
        };
        if host.builder.is_held(&artifact.digest) {
            return Ok(false);
        }
        pruned.artifact_pruned = true;
        host.save_deployment(&pruned, revision).await?;
        release(host, &removing, &pruned, &artifact).await?;
    }
    host.forget_files(history.iter().map(|(deployment, _)| deployment.id.clone()).collect()).await;
    Ok(true)
}

/// How often a quiet host is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// The sweep takes nothing that was used less long ago: younger files without a record may be those of a build
/// that is at work.
const UNUSED_FOR_MIN: Duration = Duration::from_secs(14 * 24 * 3600);

/// Age since its last use at which the sweep takes a cached step: the host's limit. Where that is shorter than the
/// sweep's own least, [`crate::disk`] keeps it, for steps alone.
fn cache_unused_for(limits: &Limits) -> Duration {
    crate::disk::unused_for(limits).max(UNUSED_FOR_MIN)
}

/// Sweeps the whole host at its start and every hour: artifacts that no deployment refers to, and old cached steps;
/// and when no deployment is at work uploads and logs that none refers to, and plans.
pub(crate) async fn sweep(host: Arc<Host>) {
    loop {
        if let Err(failure) = sweep_once(&host).await {
            tracing::warn!(%failure, "sweeping was not complete; it is tried again in an hour");
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

async fn sweep_once(host: &Host) -> Result<(), Failure> {
    sweep_artifacts(host).await?;
    let busy = |status| host.store.deployments_with_status(status).map(|found| !found.is_empty());
    let at_work = busy(DeploymentStatus::Running)
        .and_then(|running| Ok(running || busy(DeploymentStatus::Queued)?));
    if at_work.map_err(|e| e.to_failure())? {
        return Ok(());
    }
    let mut uploads = BTreeSet::new();
    for project in host.store.projects().map_err(|e| e.to_failure())? {
        uploads.extend(host.store.uploads_used(&project.name).map_err(|e| e.to_failure())?);
    }
    logs::sweep(host).await?;
    super::custom::sweep(host).await?;
    host.store.prune_plans().await.map_err(|e| e.to_failure())?;
    let data_dir = host.config.data_dir.clone();
    let swept = tokio::task::spawn_blocking(move || uploads::prune(&data_dir, &uploads)).await;
    swept.map_err(std::io::Error::other).flatten().map_err(|e| {
        Failure::host(
            "prune.uploads",
            "uploads that are no longer needed could not be removed",
            e.to_string(),
            "check the permissions of `uploads` in the data directory",
        )
    })
}

/// What was built before this is recorded or held by now, and nothing is recorded or held until it is done.
async fn sweep_artifacts(host: &Host) -> Result<(), Failure> {
    let removing = host.builder.removing().await;
    let artifacts = retained(host)?.into_iter().map(|(_, digest)| digest).collect();
    removing.prune(&artifacts, cache_unused_for(&host.config.limits)).await?;
    Ok(())
}

/// Deletes an artifact, unless another deployment that keeps its own has the same.
async fn release(
    host: &Host,
    removing: &Removing<'_>,
    of: &Deployment,
    artifact: &Artifact,
) -> Result<(), Failure> {
    if !host.artifact_in_use(&artifact.digest, &of.id)? {
        removing.delete(&artifact.digest).await?;
    }
    Ok(())
}

/// What is kept of an environment.
#[derive(Debug, Default)]
struct Keep {
    artifacts: usize,
    deployments: usize,
    /// Neither artifact nor record of these ever goes.
    always: BTreeSet<DeploymentId>,
}

impl Keep {
    /// What is set for the environment now goes before what `windlass.toml` of its live deployment says,
    /// and that before the host's limits.
    fn of(
        set: &Overrides,
        live: Option<&Settings>,
        limits: &Limits,
        always: BTreeSet<DeploymentId>,
    ) -> Self {
        // What was in force when it was deployed may have been set for the environment then.
        let now =
            live.filter(|live| !live.is_without_layers()).and_then(|live| live.with(set).ok());
        let file = now.as_ref().or(live).map(|settings| &settings.deploy);
        let (deployments, artifacts) = set.retention();
        Self {
            deployments: deployments
                .or(file.and_then(|file| file.keep_deployments))
                .unwrap_or(limits.keep_deployments),
            artifacts: artifacts
                .or(file.and_then(|file| file.keep_artifacts))
                .unwrap_or(limits.keep_artifacts),
            always,
        }
    }

    /// The artifacts that are to go, of those that are there, newest first.
    fn artifacts_to_go<'a>(
        &self,
        retained: impl Iterator<Item = &'a Deployment>,
    ) -> BTreeSet<DeploymentId> {
        let mut kept = 0;
        let may_go = |deployment: &&Deployment| {
            is_over(deployment.status) && !self.always.contains(&deployment.id)
        };
        let mut to_go = BTreeSet::new();
        let mut names = BTreeSet::new();
        for deployment in retained.filter(may_go) {
            let stays = match deployment.status {
                // Of builds the newest of each name.
                DeploymentStatus::Built => names.insert(deployment.kind.image()),
                // Only what was live once is a target for rollback.
                _ => deployment.live_at.is_some() && kept < self.artifacts,
            };
            if !stays {
                to_go.insert(deployment.id.clone());
            } else if deployment.status != DeploymentStatus::Built {
                kept += 1;
            }
        }
        to_go
    }

    /// Whether a record that is older than those that are kept may go. `oldest` is the number of the
    /// oldest version that can be gone back to: the migrations run since are told with every rollback,
    /// and so their records stay.
    fn record_may_go(&self, deployment: &Deployment, oldest: Option<u64>) -> bool {
        let retained = deployment.outputs.artifact.is_some() && !deployment.artifact_pruned;
        let tells_of_migration = deployment.outputs.migration.is_some()
            && oldest.is_some_and(|oldest| deployment.number > oldest);
        is_over(deployment.status)
            && !self.always.contains(&deployment.id)
            && !retained
            && !tells_of_migration
    }
}

/// Whether nothing of it serves or is at work.
fn is_over(status: DeploymentStatus) -> bool {
    use DeploymentStatus as S;
    // A stopped one is its environment's live one still: `start` brings it back.
    matches!(status, S::Retired | S::Built | S::Failed | S::Cancelled)
}

#[cfg(test)]
mod tests {
    use windlass_containers::{Labels, Runtime as _};
    use windlass_model::deployment::Kind;
    use windlass_model::{Digest, Timestamp};

    use super::*;
    use crate::testing::{TestHost, migrated, queued};

    fn deployment(number: u64, status: DeploymentStatus) -> Deployment {
        let mut deployment = queued(number);
        deployment.status = status;
        let was_live = !matches!(status, DeploymentStatus::Failed | DeploymentStatus::Queued);
        deployment.live_at = was_live.then(Timestamp::now);
        deployment.outputs.artifact = Some(Artifact {
            digest: Digest::of(&number.to_be_bytes()),
            outputs: vec![],
            processes: vec![],
            bases: vec![],
            toolchains: vec![],
            plan: Digest::of(b"plan"),
        });
        deployment
    }

    #[test]
    fn the_live_one_the_pinned_and_the_newest_targets_stay() {
        use DeploymentStatus as S;
        let all = [
            deployment(6, S::Queued),
            deployment(5, S::Live),
            deployment(4, S::Failed),
            deployment(3, S::Retired),
            deployment(2, S::Retired),
            deployment(1, S::Retired),
        ];
        let ids = |numbers: &[usize]| -> BTreeSet<DeploymentId> {
            numbers.iter().map(|n| all[6 - n].id.clone()).collect()
        };
        let keep = Keep { artifacts: 2, ..Keep::default() };
        assert_eq!(keep.artifacts_to_go(all.iter()), ids(&[4, 1]));
        let keep = Keep { artifacts: 1, ..Keep::default() };
        assert_eq!(keep.artifacts_to_go(all.iter()), ids(&[4, 2, 1]));
        let keep = Keep { artifacts: 1, always: ids(&[2]), ..Keep::default() };
        assert_eq!(keep.artifacts_to_go(all.iter()), ids(&[4, 1]));
    }

    #[test]
    fn of_builds_the_newest_of_each_name_stays_and_takes_no_deployments_place() {
        use DeploymentStatus as S;
        let built = |number, image: &str| {
            let mut one = deployment(number, S::Built);
            one.kind = Kind::Build { image: image.to_owned() };
            one.live_at = None;
            one
        };
        let all = [
            built(8, ""),
            built(7, "shop:1"),
            built(6, "shop:2"),
            deployment(5, S::Live),
            built(4, "shop:1"),
            built(3, ""),
            deployment(2, S::Retired),
            deployment(1, S::Retired),
        ];
        let keep = Keep { artifacts: 1, ..Keep::default() };
        let to_go = keep.artifacts_to_go(all.iter());
        let numbers = all.iter().filter(|one| to_go.contains(&one.id)).map(|one| one.number);
        assert_eq!(numbers.collect::<Vec<_>>(), [4, 3, 1]);
    }

    #[tokio::test]
    async fn the_sweep_takes_a_step_at_the_age_that_the_host_s_limit_says() {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        // By how many days it may be unused: whether a step goes that was used twenty days ago.
        for (days, goes) in [(None, true), (Some(14), true), (Some(30), false)] {
            let mut limits = Limits::default();
            limits.disk.unused_days_max = days.unwrap_or(limits.disk.unused_days_max);
            let world = TestHost::with(limits, &crate::pipeline::TABLE).await;
            let labels = Labels::from([
                ("windlass.kind".to_owned(), "step".to_owned()),
                ("windlass.last-used".to_owned(), (Timestamp::now() - 20 * DAY).to_string()),
            ]);
            world.runtime.prepare_snapshot("draft", None, &labels).await.unwrap();
            world.runtime.commit_snapshot("draft", "step-old", &labels).await.unwrap();
            sweep_once(&world.host).await.unwrap();
            let is_gone = world.runtime.snapshot("step-old").await.unwrap().is_none();
            assert_eq!(is_gone, goes, "{days:?} days");
        }
    }

    #[test]
    fn what_a_build_may_be_writing_is_not_swept_however_short_the_limit_is() {
        let mut limits = Limits::default();
        limits.disk.unused_days_max = 0;
        assert_eq!(cache_unused_for(&limits), UNUSED_FOR_MIN);
        limits.disk.unused_days_max = 15;
        assert!(cache_unused_for(&limits) > UNUSED_FOR_MIN);
    }

    #[test]
    fn what_is_set_now_decides_how_much_is_kept() {
        let parse = |text: &str| Settings::parse(text, &EnvironmentName::production()).unwrap();
        let limits = Limits { keep_deployments: 10, keep_artifacts: 3, ..Limits::default() };
        let kept = |set: &Overrides, live: Option<&Settings>| {
            let keep = Keep::of(set, live, &limits, BTreeSet::new());
            (keep.deployments, keep.artifacts)
        };
        let none = Overrides::default();
        let mut set = Overrides::default();
        set.set("deploy.keep_deployments", "minimal".into());
        let file = parse("[deploy]\nkeep_deployments = 20\nkeep_artifacts = 5");
        assert_eq!(kept(&none, None), (10, 3));
        assert_eq!(kept(&none, Some(&file)), (20, 5));
        assert_eq!(kept(&set, Some(&file)), (3, 5));
        assert_eq!(kept(&set, None), (3, 3));
        // Deployed while it was set; it was taken back since.
        assert_eq!(kept(&none, Some(&file.with(&set).unwrap())), (20, 5));
        let of_before = Settings { layers: Default::default(), ..file };
        assert_eq!(kept(&none, Some(&of_before)), (20, 5));
        assert_eq!(kept(&set, Some(&of_before)), (3, 5));
    }

    #[test]
    fn a_record_goes_when_nothing_needs_it_any_more() {
        use DeploymentStatus as S;
        let keep = Keep::default();
        let mut old = deployment(3, S::Retired);
        assert!(!keep.record_may_go(&old, None), "its artifact is retained");
        old.artifact_pruned = true;
        assert!(keep.record_may_go(&old, None));
        let pinned = Keep { always: BTreeSet::from([old.id.clone()]), ..Keep::default() };
        assert!(!pinned.record_may_go(&old, None));
        for status in [S::Live, S::Draining, S::Stuck, S::Paused, S::Running, S::Queued] {
            let mut one = old.clone();
            one.status = status;
            assert!(!keep.record_may_go(&one, None), "{status}");
        }
        old.outputs.migration = Some(migrated());
        assert!(keep.record_may_go(&old, Some(3)), "nothing older can be gone back to");
        assert!(!keep.record_may_go(&old, Some(2)), "a rollback to #2 tells of its migration");
    }
}
