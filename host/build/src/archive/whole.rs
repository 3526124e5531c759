//! Unpacking an archive that belongs to the build itself: with modes, owners, times and links as they are.
//!
//! **Invariant: nothing is written outside the root.** Links may point anywhere, for they are only ever followed
//! inside of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::{ArchiveError, ArchiveLimits, Unpacked, escapes, forbidden, kind_name, plain_tar};
use super::{read_up_to, walk};
use crate::rooted::{Kind, Owner, Root};

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
        walk(reader, |entry| self.entry(entry))?;
        // Last, because what is put into a directory changes its time.
        for (path, mtime) in self.times.iter().rev() {
            self.root.set_mtime(path, *mtime).map_err(ArchiveError::Io)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), ArchiveError> {
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
                return self.root.hard_link(&first, &path).map_err(ArchiveError::Io);
            }
            other => return Err(forbidden(&name, kind_name(other))),
        }
        self.root.set_mtime(&path, mtime).map_err(ArchiveError::Io)
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
        // The parents are the archive's own, or root's.
        let parent = path.parent().unwrap_or(self.dest);
        self.root.create_dirs(parent, Owner::default()).map_err(ArchiveError::Io)?;
        let bytes = self.root.write_file(path, &mut body, mode, owner).map_err(ArchiveError::Io)?;
        if bytes > left {
            return Err(ArchiveError::TooLarge { limit: self.limits.bytes_max, unit: "bytes" });
        }
        self.done.bytes += bytes;
        Ok(())
    }
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
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::process::Command;

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
}
