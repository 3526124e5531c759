//! Unpacking archives of strangers.
//!
//! **Invariant: nothing is written outside the destination, and nothing but directories, regular files and
//! links that stay inside.** Entries are walked one by one; no library's own `unpack` is used.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use crate::rooted::{Owner, Root};

#[cfg(test)]
mod fuzz;
mod pax;
mod walk;
mod whole;
use walk::walk;
pub(crate) use whole::unpack_whole;

/// What an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct ArchiveLimits {
    /// Bytes of all files together, unpacked.
    pub bytes_max: u64,
    /// Entries.
    pub entries_max: u64,
}

/// Why an archive is refused. What was unpacked before stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A path that is absolute or contains `..`, or a link that leads out.
    #[error("the entry {entry:?} leaves the archive: {why}")]
    Escapes {
        /// The entry.
        entry: String,
        /// How.
        why: &'static str,
    },
    /// A device, pipe or something else that has no place in an archive of files.
    #[error("the entry {entry:?} is a {kind}, which is not allowed")]
    Forbidden {
        /// The entry.
        entry: String,
        /// What it is.
        kind: &'static str,
    },
    /// Too much.
    #[error("it holds more than {limit} {unit}")]
    TooLarge {
        /// The limit.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// Neither tar, tar.gz, tar.zst nor zip.
    #[error("it is neither a tar (plain, gzip or zstd) nor a zip archive")]
    UnknownFormat,
    /// It cannot be read or written.
    #[error("it cannot be unpacked")]
    Io(#[source] io::Error),
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Entries.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Unpacks an archive, whose format is told by its first bytes, into a directory that exists. Files
/// belong to the caller; of modes, only the executable bit is kept.
pub fn unpack(
    archive: &mut File,
    into: &Path,
    limits: ArchiveLimits,
) -> Result<Unpacked, ArchiveError> {
    let root = Root::open(into).map_err(ArchiveError::Io)?;
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    unpack_rooted(archive, &root, Path::new(""), limits, Owner { uid, gid })
}

/// The same, below `dest` of a root.
pub(crate) fn unpack_rooted(
    archive: &mut File,
    root: &Root,
    dest: &Path,
    limits: ArchiveLimits,
    owner: Owner,
) -> Result<Unpacked, ArchiveError> {
    let mut head = [0_u8; 512];
    let read = read_up_to(archive, &mut head).map_err(ArchiveError::Io)?;
    archive.seek(SeekFrom::Start(0)).map_err(ArchiveError::Io)?;
    let mut sink = Sink { root, dest, owner, limits, done: Unpacked::default() };
    match &head[..read] {
        [0x1f, 0x8b, ..] => sink.tar(flate2::read::MultiGzDecoder::new(archive))?,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            sink.tar(zstd::Decoder::new(archive).map_err(ArchiveError::Io)?)?;
        }
        [b'P', b'K', 3 | 5, 4 | 6, ..] => sink.zip(archive)?,
        bytes if bytes.len() == 512 && (&bytes[257..262] == b"ustar" || plain_tar(bytes)) => {
            sink.tar(archive)?;
        }
        _ => return Err(ArchiveError::UnknownFormat),
    }
    Ok(sink.done)
}

/// An old tar without a magic number: the checksum of its header is right.
fn plain_tar(head: &[u8]) -> bool {
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(head);
    let given = header.cksum().ok();
    header.set_cksum();
    given.is_some() && given == header.cksum().ok()
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match reader.read(&mut buffer[done..])? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

struct Sink<'a> {
    root: &'a Root,
    dest: &'a Path,
    owner: Owner,
    limits: ArchiveLimits,
    done: Unpacked,
}

impl Sink<'_> {
    fn tar(&mut self, reader: impl Read) -> Result<(), ArchiveError> {
        walk(reader, |entry, _| {
            let path = entry.path().map_err(ArchiveError::Io)?.into_owned();
            let kind = entry.header().entry_type();
            let executable = entry.header().mode().unwrap_or(0) & 0o111 != 0;
            let link = entry.link_name().map_err(ArchiveError::Io)?.map(|l| l.into_owned());
            match kind {
                tar::EntryType::Directory => self.dir(&path),
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    self.file(&path, entry, executable)
                }
                tar::EntryType::Symlink => self.link(&path, &link.unwrap_or_default()),
                tar::EntryType::Link => self.hard_link(&path, &link.unwrap_or_default()),
                tar::EntryType::XGlobalHeader => Ok(()),
                other => Err(forbidden(&path, kind_name(other))),
            }
        })
    }

    fn zip(&mut self, file: &mut File) -> Result<(), ArchiveError> {
        let broken = |e: zip::result::ZipError| ArchiveError::Io(io::Error::other(e));
        let mut archive = zip::ZipArchive::new(file).map_err(broken)?;
        for n in 0..archive.len() {
            let mut entry = archive.by_index(n).map_err(broken)?;
            let path = PathBuf::from(entry.name().map_err(broken)?.into_owned());
            let mode = entry.unix_mode().unwrap_or(0o644);
            if entry.is_dir() {
                self.dir(&path)?;
            } else if mode & 0o170_000 == 0o120_000 {
                let mut target = String::new();
                (&mut entry).take(4096).read_to_string(&mut target).map_err(ArchiveError::Io)?;
                self.link(&path, Path::new(&target))?;
            } else {
                self.file(&path, &mut entry, mode & 0o111 != 0)?;
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), ArchiveError> {
        self.done.entries += 1;
        if self.done.entries > self.limits.entries_max {
            return Err(ArchiveError::TooLarge { limit: self.limits.entries_max, unit: "entries" });
        }
        Ok(())
    }

    fn dir(&mut self, path: &Path) -> Result<(), ArchiveError> {
        self.count()?;
        let path = self.dest.join(inside(path)?);
        self.root.create_dirs(&path, self.owner).map_err(ArchiveError::Io)?;
        Ok(())
    }

    fn file(
        &mut self,
        path: &Path,
        body: &mut dyn Read,
        executable: bool,
    ) -> Result<(), ArchiveError> {
        self.count()?;
        let target = self.dest.join(inside(path)?);
        let left = self.limits.bytes_max - self.done.bytes;
        let mode = if executable { 0o755 } else { 0o644 };
        let mut body = body.take(left + 1);
        let bytes =
            self.root.write_file(&target, &mut body, mode, self.owner).map_err(ArchiveError::Io)?;
        if bytes > left {
            return Err(ArchiveError::TooLarge { limit: self.limits.bytes_max, unit: "bytes" });
        }
        self.done.bytes += bytes;
        Ok(())
    }

    fn link(&mut self, path: &Path, target: &Path) -> Result<(), ArchiveError> {
        self.count()?;
        let clean = inside(path)?;
        stays_inside(&clean, target).map_err(|why| escapes(path, why))?;
        let at = self.dest.join(clean);
        self.root.write_link(&at, target, self.owner).map_err(ArchiveError::Io)
    }

    /// A copy of the file that it links to, which must have come before.
    fn hard_link(&mut self, path: &Path, target: &Path) -> Result<(), ArchiveError> {
        let from = self.dest.join(inside(target)?);
        let mut file = self.root.open_file(&from).map_err(ArchiveError::Io)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &file.metadata().map_err(ArchiveError::Io)?.permissions(),
        );
        self.file(path, &mut file, mode & 0o111 != 0)
    }
}

