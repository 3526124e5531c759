//! What a build writes, watched: overlay file systems have no quota, and pipes no end.
//!
//! Bytes of output are read off the log, bytes on the disk by walking what the command may write to; the
//! file systems' own counts say when a walk is worth it, and a walk that may find too much is never put off.
//! A command that may be over is frozen first and measured then, so that nothing is written between the
//! measure and the verdict. **Tolerance**: what can be written between two looks ([`LOOK_EVERY`]), and one
//! part in [`TOLERATED`] of the limit.
//!
//! What a command has written is measured once more when it has ended, so that many short ones are held to
//! the limit as a long one is. What the host itself writes for a step is counted before it is written
//! ([`super::allowance`]), and measured when it is done if the limit is not far ([`check_written`]).

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use windlass_containers::logs;
use windlass_containers::runtime::ContainerSpec;
use windlass_model::Failure;

use super::OpContext;
use super::caches::disk_bytes;
use super::mounts::Written;
use crate::builder::{Session, blocking};
use crate::disk::free::{Disks, Floor, Free, grown};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A walk is made at least so often.
const WALK_EVERY: Duration = Duration::from_secs(5);
/// Of the time at most one part in so many is spent walking, unless the limit may have been reached.
const WALK_SHARE: u32 = 10;
/// Growth below one part in so many of the limit is no reason to measure at once.
const TOLERATED: u64 = 64;
/// Below one part in so many of the limit it is enough to have counted what the host has written: to measure
/// very many files takes its time, and what a count misses of a directory's own size, or counts twice of what
/// was replaced, is a part of that.
const COUNTED_SHARE: u64 = 16;
/// So often a measure is tried while nothing moves.
const MEASURE_TRIES: usize = 3;
const KILL: i32 = 9;

/// What is watched of one command.
pub(super) struct Watch<'a> {
    session: &'a Session,
    active: &'a str,
    id: &'a str,
    log: PathBuf,
    dirs: Written,
    /// What its own folders held before.
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
    /// What can be measured.
    Unmeasured,
    /// What the host needs to have free.
    Floor { free: Free, floor: Floor },
}

/// What a command may write to, as it was before.
pub(super) struct Before {
    dirs: Written,
    /// In its own folders.
    bytes: u64,
}

impl Before {
    /// Measures it.
    pub(super) async fn of(session: &Session, dirs: Written) -> Result<Self, Failure> {
        let (own, shared) = tokio::try_join!(sizes(&dirs.own), sizes(&dirs.shared))?;
        for (dir, bytes) in dirs.shared.iter().zip(shared) {
            session.begin_shared(dir, bytes);
        }
        Ok(Self { dirs, bytes: own.iter().sum() })
    }
}

impl<'a> Watch<'a> {
    /// Begins before the command does.
    pub(super) fn begin(
        session: &'a Session,
        active: &'a str,
        spec: &'a ContainerSpec,
        before: Before,
    ) -> Self {
        let Before { dirs, bytes: before } = before;
        let (id, log) = (&spec.id, spec.log.dir.clone());
        Self { session, active, id, log, dirs, before, verdict: Mutex::default() }
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
        let disk_max = limits.build.disk_bytes_max;
        let floor = Floor::of(limits);
        let disks = Disks::of(&self.session.config.data_dir);
        let began = disks.free();
        let mut at_walk = began.clone();
        let (mut walked, mut walk_took) = (Instant::now(), Duration::ZERO);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(over) = self.said_too_much() {
                return self.kill(over).await;
            }
            let free = disks.free();
            if let Some(free) = floor.crossed(&began, &free) {
                return self.kill(Over::Floor { free, floor }).await;
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
            let mut is_measured = true;
            if is_suspected {
                match self.measure_frozen(disk_max, is_urgent).await {
                    Some(over) if self.verdict().is_some() => return over,
                    // It goes on, because there is no hurry.
                    Some(_) => is_measured = false,
                    None => {}
                }
            }
            (walked, walk_took) = (Instant::now(), start.elapsed());
            // What cannot be measured may be so for a moment. As long as it is, all that the disk lost may be its.
            if is_measured {
                at_walk = free;
            }
        }
    }

    /// Whether the command and those before it have said more than a build may. One that was short was never
    /// looked at before its end.
    pub(super) fn said_too_much(&self) -> Option<Over> {
        let bytes_max = self.session.config.limits.build.output_bytes_max;
        let bytes = self.session.note_output(self.id, logs::written(&self.log));
        (bytes > bytes_max).then_some(Over::Output { bytes, bytes_max })
    }

    /// The command has ended: whether it and its build have written too much. One that was short was never
    /// looked at before.
    pub(super) async fn at_end(&self) -> Option<Over> {
        let bytes_max = self.session.config.limits.build.disk_bytes_max;
        self.measure_still(bytes_max).await
    }

