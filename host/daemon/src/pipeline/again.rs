//! Cleaning up again: an undo or a retirement that failed once is no reason to call a person.

use std::time::Duration;

use tokio::time::Instant;
use windlass_model::Failure;

/// Tries of what failed, before it counts as failed.
const TRIES_MAX: u32 = 3;
/// How long a containerd that is away is waited for.
const AWAY_MAX: Duration = Duration::from_secs(300);
/// First pause; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Counts the tries of one thing.
pub(super) struct Again {
    until: Instant,
    tries: u32,
    pause: Duration,
}

impl Again {
    pub(super) fn new() -> Self {
        Self { until: Instant::now() + AWAY_MAX, tries: 1, pause: PAUSE }
    }

    /// Whether what failed so is to be tried once more.
    pub(super) fn may(&mut self, failure: &Failure) -> bool {
        if failure.code == "containerd.unavailable" {
            return Instant::now() < self.until;
        }
        self.tries += 1;
        self.tries <= TRIES_MAX
    }

    /// Waits a little, longer each time.
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_tried_three_times_and_a_containerd_that_is_away_longer() {
        let failure = |code: &str| Failure::host(code, "what", "why", "fix");
        let mut again = Again::new();
        let tries = (0..9).filter(|_| again.may(&failure("containerd.refused"))).count();
        assert_eq!(tries + 1, 3);
        assert!((0..9).all(|_| again.may(&failure("containerd.unavailable"))));
    }
}
