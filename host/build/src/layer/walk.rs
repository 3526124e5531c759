//! What one snapshot changed, read from its directory of the overlay, as a layer.
//!
//! Whiteouts (character devices 0/0) become `.wh.` files and opaque directories get `.wh..wh..opq`; the
//! overlay's own attributes are left out, and what cannot be said in a layer is refused: renamed
//! directories and files without their data, which only certain kernel options make.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::EPOCH;
use super::tarball::{self, Entry, Type};
use crate::rooted::{is_kept_attribute, names};

/// Directories below each other; a path of the kernel's longest length has at most this many.
const DEPTH_MAX: usize = 512;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const XATTR_BYTES_MAX: usize = 64 * 1024;
/// An access list of an entry itself, and the one that a directory hands down to all that is made in it.
const LIST: &[u8] = b"system.posix_acl_access";
const DEFAULT_LIST: &[u8] = b"system.posix_acl_default";
/// A list without entries, which takes away the one that is there: the version alone, as in the kernel's
/// `posix_acl_xattr.h`.
const NO_LIST: &[u8] = &[2, 0, 0, 0];

/// Why a directory cannot become a layer.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    /// It has something that a layer cannot hold.
    #[error("{} cannot be put into a layer: {why}", path.display())]
    Unsupported { path: PathBuf, why: &'static str },
    /// It cannot be read, or the layer not written.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Writes the tar of a directory.
pub(super) fn write(dir: &Path, to: &mut dyn Write) -> Result<(), WalkError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| WalkError::Io { path, source }
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(dir, flags, Mode::empty()).map_err(|e| io(dir)(e.into()))?;
    let mut walk = Walk { to, linked: HashMap::new() };
    walk.dir(&fd, b"", Place::default())?;
    walk.to.write_all(&tarball::END).map_err(io(Path::new("the layer's end")))
}

/// Whether a snapshot changed nothing (but perhaps its root's own attributes, which no layer holds).
pub(super) fn is_empty(dir: &Path) -> io::Result<bool> {
    Ok(std::fs::read_dir(dir)?.next().is_none())
}

struct Walk<'a> {
    to: &'a mut dyn Write,
    /// The first name of each file with several.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

/// The directory that is being read.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Whether what is made in it is given an access list.
    hands_down: bool,
    /// Directories above it.
    depth: usize,
}

/// An entry of the directory that is being read.
struct Found<'a> {
    fd: &'a OwnedFd,
    name: &'a OsStr,
    path: Vec<u8>,
    stat: Stat,
}

