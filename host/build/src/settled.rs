//! Which snapshots are known to be on the disk.
//!
//! containerd writes what it knows of a snapshot through to the disk, but the snapshot's files stay in memory
//! for a while. When the machine loses its power in that time, the snapshot is there and files in it are cut
//! off. To sync before each commit would make every build wait for the disk, so a snapshot is committed with
//! the id of the machine's boot in a label, and the label goes when a sync that began later is done. For the same
//! reason what is built is mounted so that the kernel does not sync at the end of each mount either.
//!
//! **Invariant: a snapshot that bears the id of another boot is nothing to build on.** It is looked past and
//! made again under another name: it may be part of an artifact, and a name that is committed never changes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Mutex;
use windlass_containers::runtime::Snapshot;
use windlass_containers::{Labels, Runtime, RuntimeError};

use crate::ops::caches::synced;

/// On a snapshot whose files may be in memory alone: the boot in which it was committed.
const LABEL_UNSYNCED: &str = "windlass.unsynced";
/// After a build, before the sync: what was built is started meanwhile, and that is what somebody waits for.
const SYNC_AFTER: Duration = Duration::from_secs(5);

pub(crate) static BOOT: LazyLock<String> = LazyLock::new(windlass_containers::boot_id);

/// The label of a snapshot that is about to be committed.
pub(crate) fn unsynced() -> (String, String) {
    (LABEL_UNSYNCED.to_owned(), BOOT.clone())
}

/// Whether the machine stopped before the snapshot was known to be on the disk.
pub(crate) fn is_suspect(snapshot: &Snapshot) -> bool {
    let boot = snapshot.labels.get(LABEL_UNSYNCED);
    boot.is_some_and(|boot| !boot.is_empty() && *boot != *BOOT)
}

/// A name beside this one, which no earlier boot has used.
pub(crate) fn beside(name: &str) -> String {
    format!("{name}-{}", BOOT.split('-').next().unwrap_or_default())
}

/// The name under which to look for a snapshot, and to commit it: its own unless what has that is suspect;
/// and whether it is there.
pub(crate) async fn place(
    runtime: &dyn Runtime,
    name: String,
) -> Result<(String, bool), RuntimeError> {
    match runtime.snapshot(&name).await? {
        Some(found) if is_suspect(&found) => {
            let name = beside(&name);
            let found = runtime.snapshot(&name).await?;
            Ok((name, found.is_some_and(|found| found.committed)))
        }
        found => Ok((name, found.is_some_and(|found| found.committed))),
    }
}

/// Syncs what builds have committed, some time after they did, and has collected what they have let go.
#[derive(Clone, Default)]
pub(crate) struct Settling {
    asked: Arc<AtomicBool>,
    one_at_a_time: Arc<Mutex<()>>,
}

impl Settling {
    /// Syncs what is committed by now and collects what nothing keeps by now, in the background.
    pub(crate) fn later(&self, runtime: &Arc<dyn Runtime>, data_dir: &Path) {
        if self.asked.swap(true, Ordering::SeqCst) {
            return;
        }
        let (runtime, this, data_dir) = (Arc::clone(runtime), self.clone(), data_dir.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(SYNC_AFTER).await;
            let _one = this.one_at_a_time.lock().await;
            // What is committed from here on may be missed, and asks anew.
            this.asked.store(false, Ordering::SeqCst);
            if let Err(why) = settle(&*runtime, &data_dir).await {
                tracing::warn!(
                    why,
                    "what was built could not be synced; the next build tries again"
                );
            }
            if let Err(error) = runtime.collect().await {
                tracing::warn!(%error, "what builds let go could not be collected; the next build tries again");
            }
        });
    }
}

/// Syncs, and takes the label off what had it before.
async fn settle(runtime: &dyn Runtime, data_dir: &Path) -> Result<(), String> {
    // Apart, for they may lie on another file system.
    let caches = settle_caches(data_dir).await.map_err(|error| error.to_string());
    settle_snapshots(runtime).await.and(caches)
}

/// The same for what was taken over into caches.
async fn settle_caches(data_dir: &Path) -> std::io::Result<()> {
    let dir = data_dir.to_owned();
    let found = tokio::task::spawn_blocking(move || synced::unsynced(&dir)).await?;
    if found.is_empty() {
        return Ok(());
    }
    sync(data_dir.to_owned()).await?;
    tokio::task::spawn_blocking(move || synced::settled(&found)).await.map_err(Into::into)
}

async fn settle_snapshots(runtime: &dyn Runtime) -> Result<(), String> {
    let said = |error: RuntimeError| error.to_string();
    let labels = Labels::from([unsynced()]);
    let mut found = runtime.list_snapshots(&labels).await.map_err(said)?;
    found.retain(|snapshot| snapshot.committed);
    let Some(dir) = a_folder(runtime, &found).await else { return Ok(()) };
    sync(dir).await.map_err(|error| error.to_string())?;
    let synced = Labels::from([(LABEL_UNSYNCED.to_owned(), String::new())]);
    for snapshot in &found {
        // It may have been pruned meanwhile.
        if let Err(error) = runtime.label_snapshot(&snapshot.key, &synced).await {
            tracing::debug!(snapshot = snapshot.key, %error, "it stays unsynced");
        }
    }
    Ok(())
}

/// Some folder of the file system that they all lie on.
async fn a_folder(runtime: &dyn Runtime, of: &[Snapshot]) -> Option<PathBuf> {
    for snapshot in of {
        if let Ok(mut dirs) = runtime.snapshot_dirs(&snapshot.key).await
            && let Some(dir) = dirs.pop()
        {
            return Some(dir);
        }
    }
    None
}

/// Syncs a file system. A process waits for the disk in no way that a signal ends, so another one does it: this
/// one would not end before, with all its locks.
async fn sync(dir: PathBuf) -> std::io::Result<()> {
    // The folder is no word of the command, for who looks for processes by it.
    let mut command = Command::new("sync");
    command.args(["-f", "."]).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.stderr(Stdio::piped()).output().await?;
    match output.status.success() {
        true => Ok(()),
        false => Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use windlass_containers::fake::FakeRuntime;

    use super::*;

    async fn committed(runtime: &FakeRuntime, name: &str, labels: Labels) {
        runtime.prepare_snapshot("draft", None, &Labels::new()).await.unwrap();
        runtime.commit_snapshot("draft", name, &labels).await.unwrap();
    }

    #[tokio::test]
    async fn a_sync_takes_the_label_off_what_was_committed_in_this_boot_and_off_nothing_else() {
        let runtime = FakeRuntime::new().unwrap();
        let of_another = Labels::from([(LABEL_UNSYNCED.to_owned(), "another boot".to_owned())]);
        committed(&runtime, "new", Labels::from([unsynced()])).await;
        committed(&runtime, "old", of_another).await;
        let look = async |name: &str| runtime.snapshot(name).await.unwrap().unwrap();
        assert!(!is_suspect(&look("new").await), "this machine has not stopped since");
        assert!(is_suspect(&look("old").await));

        settle_snapshots(&runtime).await.unwrap();
        assert_eq!(look("new").await.labels.get(LABEL_UNSYNCED), Some(&String::new()));
        assert!(is_suspect(&look("old").await), "nobody knows whether it came to the disk");
        let (name, there) = place(&runtime, "new".to_owned()).await.unwrap();
        assert_eq!((name.as_str(), there), ("new", true));
        let (name, there) = place(&runtime, "old".to_owned()).await.unwrap();
        assert_eq!((name, there), (beside("old"), false));
    }
}
