//! Bytes on disk below a folder.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What lies somewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Bytes on disk: blocks, so a sparse file counts what it takes.
    pub(super) bytes: u64,
    /// Files.
    pub(super) files: u64,
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.files += other.files;
    }
}

/// A file, or a folder with everything below it; nothing when it is not there. Links are not followed, a
/// file with several names counts once, and other file systems count as well. Blocks.
pub(super) fn size(path: &Path) -> Size {
    let mut size = Size::default();
    let mut seen = HashSet::new();
    let mut next = vec![path.to_owned()];
    while let Some(path) = next.pop() {
        // What vanishes meanwhile takes nothing.
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.nlink() > 1 && !meta.is_dir() && !seen.insert((meta.dev(), meta.ino())) {
            continue;
        }
        size += Size { bytes: meta.blocks() * 512, files: u64::from(!meta.is_dir()) };
        if meta.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            next.extend(entries.map(|entry| entry.path()));
        }
    }
    size
}

/// The names in a folder.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_once_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(size(&dir.path().join("absent")), Size::default());
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("a"), vec![1; 64 * 1024]).unwrap();
        let one = size(dir.path());
        assert!(one.bytes >= 64 * 1024 && one.files == 1, "{one:?}");
        std::fs::hard_link(inner.join("a"), inner.join("b")).unwrap();
        assert_eq!(size(dir.path()), one);
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).unwrap();
        assert_eq!(size(dir.path()).files, 2);
        let sparse = std::fs::File::create(dir.path().join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        assert!(size(dir.path()).bytes < 1 << 20);
    }
}
