//! What a build writes, watched: overlay file systems have no quota, and pipes no end.
//!
//! Bytes of output are read off the log, bytes on the disk by walking what the command may write to; the
//! file systems' own counts say when a walk is worth it, and a walk that may find too much is never put off.
//! A command that may be over is frozen first and measured then, so that nothing is written between the
//! measure and the verdict. **Tolerance**: what can be written between two looks ([`LOOK_EVERY`]), and one
//! part in [`TOLERATED`] of the limit.
//!
//! What a command has written is measured once more when it has ended, so that many short ones are held to
//! the limit as a long one is. What the host itself does for a step ([`check_floor`], [`check_written`]) is
//! measured when it is done.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use windlass_containers::logs;
use windlass_containers::runtime::ContainerSpec;
use windlass_model::Failure;

use super::OpContext;
use super::caches::disk_bytes;
use crate::builder::{Session, blocking};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A walk is made at least so often.
const WALK_EVERY: Duration = Duration::from_secs(5);
/// Of the time at most one part in so many is spent walking, unless the limit may have been reached.
const WALK_SHARE: u32 = 10;
/// Growth below one part in so many of the limit is no reason to measure at once.
const TOLERATED: u64 = 64;
/// Below so much the disk counts as full.
const EXHAUSTED_BYTES: u64 = 1 << 20;
const EXHAUSTED_INODES: u64 = 16;
const KILL: i32 = 9;

/// What is watched of one command.
pub(super) struct Watch<'a> {
    session: &'a Session,
    active: &'a str,
    id: &'a str,
    log: PathBuf,
    dirs: Vec<PathBuf>,
    /// What the folders held before.
    before: u64,
    /// Known before the command is killed: its end may be seen before the killing is over.
    verdict: Mutex<Option<Over>>,
}

/// What a command went over; it has been killed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Over {
    /// Its output.
    Output { bytes: u64, bytes_max: u64 },
    /// What its build has written to the disk.
    Disk { bytes: u64, bytes_max: u64 },
    /// What the host needs to have free.
    Floor { free: Free, bytes_min: u64 },
}

/// What is free on a file system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Free {
    bytes: u64,
    inodes: u64,
    has_inodes: bool,
}

impl Free {
    const UNKNOWN: Self = Self { bytes: u64::MAX, inodes: u64::MAX, has_inodes: false };

    /// Of the file system of a build that has least.
    pub(super) fn least(data_dir: &Path) -> Self {
        let free = Disks::of(data_dir).free().into_iter();
        free.min_by_key(|free| (!free.is_exhausted(), free.bytes)).unwrap_or(Self::UNKNOWN)
    }

    /// Of the file system that holds this path.
    fn of(path: &Path) -> Self {
        let Ok(stat) = rustix::fs::statvfs(path) else { return Self::UNKNOWN };
        let bytes = stat.f_bavail * stat.f_frsize;
        // Some file systems make inodes as they need them, and say that there are none.
        Self { bytes, inodes: stat.f_favail, has_inodes: stat.f_files > 0 }
    }

    /// Whether there is none left.
    pub(super) const fn is_exhausted(self) -> bool {
        self.bytes < EXHAUSTED_BYTES || (self.has_inodes && self.inodes < EXHAUSTED_INODES)
    }
}

impl fmt::Display for Free {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.bytes >> 20)?;
        match self.has_inodes {
            true => write!(f, " and {} inodes free", self.inodes),
            false => f.write_str(" free"),
        }
    }
}

/// The file systems that a build writes to: that of the data directory, and that of containerd's root if
/// it is another one.
struct Disks(Vec<PathBuf>);

impl Disks {
    fn of(data_dir: &Path) -> Self {
        let containerd = data_dir.join("containerd/root");
        let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
        let of_its_own = device(&containerd).filter(|own| device(data_dir) != Some(*own));
        let mut paths = vec![data_dir.to_owned()];
        paths.extend(of_its_own.map(|_| containerd));
        Self(paths)
    }

    fn free(&self) -> Vec<Free> {
        self.0.iter().map(|path| Free::of(path)).collect()
    }
}

/// By how much less is free now, on all file systems together.
fn grown(before: &[Free], now: &[Free]) -> u64 {
    before.iter().zip(now).map(|(before, now)| before.bytes.saturating_sub(now.bytes)).sum()
}

impl<'a> Watch<'a> {
    /// Begins before the command does.
    pub(super) async fn begin(
        session: &'a Session,
        active: &'a str,
        spec: &'a ContainerSpec,
        dirs: Vec<PathBuf>,
    ) -> Result<Self, Failure> {
        let of = dirs.clone();
        let before = blocking(move || of.iter().map(|dir| disk_bytes(dir)).sum()).await?;
        Ok(Self {
            session,
            active,
            id: &spec.id,
            log: spec.log.dir.clone(),
            dirs,
            before,
            verdict: Mutex::default(),
        })
    }

