//! What is free, in bytes and inodes, and the floors below which no deployment starts.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use windlass_model::disk::DiskPlace;
use windlass_model::{Failure, Limits};

use crate::host::Host;

/// The file systems that a host writes to: that of the data directory, and that of containerd's root if
/// it is another one.
///
/// # Errors
/// `preflight.disk-unknown`.
pub(crate) fn places(data_dir: &Path, limits: &Limits) -> Result<Vec<DiskPlace>, Failure> {
    let mut places = vec![of(data_dir, limits)?];
    let containerd = containerd_root(data_dir);
    let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    if containerd.is_dir() && device(&containerd) != device(data_dir) {
        places.push(of(&containerd, limits)?);
    }
    Ok(places)
}

/// Where builds are written to: the last of [`places`].
pub(super) fn of_builds(host: &Host) -> Option<DiskPlace> {
    places(&host.config.data_dir, &host.config.limits).ok()?.pop()
}

/// How many bytes are missing where builds are written to, for so many to be free.
pub(super) fn missing(host: &Host, wanted_bytes: u64) -> u64 {
    of_builds(host).map_or(0, |place| wanted_bytes.saturating_sub(place.free_bytes))
}

/// The first floor that is not reached.
pub(crate) fn below_floor(places: &[DiskPlace]) -> Option<Failure> {
    places.iter().find_map(|place| bytes_floor(place).or_else(|| inodes_floor(place)))
}

/// Where containerd keeps snapshots and blobs, when it is the host's own.
pub(super) fn containerd_root(data_dir: &Path) -> PathBuf {
    data_dir.join("containerd/root")
}

fn of(path: &Path, limits: &Limits) -> Result<DiskPlace, Failure> {
    let stat = rustix::fs::statvfs(path).map_err(|e| {
        Failure::host(
            "preflight.disk-unknown",
            "the free disk space could not be read",
            e.to_string(),
            "check that the data directory is there and readable",
        )
    })?;
    Ok(DiskPlace {
        path: path.to_owned(),
        bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes: stat.f_files,
        free_inodes: stat.f_favail,
        free_bytes_min: limits.disk_free_bytes_min,
        free_inodes_min: limits.disk_free_inodes_min,
    })
}

fn bytes_floor(place: &DiskPlace) -> Option<Failure> {
    let (free, floor) = (place.free_bytes, place.free_bytes_min);
    (free < floor).then(|| {
        Failure::host(
            "preflight.disk-floor",
            format!(
                "only {} MiB of {} MiB are free under {}",
                free >> 20,
                place.bytes >> 20,
                place.path.display()
            ),
            format!("no deployment starts below {} MiB, so that what runs is safe", floor >> 20),
            "see `windlass disk` for who uses it and `windlass prune` for what can go, or lower \
             `disk_free_bytes_min` in the limits file",
        )
    })
}

/// A file system without a fixed number of inodes says that it has none.
fn inodes_floor(place: &DiskPlace) -> Option<Failure> {
    let (free, floor) = (place.free_inodes, place.free_inodes_min);
    (place.inodes > 0 && free < floor).then(|| {
        Failure::host(
            "preflight.inode-floor",
            format!(
                "only {free} of {} inodes are free under {}",
                place.inodes,
                place.path.display()
            ),
            format!("no deployment starts below {floor}: each file takes one"),
            "remove small files: see `windlass disk` for who has them and `windlass prune` for what \
             can go, or lower `disk_free_inodes_min` in the limits file",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_that_is_not_reached_is_named_with_the_sizes_and_the_limit_to_change() {
        let mut limits = Limits { disk_free_bytes_min: u64::MAX, ..Limits::default() };
        let check = |limits: &Limits| below_floor(&places(Path::new("/"), limits).unwrap());
        let failure = check(&limits).unwrap();
        assert_eq!(failure.code, "preflight.disk-floor");
        let total = places(Path::new("/"), &limits).unwrap()[0].bytes >> 20;
        assert!(failure.what.contains(&format!("of {total} MiB")), "{failure:?}");
        assert!(failure.fix.contains("disk_free_bytes_min"));
        (limits.disk_free_bytes_min, limits.disk_free_inodes_min) = (1, 0);
        assert_eq!(check(&limits), None);

        let mut place = places(Path::new("/"), &limits).unwrap().remove(0);
        (place.inodes, place.free_inodes, place.free_inodes_min) = (1000, 99, 100);
        let failure = below_floor(std::slice::from_ref(&place)).unwrap();
        assert_eq!(failure.code, "preflight.inode-floor");
        assert!(failure.what.contains("99 of 1000") && failure.why.contains("100"), "{failure:?}");
        place.inodes = 0;
        assert_eq!(below_floor(&[place]), None, "it has no fixed number of them");
    }
}
