//! Unpacking an archive that belongs to the build itself: with modes, owners, times, attributes and links as they are,
//! and with its pipes and devices.
//!
//! **Invariant: nothing is written outside the root.** Links may point anywhere, for they are only ever followed
//! inside of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;

use super::{ArchiveError, ArchiveLimits, Unpacked, escapes, forbidden, kind_name, plain_tar};
use super::{pax, read_up_to, walk};
use crate::rooted::{Kind, Owner, Root, is_kept_attribute};

/// Unpacks a tar (plain, or packed with gzip, bzip2, xz or zstd) below `dest`; whether it is one is told by its
/// contents, and the answer. `dest` belongs to `dir`; files get `owner`, or keep their own.
pub(crate) fn unpack_whole(
    archive: &mut File,
    root: &Root,
    dest: &Path,
    limits: ArchiveLimits,
    (dir, owner): (Owner, Option<Owner>),
) -> Result<bool, ArchiveError> {
    if !is_tar(archive).map_err(ArchiveError::Io)? {
        return Ok(false);
    }
    root.create_dirs(dest, dir).map_err(ArchiveError::Io)?;
    let mut sink =
        Whole { root, dest, owner, limits, done: Unpacked::default(), times: Vec::new() };
    sink.tar(decoder(archive).map_err(ArchiveError::Io)?)?;
    Ok(true)
}

fn is_tar(archive: &mut File) -> io::Result<bool> {
    let mut head = [0_u8; 512];
    // What cannot be unpacked is no archive, whatever its first bytes promise.
    let Ok(read) = decoder(archive).and_then(|mut reader| read_up_to(&mut reader, &mut head))
    else {
        return Ok(false);
    };
    Ok(read == head.len() && head.iter().any(|byte| *byte != 0) && plain_tar(&head))
}

fn decoder(archive: &mut File) -> io::Result<Box<dyn Read + '_>> {
    archive.seek(SeekFrom::Start(0))?;
    let mut head = [0_u8; 6];
    let read = read_up_to(archive, &mut head)?;
    archive.seek(SeekFrom::Start(0))?;
    Ok(match &head[..read] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(archive)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::read::MultiBzDecoder::new(archive)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(lzma_rust2::XzReader::new(archive, true)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(archive)?),
        _ => Box::new(archive),
    })
}

struct Whole<'a> {
    root: &'a Root,
    dest: &'a Path,
    owner: Option<Owner>,
    limits: ArchiveLimits,
    done: Unpacked,
    times: Vec<(PathBuf, (i64, i64))>,
}