    /// Why the command was killed, if it was.
    pub(super) fn verdict(&self) -> Option<Over> {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, over: Over) {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(over);
    }

    /// Returns when the command was killed because it went over something.
    pub(super) async fn over(&self) -> Over {
        let limits = &self.session.config.limits;
        let (output_max, disk_max) = (limits.build.output_bytes_max, limits.build.disk_bytes_max);
        let bytes_min = floor(self.session);
        let disks = Disks::of(&self.session.config.data_dir);
        let began = disks.free();
        let mut at_walk = began.clone();
        let (mut walked, mut walk_took) = (Instant::now(), Duration::ZERO);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let bytes = logs::written(&self.log);
            if bytes > output_max {
                return self.kill(Over::Output { bytes, bytes_max: output_max }).await;
            }
            let free = disks.free();
            let mut below = free.iter().zip(&began);
            if let Some((free, _)) =
                below.find(|(now, began)| is_below(now.bytes, bytes_min, began.bytes))
            {
                return self.kill(Over::Floor { free: *free, bytes_min }).await;
            }
            let grown = grown(&at_walk, &free);
            let is_urgent = may_be_over(self.session.written(), grown, disk_max);
            let is_due = walked.elapsed() > WALK_EVERY || grown > disk_max / 16;
            let may_walk = is_due && walked.elapsed() >= walk_took * WALK_SHARE;
            if !is_urgent && !may_walk {
                continue;
            }
            let start = Instant::now();
            // Files that vanish during a walk may spoil it: then it is done again while all stands still.
            let is_suspected = is_urgent || self.measure().await.is_none_or(|all| all > disk_max);
            if is_suspected && let Some(over) = self.measure_frozen(disk_max).await {
                return over;
            }
            (walked, walk_took, at_walk) = (Instant::now(), start.elapsed(), free);
        }
    }

    /// The command has ended: what it and its build went over, if they did. One that was short was never
    /// looked at before.
    pub(super) async fn at_end(&self) -> Option<Over> {
        let bytes_max = self.session.config.limits.build.disk_bytes_max;
        let bytes = self.measure().await.filter(|bytes| *bytes > bytes_max)?;
        Some(Over::Disk { bytes, bytes_max })
    }

    /// What the whole build has written by now; `None` when it could not be measured.
    async fn measure(&self) -> Option<u64> {
        let dirs = self.dirs.clone();
        let all = blocking(move || dirs.iter().map(|dir| disk_bytes(dir)).sum::<u64>()).await;
        let caches = all.ok()?.saturating_sub(self.before);
        let step = self.session.runtime.snapshot_bytes(self.active).await.ok()?;
        // What earlier commands of the step wrote into caches stands under their own names.
        self.session.note_written(self.id, caches);
        Some(self.session.note_written(self.active, step))
    }

    /// Freezes the command and measures; it is killed if it is over, else it goes on.
    async fn measure_frozen(&self, bytes_max: u64) -> Option<Over> {
        let runtime = &self.session.runtime;
        if let Err(error) = runtime.freeze(self.id).await {
            tracing::warn!(id = self.id, %error, "a command could not be frozen");
        }
        let bytes = self.measure().await.filter(|bytes| *bytes > bytes_max);
        let over = bytes.map(|bytes| Over::Disk { bytes, bytes_max });
        if let Some(over) = over {
            self.decide(over);
            self.signal_all().await;
        }
        if let Err(error) = runtime.thaw(self.id).await {
            tracing::warn!(id = self.id, %error, "a command could not be thawed");
        }
        over
    }

    async fn kill(&self, over: Over) -> Over {
        self.decide(over);
        if let Err(error) = self.session.runtime.freeze(self.id).await {
            tracing::warn!(id = self.id, %error, "a command could not be frozen");
        }
        self.signal_all().await;
        if let Err(error) = self.session.runtime.thaw(self.id).await {
            tracing::warn!(id = self.id, %error, "a command could not be thawed");
        }
        over
    }

    async fn signal_all(&self) {
        // Deleting the container kills again, and is not left undone.
        if let Err(error) = self.session.runtime.kill(self.id, KILL, true).await {
            tracing::warn!(id = self.id, %error, "a command over its limit could not be killed yet");
        }
    }
}

/// Half of what a deployment needs to begin: what runs keeps the other half.
fn floor(session: &Session) -> u64 {
    session.config.limits.disk_free_bytes_min / 2
}

/// Whether so much growth since the last measure may have brought a build over its limit. All that is
/// written on the file systems counts, also what others wrote: only a measure is a verdict.
fn may_be_over(written: u64, grown: u64, bytes_max: u64) -> bool {
    grown > bytes_max.saturating_sub(written).max(bytes_max / TOLERATED)
}

