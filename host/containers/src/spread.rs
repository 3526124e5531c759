//! Folders whose children lie apart from each other on the disk.
//!
//! ext4 puts a folder beside its parent, with all that is in it, and gives the inode of a deleted file away again
//! only minutes later. Who makes a file looks past all of those, one by one: where very many files were deleted
//! shortly before, as with a snapshot or a workspace, making as many takes ten times as long. Where children are
//! spread, each one begins in a part of the disk of its own.

use std::io;
use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags};

/// Spreads the folders that are made in this one from now on. What lies in them stays together. Where the file
/// system has no such thing, nothing happens.
///
/// # Errors
/// When the folder cannot be opened, or its attributes cannot be changed.
pub fn spread_children(folder: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    let set = || {
        let known = rustix::fs::ioctl_getflags(&folder)?;
        if known.contains(IFlags::TOPDIR) {
            return Ok(());
        }
        rustix::fs::ioctl_setflags(&folder, known | IFlags::TOPDIR)
    };
    match set() {
        Err(rustix::io::Errno::NOTTY | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL) => {
            Ok(())
        }
        done => Ok(done?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_set_once_and_not_handed_down_and_a_file_system_without_it_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let flags = |path: &Path| {
            rustix::fs::ioctl_getflags(std::fs::File::open(path).unwrap())
                .map(|flags| flags.contains(IFlags::TOPDIR))
        };
        spread_children(dir.path()).unwrap();
        spread_children(dir.path()).unwrap();
        let child = dir.path().join("child");
        std::fs::create_dir(&child).unwrap();
        assert!(!flags(&child).unwrap_or_default());
        spread_children(Path::new("/proc/self")).unwrap();
        assert!(spread_children(&dir.path().join("nothing")).is_err());
    }
}
