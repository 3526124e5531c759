//! The disk: how much is free, who uses it, what goes of itself, and what goes when a person asks.
//!
//! **Invariants**
//! - Budgets act on cached steps and bases only, and only on those that no artifact needs; cache mounts go
//!   by age, or when too little is free; artifacts follow `keep_artifacts`, volumes and backups are never
//!   touched here.
//! - One prune at a time; it holds no build up.
//!
//! It runs after each deployment's end, at intervals, and as soon as less is free than
//! `disk.reclaim_below_bytes`. `windlass_build::disk` says what may go, and why that is safe.
//!
//! What comes in (uploads, sources) does not begin below the floor of deployments, and is stopped below half of it:
//! [`require_room`], [`while_room`].

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;
use windlass_build::disk::{Ask, Rule, Victim};
use windlass_model::{Failure, Limits, Timestamp};

use crate::failpoint;
use crate::host::Host;
use crate::source::kept;
use crate::steplog::StepLog;

mod measure;
pub(crate) mod prune;
pub(crate) mod space;
pub(crate) mod usage;

use space::Missing;

/// How often the free space is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often budgets and ages are applied to a host on which nothing is deployed.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// How often it is said that the space stays low.
const SAY_EVERY: Duration = Duration::from_secs(3600);
/// How often the free space is looked at while a source comes in.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// Keeps the budgets, and the free space, until the host stops.
pub(crate) async fn keep(host: Arc<Host>) {
    // What a prune that was cut off has released is not collected yet.
    if let Err(failure) = host.builder.collect().await {
        tracing::warn!(%failure, "what was released is collected later");
    }
    let (mut pruned, mut said): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let woken = tokio::select! {
            () = host.built.notified() => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let missing = space::missing(&host, host.config.limits.disk.reclaim_below_bytes);
        let due = woken || pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY);
        if !due && missing.of_builds == 0 {
            continue;
        }
        match apply(&host, missing).await {
            Ok(_) => pruned = Some(Instant::now()),
            Err(failure) => tracing::warn!(%failure, "the disk was not tidied; it is tried again"),
        }
        let missing = space::missing(&host, host.config.limits.disk.reclaim_below_bytes);
        if missing.of_builds > 0 && said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            tracing::warn!(
                missing_bytes = missing.of_builds,
                "too little disk space is free, and nothing is left to prune; see `windlass disk`"
            );
        }
    }
}

/// Applies budgets and ages, and frees what is missing besides if it can. Answers what went.
///
/// # Errors
/// What the runtime or the file system says.
pub(crate) async fn apply(host: &Host, missing: Missing) -> Result<Vec<Victim>, Failure> {
    let _one = host.named_lock(LOCK.to_owned()).await;
    let mut pass = host.builder.prune_pass().await?;
    let retention = retention(host);
    // Before anything else: a checkout is made again from its repository's cache.
    let freed = forget_checkouts(host, missing.of_data, retention.mounts.unused_for).await;
    let ask = Ask { free_bytes: missing.once_freed(freed), ..retention };
    pass.measure_mounts(&ask).await?;
    let victims = pass.choose(&ask);
    let gone = pass.carry_out(victims, &told).await?;
    if !gone.is_empty() {
        let bytes: u64 = gone.iter().map(|victim| victim.bytes).sum();
        tracing::info!(items = gone.len(), bytes, "pruned");
    }
    Ok(gone)
}

/// What floor of a deployment is not reached, also after caches were pruned for it.
///
/// # Errors
/// `preflight.disk-unknown`.
pub(crate) async fn room(host: &Host, log: Option<&StepLog>) -> Result<Option<Failure>, Failure> {
    let (data_dir, limits) = (&host.config.data_dir, &host.config.limits);
    let Some(below) = space::below_floor(&space::places(data_dir, limits)?) else {
        return Ok(None);
    };
    match log {
        Some(log) => log.say(format!("{}: pruning caches", below.what)),
        None => tracing::info!("{}: pruning caches", below.what),
    }
    if let Err(failure) = make_room(host).await {
        tracing::warn!(%failure, "no room could be made");
    }
    Ok(space::below_floor(&space::places(data_dir, limits)?))
}

/// The same, for whoever is about to take something in for a deployment.
///
/// # Errors
/// `preflight.disk-floor`, `preflight.inode-floor`, `preflight.disk-unknown`.
pub(crate) async fn require_room(host: &Host, log: Option<&StepLog>) -> Result<(), Failure> {
    room(host, log).await?.map_or(Ok(()), Err)
}

/// Whether what is coming in may go on.
///
/// # Errors
/// As [`require_room`], below half of the floor.
pub(crate) fn still_room(host: &Host) -> Result<(), Failure> {
    let places = space::places(&host.config.data_dir, &host.config.limits)?;
    space::below_half(&places).map_or(Ok(()), Err)
}

/// Does what takes something in, for as long as there is room. Then it is told to end, and waited for, so that nothing
/// is written behind it.
///
/// # Errors
/// Those of the work, and of [`still_room`].
pub(crate) async fn while_room<T>(
    host: &Host,
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        low = no_room(host) => {
            cancel.cancel();
            let _ended = work.await;
            Err(low)
        }
    }
}

/// Returns when there is no room any more.
async fn no_room(host: &Host) -> Failure {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        if let Err(low) = still_room(host) {
            return low;
        }
    }
}

/// Prunes for the floor below which no deployment starts. What is short of inodes is helped by the same.
async fn make_room(host: &Host) -> Result<(), Failure> {
    let wanted = host.config.limits.disk_free_bytes_min;
    let wanted = wanted.max(host.config.limits.disk.reclaim_below_bytes);
    let places = space::places(&host.config.data_dir, &host.config.limits)?;
    apply(host, Missing::of(&places, wanted).with_inodes(&places)).await.map(drop)
}

