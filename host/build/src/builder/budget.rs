//! What the builds of this host may use together: how many at once, how many steps, how much memory. The
//! CPU that they share is limited by the control group of all of them, which the runtime keeps.
//!
//! A command's own limit holds by its control group; together they stay within the budget because a
//! command waits until there is room for all that it may use.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use windlass_model::Failure;
use windlass_model::limits::BuildLimits;

use super::session::cancelled;
use crate::log::BuildLog;

/// Memory is counted in these.
const MIB: u64 = 1 << 20;
/// Where the machine's memory cannot be read.
const MEMORY_BYTES_UNKNOWN: u64 = 4 << 30;

/// A place that is given back when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// The budget of one host.
#[derive(Clone)]
pub(crate) struct Budget {
    builds: Arc<Semaphore>,
    steps: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    memory_mib: u32,
}

impl Budget {
    /// By these limits.
    pub(crate) fn new(limits: &BuildLimits) -> Self {
        let all = match limits.memory_bytes_all_max {
            0 => machine_memory().unwrap_or(MEMORY_BYTES_UNKNOWN) / 4 * 3,
            bytes => bytes,
        };
        // A single command always finds room.
        let memory_mib = mib(all.max(limits.memory_bytes_max));
        Self {
            builds: Arc::new(Semaphore::new(limits.running_max.max(1))),
            steps: Arc::new(Semaphore::new(limits.steps_running_max.max(1))),
            memory: Arc::new(Semaphore::new(memory_mib as usize)),
            memory_mib,
        }
    }

    /// A place for a build.
    pub(super) async fn build(&self, wait: &Wait<'_>) -> Result<Place, Failure> {
        wait.until(&self.builds, 1, "other builds run: waiting for a place").await
    }

    /// A place for a step.
    pub(super) async fn step(&self, wait: &Wait<'_>) -> Result<Place, Failure> {
        wait.until(&self.steps, 1, "other steps run: waiting for a place").await
    }

    /// Room for a command that may use so much memory.
    pub(crate) async fn memory(&self, bytes: u64, wait: &Wait<'_>) -> Result<Place, Failure> {
        let wanted = mib(bytes).min(self.memory_mib);
        wait.until(&self.memory, wanted, "other commands run: waiting for memory").await
    }
}

/// How a place is waited for.
pub(crate) struct Wait<'a> {
    pub(crate) cancel: &'a CancellationToken,
    pub(crate) log: &'a BuildLog,
}

impl Wait<'_> {
    async fn until(&self, of: &Arc<Semaphore>, count: u32, says: &str) -> Result<Place, Failure> {
        if let Ok(place) = Arc::clone(of).try_acquire_many_owned(count) {
            return Ok(place);
        }
        self.log.host(says);
        tokio::select! {
            place = Arc::clone(of).acquire_many_owned(count) => place.map_err(|_| cancelled()),
            () = self.cancel.cancelled() => Err(cancelled()),
        }
    }
}

fn mib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(MIB).max(1)).unwrap_or(u32::MAX >> 3).min(u32::MAX >> 3)
}

fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use windlass_model::secret::Masker;

    use super::*;

    fn limits() -> BuildLimits {
        BuildLimits {
            memory_bytes_max: 100 * MIB,
            memory_bytes_all_max: 250 * MIB,
            running_max: 1,
            ..BuildLimits::default()
        }
    }

    #[tokio::test]
    async fn commands_together_stay_within_the_memory_and_a_waiting_one_can_be_cancelled() {
        let budget = Budget::new(&limits());
        let (cancel, log) =
            (CancellationToken::new(), BuildLog::new(Arc::new(|_| ()), Masker::default(), 1));
        let wait = Wait { cancel: &cancel, log: &log };
        let one = budget.memory(100 * MIB, &wait).await.unwrap();
        let _two = budget.memory(100 * MIB, &wait).await.unwrap();
        assert_eq!(budget.memory.available_permits(), 50);
        drop(one);
        let _all_that_is_left = budget.memory(150 * MIB, &wait).await.unwrap();
        let third = budget.memory(100 * MIB, &wait);
        cancel.cancel();
        assert_eq!(third.await.unwrap_err().code, "build.cancelled");
    }

    #[tokio::test]
    async fn a_command_that_may_use_more_than_all_gets_all() {
        let budget = Budget::new(&BuildLimits { memory_bytes_all_max: MIB, ..limits() });
        let (cancel, log) =
            (CancellationToken::new(), BuildLog::new(Arc::new(|_| ()), Masker::default(), 1));
        let wait = Wait { cancel: &cancel, log: &log };
        let _all = budget.memory(1 << 40, &wait).await.unwrap();
        assert_eq!(budget.memory.available_permits(), 0);
        assert!(machine_memory().is_some_and(|bytes| bytes > 64 * MIB));
    }
}
