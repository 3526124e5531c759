//! What there is beside directories, regular files and links, and beside their contents: devices, pipes and sockets,
//! and extended attributes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, XattrFlags};
use rustix::io::Errno;

use super::{Entry, Owner, Root, chown, dir_flags, relative};

/// The kernel's limits for a value, and for all names of a file.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// Whether an extended attribute belongs to its file and means the same on every machine. What an overlay writes at
/// its files does not.
pub(crate) fn is_kept_attribute(name: &[u8]) -> bool {
    let is_known = name.starts_with(b"user.")
        || name.starts_with(b"system.posix_acl_")
        || name == b"security.capability";
    is_known && !name.starts_with(b"user.overlay.")
}

/// Names and values of a file's extended attributes, by name. Those that cannot be read are left out.
pub(crate) fn attributes(file: &File) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0_u8; ATTRIBUTE_BYTES_MAX];
    let length = rustix::fs::flistxattr(file, &mut list[..]).unwrap_or_default();
    let names = list.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    let value_of = |name: &[u8]| {
        let mut value = vec![0_u8; ATTRIBUTE_BYTES_MAX];
        let length = rustix::fs::fgetxattr(file, name, &mut value[..]).ok()?;
        value.truncate(length);
        Some((name.to_owned(), value))
    };
    names.filter(|name| !name.is_empty()).filter_map(value_of).collect()
}

impl Root {
    /// Gives a file the extended attributes of another; those that cannot be set are left out.
    pub(crate) fn copy_attributes(&self, from: &File, to: &Path) -> io::Result<()> {
        let all = attributes(from);
        if all.is_empty() {
            return Ok(());
        }
        self.is_more_than_counted();
        let file = self.open_file(to)?;
        for (name, value) in all {
            let flags = XattrFlags::empty();
            let _unsupported = rustix::fs::fsetxattr(&file, &*name, &value, flags);
        }
        Ok(())
    }

    /// Gives what the path itself names an extended attribute. One that its kind of file or its file system does not
    /// have is left out.
    pub(crate) fn set_attribute(&self, path: &Path, name: &[u8], value: &[u8]) -> io::Result<()> {
        self.is_more_than_counted();
        let path = relative(path)?;
        let parent = self.lookup(path.parent().unwrap_or(Path::new("")), dir_flags())?;
        let own = path.file_name().unwrap_or_default();
        // By its name in the directory that is held open: a link or a device cannot be opened for it.
        let at = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(own);
        match rustix::fs::lsetxattr(&at, name, value, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Makes a pipe, or a device with its number, replacing a file or link of that name; parents are made.
    pub(crate) fn write_node(
        &self,
        path: &Path,
        (kind, device): (FileType, u64),
        mode: u32,
        owner: Owner,
    ) -> io::Result<()> {
        self.count()?;
        let (parent, name) = self.place(path, owner)?;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        rustix::fs::mknodat(&parent, &name, kind, mode, device)?;
        chown(&parent, Path::new(&name), owner)?;
        // Again, because the kernel takes the umask off, and what a change of the owner clears.
        Ok(rustix::fs::chmodat(&parent, &name, mode, AtFlags::empty())?)
    }

    /// Makes a device, pipe or socket like one of another root, with its time, replacing a file or link of that name;
    /// parents are made. A character device 0/0 only marks that a file was removed: nothing is made for it.
    pub(crate) fn copy_node(
        &self,
        from: &Self,
        entry: &Entry,
        to: &Path,
        mode: u32,
        owner: Owner,
    ) -> io::Result<()> {
        let own = relative(&entry.path)?;
        let dir = from.lookup(own.parent().unwrap_or(Path::new("")), dir_flags())?;
        let name = own.file_name().unwrap_or_default();
        let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::CharacterDevice if stat.st_rdev == 0 => return Ok(()),
            FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Fifo
            | FileType::Socket => {}
            _ => return Err(io::Error::other("it became another kind of file meanwhile")),
        }
        self.write_node(to, (kind, stat.st_rdev), mode, owner)?;
        self.set_mtime(to, entry.mtime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_mean_the_same_everywhere_are_kept() {
        for (name, is_kept) in [
            ("user.note", true),
            ("system.posix_acl_access", true),
            ("system.posix_acl_default", true),
            ("security.capability", true),
            ("security.selinux", false),
            ("trusted.overlay.opaque", false),
            ("user.overlay.opaque", false),
            ("system.nfs4_acl", false),
        ] {
            assert_eq!(is_kept_attribute(name.as_bytes()), is_kept, "{name}");
        }
    }
}