/// Removes the checkouts that are kept, where the data directory's disk has too few bytes free; else those that
/// were not used for so long. Answers how many bytes that frees there.
async fn forget_checkouts(host: &Host, missing_bytes: u64, unused_for: Option<Duration>) -> u64 {
    let data_dir = host.config.data_dir.clone();
    let forget = move || {
        let is_due = |kept_at: SystemTime| {
            let unused = kept_at.elapsed().unwrap_or_default();
            missing_bytes > 0 || unused_for.is_some_and(|longest| unused >= longest)
        };
        let due = kept::all(&data_dir).into_iter().filter(|(_, kept_at)| is_due(*kept_at));
        let removed = due.filter_map(|(path, _)| {
            let bytes = measure::size(&path).bytes;
            match kept::remove(&data_dir, &path) {
                Ok(()) => {
                    tracing::info!(path = %path.display(), bytes, "a kept checkout was removed");
                    Some(bytes)
                }
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "a kept checkout is left");
                    None
                }
            }
        });
        removed.sum::<u64>()
    };
    tokio::task::spawn_blocking(forget).await.unwrap_or_default()
}

const LOCK: &str = "disk-prune";

fn told(_: &Victim) {
    failpoint::reached("during:prune");
}

/// Age since its last use at which cache goes of itself.
pub(crate) fn unused_for(limits: &Limits) -> Duration {
    Duration::from_secs(u64::from(limits.disk.unused_days_max) * 24 * 3600)
}

/// What goes of itself: what is over the budgets, and what was not used for long.
fn retention(host: &Host) -> Ask {
    let limits = &host.config.limits.disk;
    let unused_for = Some(unused_for(&host.config.limits));
    let total = space::of_builds(host).map_or(u64::MAX, |space| space.bytes);
    let share = |percent: u8| total / 100 * u64::from(percent);
    let rule = |bytes_max: u64, percent: u8| Rule {
        bytes_max: Some(bytes_max.min(share(percent))),
        unused_for,
    };
    Ask {
        now: Timestamp::now(),
        steps: rule(limits.cache_bytes_max, limits.cache_percent_max),
        bases: rule(limits.bases_bytes_max, limits.bases_percent_max),
        // Each project's have a quota of their own.
        mounts: Rule { bytes_max: None, unused_for },
        free_bytes: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestHost;

    fn needing(bytes: u64) -> Limits {
        Limits { disk_free_bytes_min: bytes, disk_free_inodes_min: 0, ..Limits::default() }
    }

    #[tokio::test]
    async fn caches_are_pruned_before_a_floor_that_is_not_reached_is_told() {
        let enough = TestHost::with(needing(1), &crate::pipeline::TABLE).await;
        require_room(&enough.host, None).await.unwrap();
        still_room(&enough.host).unwrap();

        let low = TestHost::with(needing(u64::MAX), &crate::pipeline::TABLE).await;
        let kept = low.host.config.data_dir.join("cache/git/shop/0a1b.tree");
        std::fs::create_dir_all(&kept).unwrap();
        let failure = require_room(&low.host, None).await.unwrap_err();
        assert_eq!(failure.code, "preflight.disk-floor");
        assert!(!kept.exists(), "a checkout that is kept is a cache");
        assert_eq!(still_room(&low.host).unwrap_err().code, "preflight.disk-floor");
    }

    #[tokio::test]
    async fn what_comes_in_is_told_to_end_when_the_room_is_gone_and_waited_for() {
        let enough = TestHost::with(needing(1), &crate::pipeline::TABLE).await;
        let cancel = CancellationToken::new();
        let done = while_room(&enough.host, &cancel, async { Ok(5) }).await;
        assert_eq!(done.unwrap(), 5);
        assert!(!cancel.is_cancelled());

        let low = TestHost::with(needing(u64::MAX), &crate::pipeline::TABLE).await;
        let ended = std::sync::atomic::AtomicBool::new(false);
        let work = async {
            cancel.cancelled().await;
            tokio::task::yield_now().await;
            ended.store(true, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        };
        let stopped = while_room(&low.host, &cancel, work).await.unwrap_err();
        assert_eq!(stopped.code, "preflight.disk-floor");
        assert!(ended.into_inner(), "it writes on");
    }

    #[tokio::test]
    async fn kept_checkouts_go_where_space_is_missing_and_when_they_are_not_used() {
        let parts = TestHost::with(Limits::default(), &crate::pipeline::TABLE).await;
        let host = &parts.host;
        let repositories = host.config.data_dir.join("cache/git/shop");
        let plant = || {
            for name in ["0a1b.git", "0a1b.tree"] {
                std::fs::create_dir_all(repositories.join(name)).unwrap();
                std::fs::write(repositories.join(name).join("file"), vec![1; 8192]).unwrap();
            }
        };
        plant();
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(forget_checkouts(host, 0, Some(day)).await, 0);
        assert!(repositories.join("0a1b.tree").exists());
        assert!(forget_checkouts(host, 1, Some(day)).await >= 8192);
        assert!(!repositories.join("0a1b.tree").exists());
        plant();
        assert!(forget_checkouts(host, 0, Some(Duration::ZERO)).await >= 8192);
        assert!(!repositories.join("0a1b.tree").exists());
        assert!(repositories.join("0a1b.git").exists(), "that is the repository itself");
        let work = std::fs::read_dir(host.config.data_dir.join("work")).unwrap();
        assert_eq!(work.count(), 0);
    }
}