impl Whole<'_> {
    fn tar(&mut self, reader: impl Read) -> Result<(), ArchiveError> {
        walk(reader, |entry, heads| self.entry(entry, heads))?;
        // Last, because what is put into a directory changes its time.
        for (path, mtime) in self.times.iter().rev() {
            self.root.set_mtime(path, *mtime).map_err(ArchiveError::Io)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        heads: &[u8],
    ) -> Result<(), ArchiveError> {
        let name = entry.path().map_err(ArchiveError::Io)?.into_owned();
        let below = below(&name)?;
        let kind = entry.header().entry_type();
        if below.as_os_str().is_empty() || kind.is_pax_global_extensions() {
            return Ok(());
        }
        self.done.entries += 1;
        if self.done.entries > self.limits.entries_max {
            return Err(ArchiveError::TooLarge { limit: self.limits.entries_max, unit: "entries" });
        }
        let path = self.dest.join(below);
        let header = entry.header();
        let own = |id: io::Result<u64>| u32::try_from(id.unwrap_or(0)).unwrap_or(0);
        let owner = self.owner.unwrap_or(Owner { uid: own(header.uid()), gid: own(header.gid()) });
        let mode = header.mode().unwrap_or(0o644) & 0o7777;
        let mtime = (i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0), 0);
        let link = entry.link_name().map_err(ArchiveError::Io)?.map(|l| l.into_owned());
        self.make_way(&path, kind.is_dir()).map_err(ArchiveError::Io)?;
        match kind {
            tar::EntryType::Directory => {
                self.root.write_dir(&path, mode, owner).map_err(ArchiveError::Io)?;
                self.note_attributes(&path, heads)?;
                self.times.push((path, mtime));
                return Ok(());
            }
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                self.file(&path, entry, mode, owner)?;
            }
            tar::EntryType::Symlink => {
                let target = link.unwrap_or_default();
                self.root.write_link(&path, &target, owner).map_err(ArchiveError::Io)?;
            }
            tar::EntryType::Link => {
                let first = self.dest.join(self::below(&link.unwrap_or_default())?);
                self.root.hard_link(&first, &path).map_err(ArchiveError::Io)?;
                return self.note_attributes(&path, heads);
            }
            other => {
                let Some(node) = node_of(&name, entry.header())? else {
                    return Err(forbidden(&name, kind_name(other)));
                };
                self.make_parents(&path)?;
                self.root.write_node(&path, node, mode, owner).map_err(ArchiveError::Io)?;
            }
        }
        self.note_attributes(&path, heads)?;
        self.root.set_mtime(&path, mtime).map_err(ArchiveError::Io)
    }

    /// The attributes that layers keep; of others nobody knows what they mean here.
    fn note_attributes(&self, path: &Path, heads: &[u8]) -> Result<(), ArchiveError> {
        let all = pax::attributes(heads).into_iter();
        all.filter(|(name, _)| is_kept_attribute(name))
            .try_for_each(|(name, value)| self.root.set_attribute(path, name, value))
            .map_err(ArchiveError::Io)
    }

    /// The parents are the archive's own, or root's.
    fn make_parents(&self, path: &Path) -> Result<(), ArchiveError> {
        let parent = path.parent().unwrap_or(self.dest);
        self.root.create_dirs(parent, Owner::default()).map(drop).map_err(ArchiveError::Io)
    }

    /// Removes what is in the way, but a directory in the place of a directory.
    fn make_way(&self, path: &Path, is_dir: bool) -> io::Result<()> {
        match self.root.entry(path) {
            Ok(there) if (there.kind == Kind::Dir) != is_dir => self.root.remove_all(path),
            _ => Ok(()),
        }
    }

    fn file(
        &mut self,
        path: &Path,
        body: &mut impl Read,
        mode: u32,
        owner: Owner,
    ) -> Result<(), ArchiveError> {
        let left = self.limits.bytes_max - self.done.bytes;
        let mut body = body.take(left + 1);
        self.make_parents(path)?;
        let bytes = self.root.write_file(path, &mut body, mode, owner).map_err(ArchiveError::Io)?;
        if bytes > left {
            return Err(ArchiveError::TooLarge { limit: self.limits.bytes_max, unit: "bytes" });
        }
        self.done.bytes += bytes;
        Ok(())
    }
}

/// A pipe, or a device with its number; nothing for all other kinds.
fn node_of(name: &Path, header: &tar::Header) -> Result<Option<(FileType, u64)>, ArchiveError> {
    let kind = match header.entry_type() {
        tar::EntryType::Fifo => return Ok(Some((FileType::Fifo, 0))),
        tar::EntryType::Char => FileType::CharacterDevice,
        tar::EntryType::Block => FileType::BlockDevice,
        _ => return Ok(None),
    };
    let number = |half: io::Result<Option<u32>>| half.map_err(ArchiveError::Io);
    let (major, minor) = (number(header.device_major())?, number(header.device_minor())?);
    let device = rustix::fs::makedev(major.unwrap_or(0), minor.unwrap_or(0));
    // An overlay keeps it for itself.
    if kind == FileType::CharacterDevice && device == 0 {
        return Err(forbidden(name, "device 0/0, the mark of a removed file"));
    }
    Ok(Some((kind, device)))
}

