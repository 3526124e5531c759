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

/// How many bytes have to be freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Where builds are written to.
    pub(super) of_builds: u64,
    /// Where the data directory lies, and in it the checkouts that are kept.
    pub(super) of_data: u64,
    /// Whether that is the same file system.
    is_one_disk: bool,
}

impl Missing {
    /// For so many to be free in each of [`places`].
    pub(super) fn of(places: &[DiskPlace], wanted_bytes: u64) -> Self {
        let missing = |place: &DiskPlace| wanted_bytes.saturating_sub(place.free_bytes);
        Self {
            of_builds: places.last().map_or(0, missing),
            of_data: places.first().map_or(0, missing),
            is_one_disk: places.len() < 2,
        }
    }

    /// All that there are, where a floor of inodes is not reached: nothing tells how many those have.
    pub(super) fn with_inodes(mut self, places: &[DiskPlace]) -> Self {
        if places.iter().any(lacks_inodes) {
            self.of_builds = u64::MAX;
        }
        if places.first().is_some_and(lacks_inodes) {
            self.of_data = u64::MAX;
        }
        self
    }

    /// What is missing to builds once so many bytes of the data directory are freed.
    pub(super) fn once_freed(self, bytes: u64) -> u64 {
        self.of_builds.saturating_sub(if self.is_one_disk { bytes } else { 0 })
    }
}

/// What is missing for so many bytes to be free.
pub(super) fn missing(host: &Host, wanted_bytes: u64) -> Missing {
    let places = places(&host.config.data_dir, &host.config.limits).unwrap_or_default();
    Missing::of(&places, wanted_bytes)
}

/// The first floor that is not reached.
pub(crate) fn below_floor(places: &[DiskPlace]) -> Option<Failure> {
    places.iter().find_map(|place| missed(place, "no deployment starts"))
}

/// The first floor of which not half is reached: what comes in is stopped there, as builds and pulls are.
pub(crate) fn below_half(places: &[DiskPlace]) -> Option<Failure> {
    places.iter().find_map(|place| {
        let half = DiskPlace {
            free_bytes_min: place.free_bytes_min / 2,
            free_inodes_min: place.free_inodes_min / 2,
            ..place.clone()
        };
        missed(&half, "what comes in is stopped")
    })
}

/// The floor of a file system that is not reached, with what is done below it.
fn missed(place: &DiskPlace, rule: &str) -> Option<Failure> {
    bytes_floor(place, rule).or_else(|| inodes_floor(place, rule))
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

fn bytes_floor(place: &DiskPlace, rule: &str) -> Option<Failure> {
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
            format!("{rule} below {} MiB, so that what runs is safe", floor >> 20),
            "see `windlass disk` for who uses it and `windlass prune` for what can go, or lower \
             `disk_free_bytes_min` in the limits file",
        )
    })
}

/// A file system without a fixed number of inodes says that it has none.
const fn lacks_inodes(place: &DiskPlace) -> bool {
    place.inodes > 0 && place.free_inodes < place.free_inodes_min
}

fn inodes_floor(place: &DiskPlace, rule: &str) -> Option<Failure> {
    let (free, floor) = (place.free_inodes, place.free_inodes_min);
    lacks_inodes(place).then(|| {
        Failure::host(
            "preflight.inode-floor",
            format!(
                "only {free} of {} inodes are free under {}",
                place.inodes,
                place.path.display()
            ),
            format!("{rule} below {floor}: each file takes one"),
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

    #[test]
    fn what_comes_in_may_take_half_of_what_a_deployment_needs_to_begin() {
        let place = |free_bytes: u64, free_inodes: u64| DiskPlace {
            path: "/".into(),
            bytes: 1000 << 20,
            free_bytes: free_bytes << 20,
            inodes: 1000,
            free_inodes,
            free_bytes_min: 100 << 20,
            free_inodes_min: 100,
        };
        let code = |place: DiskPlace| below_half(&[place]).map(|failure| failure.code);
        assert_eq!(code(place(50, 50)), None);
        assert_eq!(code(place(49, 50)).as_deref(), Some("preflight.disk-floor"));
        assert_eq!(code(place(50, 49)).as_deref(), Some("preflight.inode-floor"));
        let said = below_half(&[place(500, 500), place(3, 500)]).unwrap();
        assert!(said.why.contains("stopped below 50 MiB"), "{said:?}");
        assert!(said.what.contains("only 3 MiB of 1000 MiB"), "{said:?}");
    }

    #[test]
    fn what_the_data_directory_frees_counts_for_builds_on_the_same_disk_alone() {
        let place = |free_bytes: u64, free_inodes: u64| DiskPlace {
            path: "/".into(),
            bytes: 1000,
            free_bytes,
            inodes: 1000,
            free_inodes,
            free_bytes_min: 0,
            free_inodes_min: 100,
        };
        let of = |places: &[DiskPlace]| {
            let missing = Missing::of(places, 500).with_inodes(places);
            (missing.of_data, missing.of_builds, missing.once_freed(150))
        };
        assert_eq!(of(&[place(300, 100)]), (200, 200, 50));
        assert_eq!(of(&[place(600, 100), place(300, 100)]), (0, 200, 200));
        assert_eq!(of(&[place(300, 100), place(600, 100)]), (200, 0, 0));
        let all = u64::MAX;
        assert_eq!(of(&[place(600, 99)]), (all, all, all - 150));
        assert_eq!(of(&[place(600, 99), place(600, 100)]), (all, all, all));
        assert_eq!(of(&[place(600, 100), place(600, 99)]), (0, all, all));
        assert_eq!(of(&[]), (0, 0, 0));
    }
}
