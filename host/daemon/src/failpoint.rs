//! Places where a test stops the process dead, or holds it, to see what is made of it.
//!
//! `WINDLASS_FAILPOINT=<place>` (for instance `during:build`) arms one place. When it is reached, the
//! place is written to `<data>/failpoint.hit`, synced, and the process kills itself with SIGKILL: no
//! destructor runs, as in a crash. The file proves to the test that the place was reached; while it
//! exists the place is disarmed, so that a restart with the same environment goes past it.
//!
//! `WINDLASS_FAILPOINT=pause@<place>` holds whoever gets there first, until the test removes the file:
//! time to take something else away.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two looks whether a held place is released.
const LOOK_EVERY: Duration = Duration::from_millis(10);

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

struct Armed {
    place: String,
    pauses: bool,
    hit: PathBuf,
    spent: AtomicBool,
}

impl Armed {
    fn of(text: &str, hit: PathBuf) -> Self {
        let (pauses, place) = match text.strip_prefix("pause@") {
            Some(place) => (true, place),
            None => (false, text),
        };
        Self { place: place.to_owned(), pauses, hit, spent: AtomicBool::new(false) }
    }
}

/// Reads the environment, once, at start.
pub(crate) fn arm(data_dir: &Path) {
    let hit = data_dir.join("failpoint.hit");
    let text = std::env::var("WINDLASS_FAILPOINT").ok().filter(|_| !hit.exists());
    if let Some(text) = &text {
        tracing::warn!(text, "a failpoint is armed: this process will stop there");
    }
    let _ = ARMED.set(text.map(|text| Armed::of(&text, hit)));
}

/// Dies or waits here if this place is armed.
pub(crate) fn reached(place: &str) {
    let Some(Some(armed)) = ARMED.get() else {
        return;
    };
    if armed.place != place || armed.spent.swap(true, Ordering::SeqCst) {
        return;
    }
    let written = std::fs::File::create(&armed.hit).and_then(|mut file| {
        file.write_all(place.as_bytes())?;
        file.sync_all()
    });
    if written.is_err() {
        return;
    }
    if armed.pauses {
        wait(&armed.hit);
        return;
    }
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// Holds this thread, and no other work of its runtime, until the file is gone.
fn wait(hit: &Path) {
    let held = || {
        while hit.exists() {
            std::thread::sleep(LOOK_EVERY);
        }
    };
    let flavor = tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavor {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(held),
        _ => held(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_kills_unless_it_says_that_it_pauses() {
        let armed = Armed::of("during:build", PathBuf::from("hit"));
        assert_eq!((armed.place.as_str(), armed.pauses), ("during:build", false));
        let armed = Armed::of("pause@during:build", PathBuf::from("hit"));
        assert_eq!((armed.place.as_str(), armed.pauses), ("during:build", true));
    }
}
