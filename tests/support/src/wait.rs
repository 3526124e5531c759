//! Waiting for conditions, with a deadline.

use std::time::{Duration, Instant};

/// How long between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `look` gives a value.
///
/// # Panics
/// With `what` and the last complaint, when the deadline has passed.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        match look() {
            Ok(value) => return value,
            Err(why) if Instant::now() > end => {
                panic!("{what}: not within {} s: {why}", deadline.as_secs())
            }
            Err(_) => std::thread::park_timeout(LOOK_EVERY),
        }
    }
}

/// Waits until a condition holds.
///
/// # Panics
/// As [`wait_for`].
pub fn until(what: &str, deadline: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(what, deadline, || if holds() { Ok(()) } else { Err("it does not hold".to_owned()) });
}
