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

use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_build::disk::{Ask, Rule, Victim};
use windlass_model::{Failure, Timestamp};

use crate::failpoint;
use crate::host::Host;

mod measure;
pub(crate) mod prune;
pub(crate) mod space;
pub(crate) mod usage;

/// How often the free space is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often budgets and ages are applied to a host on which nothing is deployed.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// How often it is said that the space stays low.
const SAY_EVERY: Duration = Duration::from_secs(3600);

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
        if !due && missing == 0 {
            continue;
        }
        match apply(&host, missing).await {
            Ok(_) => pruned = Some(Instant::now()),
            Err(failure) => tracing::warn!(%failure, "the disk was not tidied; it is tried again"),
        }
        let missing = space::missing(&host, host.config.limits.disk.reclaim_below_bytes);
        if missing > 0 && said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            tracing::warn!(
                missing_bytes = missing,
                "too little disk space is free, and nothing is left to prune; see `windlass disk`"
            );
        }
    }
}

/// Applies budgets and ages, and frees so many bytes more if it can. Answers what went.
///
/// # Errors
/// What the runtime or the file system says.
pub(crate) async fn apply(host: &Host, free_bytes: u64) -> Result<Vec<Victim>, Failure> {
    let _one = host.named_lock(LOCK.to_owned()).await;
    let mut pass = host.builder.prune_pass().await?;
    let ask = Ask { free_bytes, ..retention(host) };
    pass.measure_mounts(&ask).await?;
    let victims = pass.choose(&ask);
    let gone = pass.carry_out(victims, &told).await?;
    if !gone.is_empty() {
        let bytes: u64 = gone.iter().map(|victim| victim.bytes).sum();
        tracing::info!(items = gone.len(), bytes, "pruned");
    }
    Ok(gone)
}

/// Prunes for the floor below which no deployment starts. What is short of inodes is helped by the same.
pub(crate) async fn make_room(host: &Host) -> Result<(), Failure> {
    let wanted = host.config.limits.disk_free_bytes_min;
    let wanted = wanted.max(host.config.limits.disk.reclaim_below_bytes);
    let places = space::places(&host.config.data_dir, &host.config.limits)?;
    let few_inodes =
        places.iter().any(|place| place.inodes > 0 && place.free_inodes < place.free_inodes_min);
    let free_bytes = if few_inodes { u64::MAX } else { space::missing(host, wanted) };
    apply(host, free_bytes).await.map(drop)
}

const LOCK: &str = "disk-prune";

fn told(_: &Victim) {
    failpoint::reached("during:prune");
}

/// What goes of itself: what is over the budgets, and what was not used for long.
fn retention(host: &Host) -> Ask {
    let limits = &host.config.limits.disk;
    let unused_for = Some(Duration::from_secs(u64::from(limits.unused_days_max) * 24 * 3600));
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