impl Walk<'_> {
    fn dir(&mut self, fd: &OwnedFd, prefix: &[u8], place: Place) -> Result<(), WalkError> {
        let here = |source: io::Error| failed(prefix, source);
        if place.depth > DEPTH_MAX {
            return Err(unsupported(prefix, "its directories are nested too deeply"));
        }
        for name in names(fd).map_err(here)? {
            let stat = rustix::fs::statat(fd, &name, AtFlags::SYMLINK_NOFOLLOW);
            let stat = stat.map_err(|e| here(e.into()))?;
            let path = join(prefix, name.as_bytes());
            self.entry(&Found { fd, name: &name, path, stat }, place)?;
        }
        Ok(())
    }

    fn entry(&mut self, found: &Found<'_>, place: Place) -> Result<(), WalkError> {
        let kind = FileType::from_raw_mode(found.stat.st_mode);
        if kind == FileType::CharacterDevice && found.stat.st_rdev == 0 {
            return self.marker(&whiteout_of(&found.path));
        }
        // A socket belongs to the process that made it.
        if kind == FileType::Socket {
            return Ok(());
        }
        if found.name.as_bytes().starts_with(WHITEOUT) {
            return Err(unsupported(&found.path, "names that begin with .wh. mean deleted files"));
        }
        let mut attributes = attributes(found)?;
        if place.hands_down {
            attributes.without_lists_from_above(kind);
        }
        if kind == FileType::Directory {
            return self.directory(found, &attributes, place);
        }
        if found.stat.st_nlink > 1 {
            let id = (found.stat.st_dev, found.stat.st_ino);
            if let Some(first) = self.linked.get(&id).cloned() {
                // Who unpacks a link sets its owner again, which takes a file's capabilities away: they are
                // said once more.
                return self.head(found, Type::HardLink, &first, 0, &attributes.kept);
            }
            self.linked.insert(id, found.path.clone());
        }
        let xattrs = attributes.kept.as_slice();
        match kind {
            FileType::RegularFile => self.file(found, xattrs),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(found.fd, found.name, Vec::new());
                let target = target.map_err(|e| failed(&found.path, e.into()))?;
                self.head(found, Type::Symlink, target.as_bytes(), 0, xattrs)
            }
            FileType::Fifo => self.head(found, Type::Fifo, b"", 0, xattrs),
            FileType::CharacterDevice => self.head(found, Type::Char, b"", 0, xattrs),
            FileType::BlockDevice => self.head(found, Type::Block, b"", 0, xattrs),
            _ => Ok(()),
        }
    }

    fn directory(
        &mut self,
        found: &Found<'_>,
        attributes: &Attributes,
        place: Place,
    ) -> Result<(), WalkError> {
        let path = [found.path.as_slice(), b"/"].concat();
        self.head_at(found, &path, Type::Dir, b"", 0, &attributes.kept)?;
        if attributes.opaque {
            self.marker(&join(&found.path, OPAQUE))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below = rustix::fs::openat(found.fd, found.name, flags, Mode::empty());
        let below = below.map_err(|e| failed(&found.path, e.into()))?;
        let place = Place { hands_down: attributes.has(DEFAULT_LIST), depth: place.depth + 1 };
        self.dir(&below, &found.path, place)
    }

    fn file(&mut self, found: &Found<'_>, xattrs: &Xattrs) -> Result<(), WalkError> {
        let size = u64::try_from(found.stat.st_size).unwrap_or(0);
        self.head(found, Type::File, b"", size, xattrs)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(found.fd, found.name, flags, Mode::empty());
        let mut file = File::from(opened.map_err(|e| failed(&found.path, e.into()))?);
        tarball::content(&mut file, size, self.to).map_err(|e| failed(&found.path, e))
    }

    fn head(
        &mut self,
        found: &Found<'_>,
        kind: Type,
        link: &[u8],
        size: u64,
        xattrs: &Xattrs,
    ) -> Result<(), WalkError> {
        self.head_at(found, &found.path, kind, link, size, xattrs)
    }

    fn head_at(
        &mut self,
        found: &Found<'_>,
        path: &[u8],
        kind: Type,
        link: &[u8],
        size: u64,
        xattrs: &Xattrs,
    ) -> Result<(), WalkError> {
        let stat = &found.stat;
        let device = match kind {
            Type::Char | Type::Block => {
                (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev))
            }
            _ => (0, 0),
        };
        let entry = Entry {
            path,
            kind,
            link,
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size,
            mtime: stat.st_mtime.min(EPOCH),
            device,
            xattrs,
        };
        self.to.write_all(&entry.header()).map_err(|e| failed(&found.path, e))
    }

    /// An empty file that says what is deleted.
    fn marker(&mut self, path: &[u8]) -> Result<(), WalkError> {
        let header = Entry { mode: 0, ..Entry::file(path, 0) }.header();
        self.to.write_all(&header).map_err(|e| failed(path, e))
    }
}

type Xattrs = [(Vec<u8>, Vec<u8>)];

/// Extended attributes: those that a layer keeps, and what the overlay's own say.
#[derive(Default)]
struct Attributes {
    kept: Vec<(Vec<u8>, Vec<u8>)>,
    opaque: bool,
}

impl Attributes {
    fn has(&self, name: &[u8]) -> bool {
        self.kept.iter().any(|(known, _)| known == name)
    }

    /// Of an entry in a directory that hands down an access list, but that has none from it, because it was there
    /// before or was moved in: whoever unpacks it is told to take the list away again.
    fn without_lists_from_above(&mut self, kind: FileType) {
        let lists = match kind {
            FileType::Symlink => return,
            FileType::Directory => [LIST, DEFAULT_LIST].as_slice(),
            _ => &[LIST],
        };
        for name in lists {
            if !self.has(name) {
                self.kept.push((name.to_vec(), NO_LIST.to_vec()));
            }
        }
        self.kept.sort();
    }
}