    /// The same while nothing moves. What cannot be measured then cannot be as it is: paths may be too long for it.
    async fn measure_still(&self, bytes_max: u64) -> Option<Over> {
        for _ in 0..MEASURE_TRIES {
            if let Some(bytes) = self.measure().await {
                return (bytes > bytes_max).then_some(Over::Disk { bytes, bytes_max });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Some(Over::Unmeasured)
    }

    /// What the whole build has written by now; `None` when it could not be measured.
    async fn measure(&self) -> Option<u64> {
        let own: u64 = sizes(&self.dirs.own).await.ok()?.iter().sum();
        let shared = sizes(&self.dirs.shared).await.ok()?;
        let step = self.session.runtime.snapshot_bytes(self.active).await.ok()?;
        let unlinked = self.session.runtime.unlinked_bytes(self.id).await.ok()?;
        // What earlier commands of the step wrote into caches stands under their own names.
        self.session.note_written(self.id, own.saturating_sub(self.before));
        for (dir, bytes) in self.dirs.shared.iter().zip(shared) {
            self.session.note_shared(dir, bytes);
        }
        Some(self.session.note_written(self.active, step).saturating_add(unlinked))
    }

    /// Freezes the command and measures; it is killed if it is over, else it goes on. What cannot be measured counts as
    /// over where it is `urgent`.
    async fn measure_frozen(&self, bytes_max: u64, urgent: bool) -> Option<Over> {
        let runtime = &self.session.runtime;
        if let Err(error) = runtime.freeze(self.id).await {
            tracing::warn!(id = self.id, %error, "a command could not be frozen");
        }
        let over = self.measure_still(bytes_max).await;
        if let Some(over) = over.filter(|over| urgent || !matches!(over, Over::Unmeasured)) {
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

/// Bytes on the disk of each of these folders.
async fn sizes(dirs: &[PathBuf]) -> Result<Vec<u64>, Failure> {
    let dirs = dirs.to_vec();
    blocking(move || dirs.iter().map(|dir| disk_bytes(dir)).collect()).await
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
    let floor = Floor::of(&session.config.limits);
    let free = Disks::of(&session.config.data_dir).free();
    match floor.missed(&free) {
        Some(place) => {
            let over = Over::Floor { free: free[place], floor };
            Err(over.failure(shown, &context.step.name))
        }
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
    let is_far = session.written() <= bytes_max / COUNTED_SHARE;
    if is_far && context.allowance.has_counted_all() {
        return Ok(());
    }
    let measured = session.runtime.snapshot_bytes(context.active).await;
    let step = measured.map_err(|e| e.failure("What a step has written could not be measured"))?;
    let bytes = session.note_written(context.active, step);
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Over::Disk { bytes, bytes_max }.failure(shown, &context.step.name))
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
                    "the commands of its build had written {} MiB of output by then; a build may write {} MiB",
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
            Self::Unmeasured => Failure::app(
                "build.disk-limit",
                what,
                "what its build has written cannot be measured: its paths may be longer than 4096 letters",
                "let it make shorter paths; where it does not make long ones, build again and look into the host's log",
            ),
            Self::Floor { free, floor } => Failure::host(
                "build.disk-floor",
                what,
                format!(
                    "the host's disk has {free}; builds are stopped below {floor}, so that what runs can \
                     go on"
                ),
                "free space: `windlass cache clear`; or lower `disk_free_bytes_min` or \
                 `disk_free_inodes_min` in the limits file",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_over_is_measured_at_once_and_little_growth_is_not() {
        assert!(!may_be_over(0, 64, 64), "it may write all of it");
        assert!(may_be_over(0, 65, 64));
        assert!(may_be_over(60, 5, 64) && !may_be_over(60, 4, 64));
        assert!(may_be_over(64, 2, 64) && !may_be_over(64, 1, 64), "one in 64 is tolerated");
    }

    #[test]
    fn every_kind_names_its_sizes() {
        let said = |over: Over| over.failure("make", "app").why;
        let output = said(Over::Output { bytes: 9 << 20, bytes_max: 8 << 20 });
        assert!(output.contains("9 MiB") && output.contains("8 MiB"), "{output}");
        let disk = said(Over::Disk { bytes: 70 << 20, bytes_max: 64 << 20 });
        assert!(disk.contains("70 MiB") && disk.contains("64 MiB"), "{disk}");
        let free = Free { bytes: 5 << 20, inodes: 7, has_inodes: true };
        let floor = said(Over::Floor { free, floor: Floor { bytes_min: 6 << 20, inodes_min: 8 } });
        assert!(floor.contains("5 MiB and 7 inodes free"), "{floor}");
        assert!(floor.contains("below 6 MiB or 8 inodes"), "{floor}");
    }
}