/// Whether the host may begin to write files of a step.
pub(super) fn check_floor(
    session: &Session,
    context: &OpContext<'_>,
    shown: &str,
) -> Result<(), Failure> {
    let bytes_min = floor(session);
    let free = Disks::of(&session.config.data_dir).free();
    match free.into_iter().find(|free| free.bytes < bytes_min) {
        Some(free) => Err(Over::Floor { free, bytes_min }.failure(shown, &context.step.name)),
        None => Ok(()),
    }
}

/// Whether its build is within its limit with what the host has written for a step.
pub(super) async fn check_written(
    session: &Session,
    context: &OpContext<'_>,
    shown: &str,
) -> Result<(), Failure> {
    let bytes_max = session.config.limits.build.disk_bytes_max;
    let measured = session.runtime.snapshot_bytes(context.active).await;
    let step = measured.map_err(|e| e.failure("What a step has written could not be measured"))?;
    let bytes = session.note_written(context.active, step);
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Over::Disk { bytes, bytes_max }.failure(shown, &context.step.name))
}

/// Whether a command must end for want of space: what was short before it began is not its doing.
const fn is_below(free: u64, min: u64, at_begin: u64) -> bool {
    free < min && free < at_begin
}

impl Over {
    /// As a person is told.
    pub(super) fn failure(&self, shown: &str, step: &str) -> Failure {
        let what = format!("{shown:?} in the step {step:?} was stopped");
        match self {
            Self::Output { bytes, bytes_max } => Failure::app(
                "build.output-limit",
                what,
                format!(
                    "it had written {} MiB of output when it was stopped; a command may write {} MiB",
                    bytes >> 20,
                    bytes_max >> 20
                ),
                "let it say less, or raise `build.output_bytes_max` in the limits file",
            ),
            Self::Disk { bytes, bytes_max } => Failure::app(
                "build.disk-limit",
                what,
                format!(
                    "its build had written {} MiB to the disk by then; a build may write {} MiB",
                    bytes >> 20,
                    bytes_max >> 20
                ),
                "let it write less, or raise `build.disk_bytes_max` in the limits file",
            ),
            Self::Floor { free, bytes_min } => Failure::host(
                "build.disk-floor",
                what,
                format!(
                    "the host's disk has {free}; builds are stopped below {} MiB, so that what runs \
                     can go on",
                    bytes_min >> 20
                ),
                "free space: `windlass cache clear`; or lower `disk_free_bytes_min` in the limits file",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_stopped_below_the_floor_only_if_it_went_there() {
        assert!(is_below(9, 10, 11));
        assert!(!is_below(10, 10, 11));
        assert!(!is_below(9, 10, 9), "it was so before");
    }

    #[test]
    fn what_may_be_over_is_measured_at_once_and_little_growth_is_not() {
        assert!(!may_be_over(0, 64, 64), "it may write all of it");
        assert!(may_be_over(0, 65, 64));
        assert!(may_be_over(60, 5, 64) && !may_be_over(60, 4, 64));
        assert!(may_be_over(64, 2, 64) && !may_be_over(64, 1, 64), "one in 64 is tolerated");
    }

    #[test]
    fn what_is_taken_counts_on_every_file_system_and_what_is_freed_on_one_hides_none_on_another() {
        let free = |bytes| Free { bytes, ..Free::UNKNOWN };
        assert_eq!(grown(&[free(10), free(10)], &[free(7), free(30)]), 3);
        assert_eq!(grown(&[free(10), free(10)], &[free(9), free(8)]), 3);
        let data = tempfile::tempdir().unwrap();
        assert_eq!(Disks::of(data.path()).0, [data.path()]);
        std::fs::create_dir_all(data.path().join("containerd/root")).unwrap();
        assert_eq!(Disks::of(data.path()).0, [data.path()], "it is the same file system");
        std::fs::remove_dir(data.path().join("containerd/root")).unwrap();
        std::os::unix::fs::symlink("/proc", data.path().join("containerd/root")).unwrap();
        assert_eq!(
            Disks::of(data.path()).0,
            [data.path().to_owned(), data.path().join("containerd/root")]
        );
    }

    #[test]
    fn every_kind_names_its_sizes() {
        let said = |over: Over| over.failure("make", "app").why;
        let output = said(Over::Output { bytes: 9 << 20, bytes_max: 8 << 20 });
        assert!(output.contains("9 MiB") && output.contains("8 MiB"), "{output}");
        let disk = said(Over::Disk { bytes: 70 << 20, bytes_max: 64 << 20 });
        assert!(disk.contains("70 MiB") && disk.contains("64 MiB"), "{disk}");
        let free = Free { bytes: 5 << 20, inodes: 7, has_inodes: true };
        let floor = said(Over::Floor { free, bytes_min: 6 << 20 });
        assert!(floor.contains("5 MiB and 7 inodes free") && floor.contains("6 MiB"), "{floor}");
        assert!(Free { bytes: 5 << 20, inodes: 7, has_inodes: true }.is_exhausted());
        assert!(!Free { bytes: 5 << 20, inodes: 7, has_inodes: false }.is_exhausted());
    }
}