/// The path below the destination: an absolute one begins there too.
fn below(path: &Path) -> Result<PathBuf, ArchiveError> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            Component::ParentDir => return Err(escapes(path, "its path contains `..`")),
        }
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
    use std::process::Command;

    use rustix::fs::{CWD, Mode, XattrFlags, makedev, mknodat};

    use super::*;

    const LIMITS: ArchiveLimits = ArchiveLimits { bytes_max: 1 << 20, entries_max: 100 };

    fn me() -> Owner {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Owner { uid, gid }
    }

    fn packed(flag: &str) -> File {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("d/run"), "go").unwrap();
        let mode = std::fs::Permissions::from_mode(0o2750);
        std::fs::set_permissions(dir.path().join("d/run"), mode).unwrap();
        std::fs::hard_link(dir.path().join("d/run"), dir.path().join("d/second")).unwrap();
        std::os::unix::fs::symlink("/absolute", dir.path().join("d/link")).unwrap();
        let archive = tempfile::NamedTempFile::new().unwrap();
        let made = Command::new("tar")
            .args([flag, "-cf"])
            .arg(archive.path())
            .arg("-C")
            .arg(dir.path())
            .args([".", "--sort=name"])
            .status()
            .unwrap();
        assert!(made.success());
        archive.reopen().unwrap()
    }

    #[test]
    fn every_packing_comes_out_with_modes_and_links() {
        for flag in ["--no-auto-compress", "-z", "-j", "-J", "--zstd"] {
            let to = tempfile::tempdir().unwrap();
            let root = Root::open(to.path()).unwrap();
            let done =
                unpack_whole(&mut packed(flag), &root, Path::new("/x"), LIMITS, (me(), Some(me())));
            assert!(done.unwrap(), "{flag}");
            let at = |name: &str| to.path().join("x/d").join(name);
            let run = std::fs::metadata(at("run")).unwrap();
            assert_eq!((run.mode() & 0o7777, run.nlink()), (0o2750, 2), "{flag}");
            assert_eq!(std::fs::read_link(at("link")).unwrap(), Path::new("/absolute"));
        }
    }

    #[test]
    fn what_only_looks_like_an_archive_is_left_alone() {
        let to = tempfile::tempdir().unwrap();
        let root = Root::open(to.path()).unwrap();
        for body in [&b"\x1f\x8bnot gzip"[..], b"BZh9 neither", b"hello", b"", &[0; 1024]] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(body).unwrap();
            let done = unpack_whole(&mut file, &root, Path::new("/x"), LIMITS, (me(), Some(me())));
            assert!(!done.unwrap(), "{body:?}");
        }
        assert!(!to.path().join("x").exists());
    }

    #[test]
    fn a_link_does_not_lead_out() {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        let outside = tempfile::tempdir().unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "out", outside.path()).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        builder.append_data(&mut header, "out/x", &b"x"[..]).unwrap();
        let mut file = builder.into_inner().unwrap();
        file.flush().unwrap();
        let to = tempfile::tempdir().unwrap();
        let root = Root::open(to.path()).unwrap();
        let _refused = unpack_whole(&mut file, &root, Path::new("/"), LIMITS, (me(), Some(me())));
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    /// Unpacks into a folder that is made for it.
    fn unpacked(archive: &mut File) -> (tempfile::TempDir, Result<bool, ArchiveError>) {
        let to = tempfile::tempdir().unwrap();
        let root = Root::open(to.path()).unwrap();
        let done = unpack_whole(archive, &root, Path::new("/"), LIMITS, (me(), Some(me())));
        (to, done)
    }

    fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
        let mut value = vec![0_u8; 256];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
        value.truncate(length);
        Some(value)
    }

    /// The attribute that file capabilities are stored in, with two of them: `CAP_DAC_OVERRIDE` and `CAP_FOWNER`, which
    /// together are a line break.
    const CAPABILITY: (&str, &[u8]) =
        ("security.capability", &[1, 0, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

    #[test]
    fn pipes_devices_and_attributes_arrive() {
        let from = tempfile::tempdir().unwrap();
        let at = |path: &str| from.path().join(path);
        std::fs::create_dir(at("d")).unwrap();
        std::fs::write(at("d/server"), "program").unwrap();
        let node = |name: &str, kind, device| {
            mknodat(CWD, at(name), kind, Mode::from_raw_mode(0o600), device)
        };
        node("d/pipe", FileType::Fifo, 0).unwrap();
        let mode = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(at("d/pipe"), mode).unwrap();
        // Only root makes devices, and not in every container.
        let has_device = node("d/null", FileType::CharacterDevice, makedev(1, 3)).is_ok();
        let has_disk = node("d/disk", FileType::BlockDevice, makedev(7, 300)).is_ok();
        // Not every file system has attributes, and not every user may set them.
        let set = |(path, (name, value)): &(&str, (&str, &[u8]))| {
            rustix::fs::setxattr(at(path), *name, value, XattrFlags::empty()).is_ok()
        };
        let note = ("user.note", b"1\n2".as_slice());
        let all = [("d/server", note), ("d/server", CAPABILITY), ("d", note)];
        let attributes: Vec<_> = all.into_iter().filter(set).collect();
        let archive = tempfile::NamedTempFile::new().unwrap();
        let made = Command::new("tar")
            .args(["--xattrs", "--xattrs-include=*", "-cf"])
            .arg(archive.path())
            .arg("-C")
            .arg(from.path())
            .arg(".")
            .status()
            .unwrap();
        assert!(made.success());

        let (to, done) = unpacked(&mut archive.reopen().unwrap());
        assert!(done.unwrap());
        let of = |name: &str| std::fs::symlink_metadata(to.path().join("d").join(name)).unwrap();
        assert!(of("pipe").file_type().is_fifo());
        assert_eq!(of("pipe").mode() & 0o7777, 0o666, "whatever the umask is");
        let own = std::fs::symlink_metadata(at("d/pipe")).unwrap();
        assert_eq!(of("pipe").mtime(), own.mtime());
        if has_device {
            assert!(of("null").file_type().is_char_device());
            assert_eq!(of("null").rdev(), makedev(1, 3));
        }
        if has_disk {
            assert!(of("disk").file_type().is_block_device());
            assert_eq!(of("disk").rdev(), makedev(7, 300));
        }
        for (path, (name, value)) in attributes {
            let found = attribute(&to.path().join(path), name);
            assert_eq!(found.as_deref(), Some(value), "{name} of {path}");
        }
    }

    #[test]
    fn attributes_that_a_layer_does_not_keep_are_left_out() {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        let given = ["user.overlay.opaque", "security.selinux", "trusted.overlay.opaque"];
        let records = given.map(|name| format!("SCHILY.xattr.{name}"));
        let records = records.iter().map(|key| (key.as_str(), b"y".as_slice()));
        builder.append_pax_extensions(records).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path("file").unwrap();
        header.set_size(0);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
        let (to, done) = unpacked(&mut builder.into_inner().unwrap());
        assert!(done.unwrap());
        for name in given {
            let found = attribute(&to.path().join("file"), name);
            // A machine with SELinux gives every file a label of its own.
            assert_ne!(found.as_deref(), Some(&b"y"[..]), "{name}");
        }
    }

    #[test]
    fn what_is_no_file_of_an_image_is_refused() {
        for kind in [tar::EntryType::Char, tar::EntryType::new(b'D')] {
            let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
            let mut header = tar::Header::new_ustar();
            header.set_path("odd").unwrap();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_device_major(0).unwrap();
            header.set_device_minor(0).unwrap();
            header.set_cksum();
            builder.append(&header, &b""[..]).unwrap();
            let (to, done) = unpacked(&mut builder.into_inner().unwrap());
            assert!(matches!(done, Err(ArchiveError::Forbidden { .. })), "{done:?}");
            assert!(!to.path().join("odd").exists());
        }
    }
}