fn attributes(found: &Found<'_>) -> Result<Attributes, WalkError> {
    let io = |e: rustix::io::Errno| failed(&found.path, e.into());
    // A path through the directory's descriptor is short however deep the directory is.
    let dir = format!("/proc/self/fd/{}", found.fd.as_raw_fd());
    let at = Path::new(&dir).join(found.name);
    let mut all = Attributes::default();
    let mut names = vec![0_u8; 4096];
    let length = loop {
        match rustix::fs::llistxattr(&at, &mut names) {
            Ok(length) => break length,
            Err(rustix::io::Errno::RANGE) if names.len() < XATTR_BYTES_MAX => {
                names.resize(names.len() * 4, 0);
            }
            Err(rustix::io::Errno::OPNOTSUPP) => return Ok(all),
            Err(e) => return Err(io(e)),
        }
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let overlay =
            name.strip_prefix(b"trusted.overlay.").or(name.strip_prefix(b"user.overlay."));
        let kept = is_kept_attribute(name);
        if !kept && overlay.is_none() {
            continue;
        }
        let mut value = vec![0_u8; XATTR_BYTES_MAX];
        let length = rustix::fs::lgetxattr(&at, OsStr::from_bytes(name), &mut value).map_err(io)?;
        value.truncate(length);
        if kept {
            if name.contains(&b'=') {
                return Err(unsupported(&found.path, "an extended attribute has a = in its name"));
            }
            all.kept.push((name.to_vec(), value));
        } else if let Some(name) = overlay {
            all.opaque |= says_opaque(found, name, &value)?;
        }
    }
    all.kept.sort();
    Ok(all)
}

fn says_opaque(found: &Found<'_>, name: &[u8], value: &[u8]) -> Result<bool, WalkError> {
    match name {
        b"opaque" => Ok(value == b"y"),
        b"redirect" => Err(unsupported(
            &found.path,
            "it was renamed, and the kernel's overlay option redirect_dir kept its content elsewhere",
        )),
        b"metacopy" => Err(unsupported(
            &found.path,
            "the kernel's overlay option metacopy kept its content elsewhere",
        )),
        b"whiteout" => {
            Err(unsupported(&found.path, "it is a whiteout of an overlay within an overlay"))
        }
        _ => Ok(false),
    }
}

fn join(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

fn whiteout_of(path: &[u8]) -> Vec<u8> {
    let at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    [&path[..at], WHITEOUT, &path[at..]].concat()
}

fn as_path(path: &[u8]) -> PathBuf {
    Path::new("/").join(OsStr::from_bytes(path))
}

fn failed(path: &[u8], source: io::Error) -> WalkError {
    WalkError::Io { path: as_path(path), source }
}

fn unsupported(path: &[u8], why: &'static str) -> WalkError {
    WalkError::Unsupported { path: as_path(path), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(dir: &Path) -> Result<Vec<u8>, WalkError> {
        let mut bytes = Vec::new();
        write(dir, &mut bytes).map(|()| bytes)
    }

    #[test]
    fn the_order_of_making_and_the_time_do_not_show() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (dir, names) in [(&a, ["x", "d/y", "d/z"]), (&b, ["d/z", "d/y", "x"])] {
            std::fs::create_dir(dir.path().join("d")).unwrap();
            for name in names {
                std::fs::write(dir.path().join(name), name).unwrap();
            }
        }
        let file = File::options().write(true).open(b.path().join("x")).unwrap();
        file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(99))
            .unwrap();
        assert_eq!(layer(a.path()).unwrap(), layer(b.path()).unwrap());
        std::fs::write(b.path().join("x"), "y").unwrap();
        assert_ne!(layer(a.path()).unwrap(), layer(b.path()).unwrap());
    }

    #[test]
    fn a_name_that_would_mean_a_deletion_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".wh.x"), "").unwrap();
        let error = layer(dir.path()).unwrap_err();
        assert!(matches!(error, WalkError::Unsupported { .. }), "{error}");
    }

    #[test]
    fn what_the_kernel_keeps_elsewhere_is_refused() {
        for name in ["trusted.overlay.redirect", "trusted.overlay.metacopy"] {
            let dir = tempfile::tempdir().unwrap();
            let below = dir.path().join("d");
            std::fs::create_dir(&below).unwrap();
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::lsetxattr(&below, name, b"/elsewhere", flags).unwrap();
            let error = layer(dir.path()).unwrap_err();
            assert!(matches!(error, WalkError::Unsupported { .. }), "{name}: {error}");
        }
    }
}
