//! Room on the disk for what is made of an artifact: layers in the content store, and archives.
//!
//! How large a layer gets shows when it is made. So nothing is begun below the floor of builds, what has a known size
//! is not begun without room for it, and the file systems are watched as long as something is made. **Tolerance**:
//! what can be written between two looks ([`LOOK_EVERY`]).

use std::fs::File;
use std::time::Duration;

use windlass_model::Failure;

use super::Export;
use crate::disk::free::{Disks, Floor, Free};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The file systems that layers and archives are written to, and what is to stay free on each.
pub(super) struct Room {
    disks: Disks,
    floor: Floor,
}

impl Room {
    pub(super) fn of(export: &Export) -> Self {
        let config = &export.builder.config;
        Self { disks: Disks::of(&config.data_dir), floor: Floor::of(&config.limits) }
    }

    /// Does what writes, if there is room, and for as long as there is.
    pub(super) async fn guard<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.check(0)?;
        tokio::select! {
            biased;
            done = work => done,
            failure = self.is_over() => Err(failure),
        }
    }

    /// Whether so many bytes more of layers can be written.
    pub(super) fn check(&self, bytes: u64) -> Result<(), Failure> {
        let Some(place) = self.floor.missed(&self.disks.free_with(bytes)) else { return Ok(()) };
        let free = self.disks.free().get(place).copied().unwrap_or(Free::UNKNOWN);
        let why = match bytes {
            0 => "its layers are written there".to_owned(),
            bytes => format!("a layer of it has {} MiB to download", bytes.div_ceil(1 << 20)),
        };
        Err(self.refusal(free, &why))
    }

    /// Whether so many bytes more can be written to a file, wherever that lies.
    pub(super) fn fits(&self, file: &File, bytes: u64) -> Result<(), Failure> {
        let free = Free::of_file(file);
        let then = Free { bytes: free.bytes.saturating_sub(bytes), ..free };
        if self.floor.missed(&[then]).is_none() {
            return Ok(());
        }
        let mib = bytes.div_ceil(1 << 20);
        Err(self.refusal(free, &format!("its archive has {mib} MiB")))
    }

    /// Returns when there is no room any more.
    async fn is_over(&self) -> Failure {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(failure) = self.check(0) {
                return failure;
            }
        }
    }

    fn refusal(&self, free: Free, why: &str) -> Failure {
        let floor = self.floor;
        Failure::host(
            "base.disk-floor",
            "There is no room on the disk to make the image",
            format!(
                "{why}; the host's disk has {free}, and nothing is made below {floor}, so that what runs can go on"
            ),
            "free space: `windlass prune`; or lower `disk_free_bytes_min` or `disk_free_inodes_min` in the limits file",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn room(data_dir: &Path, bytes_min: u64) -> Room {
        Room { disks: Disks::of(data_dir), floor: Floor { bytes_min, inodes_min: 0 } }
    }

    #[tokio::test]
    async fn nothing_is_made_without_room_for_it() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(data.path().join("containerd/root")).unwrap();
        let none = room(data.path(), u64::MAX);
        let begun = std::cell::Cell::new(false);
        let work = async {
            begun.set(true);
            Ok(())
        };
        let failure = none.guard(work).await.unwrap_err();
        assert_eq!(failure.code, "base.disk-floor");
        assert!(failure.why.contains("MiB") && !begun.get(), "{failure:?}");

        let some = room(data.path(), 1);
        assert_eq!(some.guard(async { Ok(5) }).await.unwrap(), 5);
        let layer = some.check(1 << 60).unwrap_err();
        assert!(layer.why.contains("1099511627776 MiB to download"), "{layer:?}");
        let file = tempfile::tempfile_in(data.path()).unwrap();
        some.fits(&file, 1).unwrap();
        let archive = some.fits(&file, 1 << 60).unwrap_err();
        assert!(archive.why.contains("1099511627776 MiB"), "{archive:?}");
    }

    #[tokio::test]
    async fn what_is_made_is_stopped_when_the_room_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        symlink(dir.path(), &data).unwrap();
        let room = room(&data, 1);
        let work = async {
            std::fs::remove_file(&data).unwrap();
            // Nothing is free there.
            symlink("/proc", &data).unwrap();
            std::future::pending::<Result<(), Failure>>().await
        };
        let stopped = tokio::time::timeout(Duration::from_secs(20), room.guard(work)).await;
        assert_eq!(stopped.unwrap().unwrap_err().code, "base.disk-floor");
    }
}
