//! What a running command writes, watched: overlay file systems have no quota, and pipes no end.
//!
//! Bytes of output are read off the log, bytes on the disk by walking what the command may write to; the
//! file system's own count says when a walk is worth it. A command that may be over is frozen first and
//! measured then, so that nothing is written between the measure and the verdict. **Tolerance**: what can be
//! written between two looks ([`LOOK_EVERY`], and the time a walk takes).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use windlass_containers::logs;
use windlass_containers::runtime::ContainerSpec;
use windlass_model::Failure;

use super::caches::disk_bytes;
use crate::builder::{Session, blocking};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A walk is made at least so often.
const WALK_EVERY: Duration = Duration::from_secs(5);
/// Of the time at most one part in so many is spent walking.
const WALK_SHARE: u32 = 10;
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
    /// Of the file system that holds this path.
    pub(super) fn of(path: &Path) -> Self {
        let Ok(stat) = rustix::fs::statvfs(path) else {
            return Self { bytes: u64::MAX, inodes: u64::MAX, has_inodes: false };
        };
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
        // Half of what a deployment needs to begin: what runs keeps the other half.
        let bytes_min = limits.disk_free_bytes_min / 2;
        let began = Free::of(&self.session.config.data_dir);
        let mut at_walk = began;
        let (mut walked, mut walk_took) = (Instant::now(), Duration::ZERO);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let bytes = logs::written(&self.log);
            if bytes > output_max {
                return self.kill(Over::Output { bytes, bytes_max: output_max }).await;
            }
            let free = Free::of(&self.session.config.data_dir);
            if is_below(free.bytes, bytes_min, began.bytes) {
                return self.kill(Over::Floor { free, bytes_min }).await;
            }
            let grown = at_walk.bytes.saturating_sub(free.bytes);
            let is_due = walked.elapsed() > WALK_EVERY || grown > disk_max / 16;
            if !is_due || walked.elapsed() < walk_took * WALK_SHARE {
                continue;
            }
            let start = Instant::now();
            // Files that vanish during a walk may spoil it; then the file system's count must do.
            let measured = self.measure().await;
            let suspected = measured.unwrap_or(began.bytes.saturating_sub(free.bytes));
            if suspected > disk_max
                && let Some(over) = self.measure_frozen(disk_max).await
            {
                return over;
            }
            (walked, walk_took, at_walk) = (Instant::now(), start.elapsed(), free);
        }
    }

    /// What the whole build has written by now; `None` when it could not be measured.
    async fn measure(&self) -> Option<u64> {
        let dirs = self.dirs.clone();
        let all = blocking(move || dirs.iter().map(|dir| disk_bytes(dir)).sum::<u64>()).await;
        let caches = all.ok()?.saturating_sub(self.before);
        let step = self.session.runtime.snapshot_bytes(self.active).await.ok()?;
        Some(self.session.note_written(step + caches))
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
                    "its build had written {} MiB to the disk when it was frozen; a build may write {} \
                     MiB, and is looked at every {} ms",
                    bytes >> 20,
                    bytes_max >> 20,
                    LOOK_EVERY.as_millis()
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
