//! Room on the disk for the layers of an image.
//!
//! A registry says how large a layer is packed; what it inflates to shows when it is unpacked. So a pull does not begin
//! without room for what it downloads, and the file systems are watched as long as it goes on. **Tolerance**: what can
//! be written between two looks ([`LOOK_EVERY`]).

use std::path::Path;
use std::time::Duration;

use windlass_model::Failure;

use crate::disk::free::{Disks, Floor};
use crate::registry::Reference;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The file systems that a pull writes to, and what is to stay free on each.
pub(super) struct Room {
    disks: Disks,
    floor: Floor,
}

impl Room {
    /// On the file systems of this data directory.
    pub(super) fn new(data_dir: &Path, floor: Floor) -> Self {
        Self { disks: Disks::of(data_dir), floor }
    }

    /// Whether so many bytes more of layers can be written.
    pub(super) fn check(&self, image: &Reference, bytes: u64) -> Result<(), Failure> {
        let floor = self.floor;
        let Some(place) = floor.missed(&self.disks.free_with(bytes)) else { return Ok(()) };
        let free = self.disks.free()[place];
        let wanted = match bytes {
            0 => "its layers are larger unpacked than what was free".to_owned(),
            bytes => format!("it has {} MiB to download", bytes.div_ceil(1 << 20)),
        };
        Err(Failure::host(
            "base.disk-floor",
            format!("There is no room on the disk for the image {image}"),
            format!(
                "{wanted}; the host's disk has {free}, and pulls are stopped below {floor}, so that what runs can go on"
            ),
            "free space: `windlass prune`; or lower `disk_free_bytes_min` or `disk_free_inodes_min` in the limits file",
        ))
    }

    /// Returns when there is no room any more.
    pub(super) async fn is_over(&self, image: &Reference) -> Failure {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(failure) = self.check(image, 0) {
                return failure;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_image_that_does_not_fit_above_the_floor_is_refused_with_the_sizes() {
        let data = tempfile::tempdir().unwrap();
        let image: Reference = "registry.example/team/base:1".parse().unwrap();
        let room = |bytes_min, inodes_min| Room::new(data.path(), Floor { bytes_min, inodes_min });
        room(5 << 20, 0).check(&image, 1 << 60).unwrap();
        std::fs::create_dir_all(data.path().join("containerd/root")).unwrap();
        room(0, 0).check(&image, 1).unwrap();
        let large = room(5 << 20, 0).check(&image, 1 << 60).unwrap_err();
        assert_eq!(large.code, "base.disk-floor");
        assert!(large.why.contains("1099511627776 MiB to download"), "{large:?}");
        assert!(large.why.contains("below 5 MiB"), "{large:?}");
        let few = room(0, u64::MAX - 1).check(&image, 0).unwrap_err();
        assert!(few.why.contains("or 18446744073709551614 inodes"), "{few:?}");
        let over = room(u64::MAX, 0).is_over(&image).await;
        assert!(
            over.why.contains("larger unpacked") && over.what.contains("team/base:1"),
            "{over:?}"
        );
    }
}
