//! What is free on the file systems that builds write to, and how much of it stays so.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfs;
use windlass_model::Limits;

/// Below so much the disk counts as full.
const EXHAUSTED_BYTES: u64 = 1 << 20;
const EXHAUSTED_INODES: u64 = 16;

/// What is free on a file system. What cannot be looked at stops nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Free {
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
    pub(crate) has_inodes: bool,
}

impl Free {
    pub(crate) const UNKNOWN: Self = Self { bytes: u64::MAX, inodes: u64::MAX, has_inodes: false };

    /// Of the file system of a build that has least.
    pub(crate) fn least(data_dir: &Path) -> Self {
        let free = Disks::of(data_dir).free().into_iter();
        free.min_by_key(|free| (!free.is_exhausted(), free.bytes)).unwrap_or(Self::UNKNOWN)
    }

    /// Of the file system that holds this path.
    fn of(path: &Path) -> Self {
        rustix::fs::statvfs(path).map_or(Self::UNKNOWN, |stat| Self::told(&stat))
    }

    /// Of the file system that an open file lies on.
    pub(crate) fn of_file(file: &File) -> Self {
        rustix::fs::fstatvfs(file).map_or(Self::UNKNOWN, |stat| Self::told(&stat))
    }

    const fn told(stat: &StatVfs) -> Self {
        let bytes = stat.f_bavail * stat.f_frsize;
        // Some file systems make inodes as they need them, and say that there are none.
        Self { bytes, inodes: stat.f_favail, has_inodes: stat.f_files > 0 }
    }

    /// Whether there is none left.
    pub(crate) const fn is_exhausted(self) -> bool {
        self.bytes < EXHAUSTED_BYTES || (self.has_inodes && self.inodes < EXHAUSTED_INODES)
    }
}

impl fmt::Display for Free {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.bytes >> 20)?;
        match self.has_inodes {
            true => write!(f, " and {} inodes free", self.inodes),
            false => f.write_str(" free"),
        }
    }
}

/// The file systems that a build writes to: that of the data directory, and that of containerd's root if
/// it is another one.
#[derive(Debug, Clone)]
pub(crate) struct Disks {
    paths: Vec<PathBuf>,
    /// Whether containerd's root is among them: one that is given keeps it elsewhere.
    has_layers: bool,
}

impl Disks {
    pub(crate) fn of(data_dir: &Path) -> Self {
        let containerd = data_dir.join("containerd/root");
        let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
        let of_its_own = device(&containerd).filter(|own| device(data_dir) != Some(*own));
        let has_layers = device(&containerd).is_some();
        let mut paths = vec![data_dir.to_owned()];
        paths.extend(of_its_own.map(|_| containerd));
        Self { paths, has_layers }
    }

    pub(crate) fn free(&self) -> Vec<Free> {
        self.paths.iter().map(|path| Free::of(path)).collect()
    }

    /// What would be free with so many bytes more of layers.
    pub(crate) fn free_with(&self, layers: u64) -> Vec<Free> {
        let mut free = self.free();
        if let Some(last) = free.last_mut().filter(|last| self.has_layers && last.bytes < u64::MAX)
        {
            last.bytes = last.bytes.saturating_sub(layers);
        }
        free
    }
}

/// By how much less is free now, on all file systems together.
pub(crate) fn grown(before: &[Free], now: &[Free]) -> u64 {
    before.iter().zip(now).map(|(before, now)| before.bytes.saturating_sub(now.bytes)).sum()
}

/// What stays free whatever builds write: half of what a deployment needs to begin, so that what runs keeps
/// the other half.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Floor {
    pub(crate) bytes_min: u64,
    pub(crate) inodes_min: u64,
}

impl Floor {
    pub(crate) const fn of(limits: &Limits) -> Self {
        Self {
            bytes_min: limits.disk_free_bytes_min / 2,
            inodes_min: limits.disk_free_inodes_min / 2,
        }
    }