fn escapes(entry: &Path, why: &'static str) -> ArchiveError {
    ArchiveError::Escapes { entry: entry.display().to_string(), why }
}

fn forbidden(entry: &Path, kind: &'static str) -> ArchiveError {
    ArchiveError::Forbidden { entry: entry.display().to_string(), kind }
}

fn kind_name(kind: tar::EntryType) -> &'static str {
    match kind {
        tar::EntryType::Block | tar::EntryType::Char => "device",
        tar::EntryType::Fifo => "pipe",
        _ => "special entry",
    }
}

/// The path, clean, if it stays inside.
fn inside(path: &Path) -> Result<PathBuf, ArchiveError> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err(escapes(path, "its path contains `..`")),
            Component::RootDir | Component::Prefix(_) => {
                return Err(escapes(path, "its path is absolute"));
            }
        }
    }
    Ok(clean)
}

/// Whether a link at `at` with this target ends inside, by the names alone.
fn stays_inside(at: &Path, target: &Path) -> Result<(), &'static str> {
    let mut depth = at.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir => return Err("it is a link that leads out"),
            Component::RootDir | Component::Prefix(_) => {
                return Err("it is a link to an absolute path");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIMITS: ArchiveLimits = ArchiveLimits { bytes_max: 100, entries_max: 10 };

    fn tar_of(entries: &[(&str, tar::EntryType, &str, &[u8])]) -> File {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        for (path, kind, link, body) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_size(body.len() as u64);
            let name = &mut header.as_gnu_mut().unwrap().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            if !link.is_empty() {
                header.as_gnu_mut().unwrap().linkname[..link.len()]
                    .copy_from_slice(link.as_bytes());
            }
            header.set_cksum();
            builder.append(&header, *body).unwrap();
        }
        let mut file = builder.into_inner().unwrap();
        file.flush().unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    fn check(entries: &[(&str, tar::EntryType, &str, &[u8])]) -> Result<Unpacked, ArchiveError> {
        let dir = tempfile::tempdir().unwrap();
        unpack(&mut tar_of(entries), dir.path(), LIMITS)
    }

    #[test]
    fn hostile_entries_are_refused() {
        use tar::EntryType as T;
        for (path, kind, link) in [
            ("../x", T::Regular, ""),
            ("/etc/x", T::Regular, ""),
            ("a/../../x", T::Regular, ""),
            ("l", T::Symlink, "/etc"),
            ("a/l", T::Symlink, "../../x"),
            ("h", T::Link, "../x"),
        ] {
            let seen = check(&[(path, kind, link, b"")]);
            assert!(matches!(seen, Err(ArchiveError::Escapes { .. })), "{path}: {seen:?}");
        }
        for kind in [T::Char, T::Block, T::Fifo] {
            let seen = check(&[("d", kind, "", b"")]);
            assert!(matches!(seen, Err(ArchiveError::Forbidden { .. })), "{seen:?}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let body = [7_u8; 101];
        let seen = check(&[("x", tar::EntryType::Regular, "", &body)]);
        assert!(matches!(seen, Err(ArchiveError::TooLarge { unit: "bytes", .. })), "{seen:?}");
        let many = ("x", tar::EntryType::Regular, "", &b""[..]);
        let seen = check(&[many; 11]);
        assert!(matches!(seen, Err(ArchiveError::TooLarge { unit: "entries", .. })), "{seen:?}");
    }

    #[test]
    fn a_plain_archive_and_a_zip_come_out_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut tar = tar_of(&[
            ("d/", tar::EntryType::Directory, "", b""),
            ("d/x", tar::EntryType::Regular, "", b"123"),
            ("d/y", tar::EntryType::Symlink, "x", b""),
        ]);
        let done = unpack(&mut tar, dir.path(), LIMITS).unwrap();
        assert_eq!(done, Unpacked { entries: 3, bytes: 3 });
        assert_eq!(std::fs::read(dir.path().join("d/y")).unwrap(), b"123");

        let mut zip = zip::ZipWriter::new(tempfile::tempfile().unwrap());
        let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
        zip.start_file("z/run", options).unwrap();
        zip.write_all(b"go").unwrap();
        let mut file = zip.finish().unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        unpack(&mut file, dir.path(), LIMITS).unwrap();
        assert_eq!(std::fs::read(dir.path().join("z/run")).unwrap(), b"go");
    }

    #[test]
    fn something_else_is_told_so() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let seen = unpack(&mut file, dir.path(), LIMITS);
        assert!(matches!(seen, Err(ArchiveError::UnknownFormat)));
    }
}
