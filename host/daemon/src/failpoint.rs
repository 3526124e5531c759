//! Places where a test stops the process dead, to see what a restart makes of it.
//!
//! `WINDLASS_FAILPOINT=<place>` (for instance `during:build`) arms one place. When it is reached, the
//! place is written to `<data>/failpoint.hit`, synced, and the process kills itself with SIGKILL: no
//! destructor runs, as in a crash. The file proves to the test that the place was reached; while it
//! exists the place is disarmed, so that a restart with the same environment goes past it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static ARMED: OnceLock<Option<(String, PathBuf)>> = OnceLock::new();

/// Reads the environment, once, at start.
pub(crate) fn arm(data_dir: &Path) {
    let hit = data_dir.join("failpoint.hit");
    let place = std::env::var("WINDLASS_FAILPOINT").ok().filter(|_| !hit.exists());
    if let Some(place) = &place {
        tracing::warn!(place, "a failpoint is armed: this process will kill itself there");
    }
    let _ = ARMED.set(place.map(|place| (place, hit)));
}

/// Dies here if this place is armed.
pub(crate) fn reached(place: &str) {
    let Some(Some((armed, hit))) = ARMED.get() else {
        return;
    };
    if armed != place {
        return;
    }
    let written = std::fs::File::create(hit).and_then(|mut file| {
        file.write_all(place.as_bytes())?;
        file.sync_all()
    });
    if written.is_ok() {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