    /// What a file system has that is below now and had more at the beginning: what was short before is not
    /// the doing of who writes.
    pub(crate) fn crossed(self, began: &[Free], now: &[Free]) -> Option<Free> {
        let mut both = now.iter().zip(began);
        let (free, _) = both.find(|(now, began)| {
            is_below(now.bytes, self.bytes_min, began.bytes)
                || (now.has_inodes && is_below(now.inodes, self.inodes_min, began.inodes))
        })?;
        Some(*free)
    }

    /// Place of a file system that is below now.
    pub(crate) fn missed(self, now: &[Free]) -> Option<usize> {
        now.iter().position(|free| {
            free.bytes < self.bytes_min || (free.has_inodes && free.inodes < self.inodes_min)
        })
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB or {} inodes", self.bytes_min >> 20, self.inodes_min)
    }
}

/// Whether a command must end for want of space: what was short before it began is not its doing.
const fn is_below(free: u64, min: u64, at_begin: u64) -> bool {
    free < min && free < at_begin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_stopped_below_the_floor_only_if_it_went_there() {
        assert!(is_below(9, 10, 11));
        assert!(!is_below(10, 10, 11));
        assert!(!is_below(9, 10, 9), "it was so before");
    }

    #[test]
    fn the_floor_is_of_inodes_too_where_a_file_system_counts_them() {
        let limits =
            Limits { disk_free_bytes_min: 20, disk_free_inodes_min: 200, ..Limits::default() };
        let floor = Floor::of(&limits);
        let free = |bytes, inodes| Free { bytes, inodes, has_inodes: true };
        assert_eq!(floor.missed(&[free(10, 100)]), None);
        assert_eq!(floor.missed(&[free(10, 100), free(10, 99)]), Some(1));
        assert_eq!(floor.missed(&[free(9, 100)]), Some(0));
        assert!(floor.crossed(&[free(10, 100)], &[free(10, 99)]).is_some());
        assert!(floor.crossed(&[free(9, 99)], &[free(9, 99)]).is_none(), "it was so before");
        let uncounted = [Free { has_inodes: false, ..free(10, 0) }];
        assert_eq!(floor.missed(&uncounted), None);
        assert!(floor.crossed(&[free(10, 100)], &uncounted).is_none());
    }

    #[test]
    fn layers_have_to_fit_where_containerd_keeps_them() {
        let data = tempfile::tempdir().unwrap();
        let with = |layers| Disks::of(data.path()).free_with(layers)[0].bytes;
        assert!(with(u64::MAX) > 0, "a containerd that is given keeps them elsewhere");
        std::fs::create_dir_all(data.path().join("containerd/root")).unwrap();
        assert!(with(0) > 0);
        assert_eq!(with(u64::MAX - 1), 0);
    }

    #[test]
    fn what_is_taken_counts_on_every_file_system_and_what_is_freed_on_one_hides_none_on_another() {
        let free = |bytes| Free { bytes, ..Free::UNKNOWN };
        assert_eq!(grown(&[free(10), free(10)], &[free(7), free(30)]), 3);
        assert_eq!(grown(&[free(10), free(10)], &[free(9), free(8)]), 3);
        let data = tempfile::tempdir().unwrap();
        assert_eq!(Disks::of(data.path()).paths, [data.path()]);
        std::fs::create_dir_all(data.path().join("containerd/root")).unwrap();
        assert_eq!(Disks::of(data.path()).paths, [data.path()], "it is the same file system");
        std::fs::remove_dir(data.path().join("containerd/root")).unwrap();
        std::os::unix::fs::symlink("/proc", data.path().join("containerd/root")).unwrap();
        assert_eq!(
            Disks::of(data.path()).paths,
            [data.path().to_owned(), data.path().join("containerd/root")]
        );
    }

    #[test]
    fn a_full_disk_has_no_bytes_or_no_inodes() {
        assert!(Free { bytes: 5 << 20, inodes: 7, has_inodes: true }.is_exhausted());
        assert!(!Free { bytes: 5 << 20, inodes: 7, has_inodes: false }.is_exhausted());
    }
}
