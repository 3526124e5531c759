//! What a call has used of its time. What the host does for it outside is on the host's time.
//!
//! The CPU time is that of whichever threads poll the call, as the kernel counts it: a machine that is busy with
//! other things takes none of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The times of one call. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    outside: Duration,
    outside_since: Option<Instant>,
    cpu: Duration,
    /// CPU time of the thread that polls, where it began or came back from outside.
    polled_since: Option<Duration>,
}

impl Counts {
    /// CPU time of the poll that is under way and not counted yet. The thread that polls asks.
    fn of_this_poll(&self) -> Duration {
        match (self.outside_since, self.polled_since) {
            (None, Some(since)) => thread_cpu().saturating_sub(since),
            _ => Duration::ZERO,
        }
    }
}

impl Times {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the host has been doing things outside, with what is under way.
    pub(crate) fn outside(&self) -> Duration {
        let counts = self.counts();
        let under_way = counts.outside_since.map(|since| since.elapsed());
        counts.outside + under_way.unwrap_or_default()
    }

    /// Counts what is done outside until the answer is dropped.
    pub(crate) fn begin_outside(&self) -> Outside {
        let mut counts = self.counts();
        let more = counts.of_this_poll();
        counts.cpu += more;
        counts.outside_since = Some(Instant::now());
        Outside(self.clone())
    }

    /// CPU time so far. Within a poll, only the thread that polls may ask.
    pub(crate) fn cpu(&self) -> Duration {
        let counts = self.counts();
        counts.cpu + counts.of_this_poll()
    }

    /// Counts CPU time of this thread until the answer is dropped, on the same one.
    pub(crate) fn poll(&self) -> Polled<'_> {
        self.counts().polled_since = Some(thread_cpu());
        Polled(self)
    }
}

/// The host does something outside.
#[derive(Debug)]
pub(crate) struct Outside(Times);

impl Drop for Outside {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        let since = counts.outside_since.take();
        counts.outside += since.map(|since| since.elapsed()).unwrap_or_default();
        if counts.polled_since.is_some() {
            counts.polled_since = Some(thread_cpu());
        }
    }
}

/// The call is polled.
#[derive(Debug)]
pub(crate) struct Polled<'a>(&'a Times);

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        let more = counts.of_this_poll();
        counts.cpu += more;
        counts.polled_since = None;
    }
}

/// CPU time of this thread since it began.
fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes for this long.
    fn compute(lasts: Duration) {
        let until = thread_cpu() + lasts;
        while thread_cpu() < until {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn what_is_computed_in_polls_counts_and_what_is_done_outside_does_not() {
        const STEP: Duration = Duration::from_millis(20);
        let times = Times::default();
        compute(STEP);
        assert_eq!(times.cpu(), Duration::ZERO, "nobody polls");
        let polled = times.poll();
        compute(STEP);
        let first = times.cpu();
        assert!(first >= STEP, "{first:?}");
        let outside = times.begin_outside();
        compute(10 * STEP);
        assert!(times.cpu() < 2 * STEP, "{:?}", times.cpu());
        // What is done outside goes on while nobody polls, and may end in another poll.
        drop(polled);
        assert!(times.outside() >= 10 * STEP, "{:?}", times.outside());
        let polled = times.poll();
        drop(outside);
        compute(STEP);
        drop(polled);
        let both = times.cpu();
        assert!(both >= 2 * STEP && both < 4 * STEP, "{both:?}");
        let outside = times.outside();
        assert!(outside >= 10 * STEP);
        assert_eq!((times.cpu(), times.outside()), (both, outside), "both stand still");
    }
}
