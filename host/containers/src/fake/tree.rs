//! Copies of directory trees.

use std::path::Path;

use crate::error::{Result, RuntimeError};

/// Copies a tree with its symbolic links and modes.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in entries(from)? {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(RuntimeError::io("look at", &source))?;
        if kind.is_dir() {
            std::fs::create_dir_all(&target).map_err(RuntimeError::io("create", &target))?;
            copy(&source, &target)?;
        } else if kind.is_symlink() {
            let link = std::fs::read_link(&source).map_err(RuntimeError::io("read", &source))?;
            std::os::unix::fs::symlink(link, &target).map_err(RuntimeError::io("link", &target))?;
        } else {
            std::fs::copy(&source, &target).map_err(RuntimeError::io("copy", &source))?;
        }
    }
    Ok(())
}

/// Bytes of all files below a directory.
pub(super) fn bytes(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in entries(dir)? {
        let meta = entry.metadata().map_err(RuntimeError::io("look at", entry.path()))?;
        sum += if meta.is_dir() { bytes(&entry.path())? } else { meta.len() };
    }
    Ok(sum)
}

fn entries(dir: &Path) -> Result<Vec<std::fs::DirEntry>> {
    let read = std::fs::read_dir(dir).map_err(RuntimeError::io("read", dir))?;
    read.collect::<std::io::Result<_>>().map_err(RuntimeError::io("read", dir))
}
