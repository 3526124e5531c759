//! Calls that are made again while containerd is away: it is being restarted, or an answer was lost.
//!
//! **Invariant: only calls that are idempotent by the name they are given come here** (see
//! [`crate::runtime`]), so it does not matter whether one that was cut off had been carried out.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::error::{Result, RuntimeError};

/// How long one call waits for a containerd that is away.
const AWAY_MAX: Duration = Duration::from_secs(15);
/// First pause between two tries; it doubles.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Makes the call until containerd answers, with whatever it answers.
pub(crate) async fn again<T, F: Future<Output = Result<T>>>(call: impl Fn() -> F) -> Result<T> {
    let until = Instant::now() + AWAY_MAX;
    let mut pause = PAUSE;
    loop {
        match call().await {
            Err(RuntimeError::Unavailable { socket, why }) if Instant::now() + pause < until => {
                tracing::debug!(socket = %socket.display(), why, "containerd is away");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn away() -> RuntimeError {
        RuntimeError::Unavailable { socket: "/x".into(), why: "gone".to_owned() }
    }

    #[tokio::test]
    async fn a_call_is_made_until_containerd_answers_and_not_for_ever() {
        let calls = AtomicU32::new(0);
        let back = again(|| async {
            match calls.fetch_add(1, Ordering::SeqCst) {
                0..3 => Err(away()),
                n => Ok(n),
            }
        });
        assert_eq!(back.await.unwrap(), 3);
        let refused = again(|| async {
            calls.fetch_add(1, Ordering::SeqCst);
            Err::<(), _>(RuntimeError::NotRoot)
        });
        assert!(matches!(refused.await, Err(RuntimeError::NotRoot)));
        assert_eq!(calls.load(Ordering::SeqCst), 5, "an answer ends it");
    }
}
