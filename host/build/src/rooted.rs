//! File operations that cannot leave a directory.
//!
//! **Invariant: no path is ever followed out of a [`Root`].** What lies in a source tree or a snapshot was
//! made by strangers, so every look-up goes through `openat2` with `RESOLVE_IN_ROOT`: a symbolic link
//! to `/etc` means the root's own `etc`, as it would inside the container.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid,
};

use crate::content::{self, Body};
use crate::ops::{Allowance, BLOCK_BYTES};

mod special;

pub(crate) use special::{attributes, is_kept_attribute};

/// Directories below each other that a walk follows.
pub(crate) const DEPTH_MAX: usize = 256;
/// Links on one way, as the kernel follows them.
const LINKS_MAX: usize = 40;

/// Numeric owner of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owner {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

/// What a directory entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory.
    Dir,
    /// A regular file of this size.
    File {
        /// Bytes.
        bytes: u64,
    },
    /// A symbolic link with its target.
    Symlink(OsString),
    /// A device, socket or pipe.
    Other,
}

/// An entry of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Path relative to where the walk began.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) kind: Kind,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) owner: Owner,
    /// Last change: seconds and nanoseconds.
    pub(crate) mtime: (i64, i64),
}

/// A directory that nothing leaves.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    /// What may be written to it, if not everything.
    allowance: Option<Arc<Allowance>>,
}

impl Root {
    /// The directory at a path that the host itself chose.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::open(path, flags, Mode::empty())?, allowance: None })
    }

    /// Files are written within this allowance from now on.
    pub(crate) fn within(self, allowance: &Arc<Allowance>) -> Self {
        Self { allowance: Some(Arc::clone(allowance)), ..self }
    }

    /// A directory below, as a root of its own.
    pub(crate) fn sub(&self, path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: self.lookup(path, flags)?, allowance: self.allowance.clone() })
    }

    fn lookup(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let path = relative(path)?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(windlass_containers::open_scoped(&self.fd, path.as_path(), flags, resolve)?)
    }

    /// A regular file, links followed inside the root.
    pub(crate) fn open_file(&self, path: &Path) -> io::Result<File> {
        // To open a device has effects of its own: what it is, is looked at first.
        let found = self.lookup(path, OFlags::PATH | OFlags::CLOEXEC)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
        if kind != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        // The same file, whatever the path leads to by now.
        let number = std::os::fd::AsRawFd::as_raw_fd(&found);
        File::open(format!("/proc/self/fd/{number}"))
    }

    /// A regular file of this name in the directory itself; a link is not followed. Not for where devices may
    /// lie.
    pub(crate) fn open_named(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, name, OFlags::RDONLY | flags, Mode::empty())?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
        match kind {
            FileType::RegularFile => Ok(file.into()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
        }
    }

    /// At most `bytes_max` bytes of a regular file.
    pub(crate) fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(path)?.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether there is a directory of this name, links followed inside the root.
    pub(crate) fn is_dir(&self, path: &Path) -> bool {
        self.lookup(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC).is_ok()
    }

    /// Where a path ends on the host, with every link resolved inside the root.
    pub(crate) fn resolved(&self, path: &Path) -> io::Result<PathBuf> {
        let fd = self.lookup(path, OFlags::PATH | OFlags::CLOEXEC)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&fd);
        std::fs::read_link(format!("/proc/self/fd/{number}"))
    }

    /// The same path with every link in it followed, the last name's too, from the root.
    pub(crate) fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        let (here, there) = (self.resolved(Path::new(""))?, self.resolved(path)?);
        let outside = |_| io::Error::other("the path leaves its root");
        Ok(there.strip_prefix(&here).map_err(outside)?.to_owned())
    }

    /// What has this name; a link is not followed.
    pub(crate) fn entry(&self, path: &Path) -> io::Result<Entry> {
        let path = relative(path)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        match path.file_name() {
            Some(name) => look(&self.lookup(parent, dir_flags())?, parent, &name.to_owned()),
            None => look(&self.fd, Path::new(""), &".".into()),
        }
    }

    /// What is in a directory, by name.
    pub(crate) fn children(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let dir = self.lookup(path, dir_flags())?;
        let prefix = if path == Path::new(".") { Path::new("") } else { path };
        names(&dir)?.iter().map(|name| look(&dir, prefix, name)).collect()
    }

    /// Something without bytes is about to be made.
    fn count(&self) -> io::Result<()> {
        self.allowance.as_ref().map_or(Ok(()), |allowance| allowance.spend(BLOCK_BYTES))
    }

    /// What is about to be made may take more than was counted.
    fn is_more_than_counted(&self) {
        if let Some(allowance) = &self.allowance {
            allowance.is_more_than_counted();
        }
    }

    /// Makes a second name for a file, replacing a file or link of that name.
    pub(crate) fn hard_link(&self, first: &Path, second: &Path) -> io::Result<()> {
        self.count()?;
        // A file of a layer below is copied for its second name.
        self.is_more_than_counted();
        let first = relative(first)?;
        let of = self.lookup(first.parent().unwrap_or(Path::new("")), dir_flags())?;
        let (parent, name) = self.place(second, Owner::default())?;
        let own = first.file_name().unwrap_or_default();
        Ok(rustix::fs::linkat(&of, own, &parent, &name, AtFlags::empty())?)
    }

    /// Removes what has this name, with all that is in it.
    pub(crate) fn remove_all(&self, path: &Path) -> io::Result<()> {
        let path = relative(path)?;
        if self.entry(&path)?.kind == Kind::Dir {
            for child in self.children(&path)? {
                self.remove_all(&child.path)?;
            }
        }
        let parent = self.lookup(path.parent().unwrap_or(Path::new("")), dir_flags())?;
        let Some(name) = path.file_name() else { return Ok(()) };
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Err(rustix::io::Errno::ISDIR) => {
                Ok(rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?)
            }
            other => Ok(other?),
        }
    }

    /// Makes a directory with its parents; what is there already is left as it is.
    pub(crate) fn create_dirs(&self, path: &Path, owner: Owner) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut done = PathBuf::new();
        let mut parent = self.lookup(&done, flags)?;
        for part in relative(path)?.components() {
            let Component::Normal(name) = part else { continue };
            done.push(name);
            let next = match self.lookup(&done, flags) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    self.count()?;
                    rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                    chown(&parent, Path::new(name), owner)?;
                    self.lookup(&done, flags)?
                }
                other => other?,
            };
            parent = next;
        }
        Ok(parent)
    }

    /// Writes a file, replacing a file or link of that name; parents are made.
    pub(crate) fn write_file(
        &self,
        path: &Path,
        body: &mut dyn Body,
        mode: u32,
        owner: Owner,
    ) -> io::Result<u64> {
        let (parent, name) = self.place(path, owner)?;
        write_new(&parent, &name, body, mode, owner, self.allowance.as_deref())
    }

    /// A directory, made with its parents if need be, to write many files into.
    pub(crate) fn folder(&self, path: &Path, owner: Owner) -> io::Result<Folder> {
        Ok(Folder { fd: self.create_dirs(path, owner)?, allowance: self.allowance.clone() })
    }

    /// Makes a symbolic link, replacing a file or link of that name; parents are made.
    pub(crate) fn write_link(&self, path: &Path, target: &Path, owner: Owner) -> io::Result<()> {
        self.count()?;
        let (parent, name) = self.place(path, owner)?;
        rustix::fs::symlinkat(target, &parent, &name)?;
        chown(&parent, Path::new(&name), owner)
    }

    /// Makes a directory with this mode and owner, or gives them to the one that is there.
    pub(crate) fn write_dir(&self, path: &Path, mode: u32, owner: Owner) -> io::Result<()> {
        let fd = self.create_dirs(path, owner)?;
        rustix::fs::fchown(&fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
        Ok(rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode & 0o7777))?)
    }

    /// Sets the time of last change of what the path itself names.
    pub(crate) fn set_mtime(&self, path: &Path, mtime: (i64, i64)) -> io::Result<()> {
        let path = relative(path)?;
        let parent = self.lookup(path.parent().unwrap_or(Path::new("")), dir_flags())?;
        let Some(name) = path.file_name() else { return Ok(()) };
        let time = Timespec { tv_sec: mtime.0, tv_nsec: mtime.1 };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(&parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// What would have to be made for something to be at this path, parents first; nothing where something is.
    /// Links are followed, also one that leads nowhere yet.
    pub(crate) fn missing(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let (mut here, mut missing, mut links) = (PathBuf::new(), Vec::new(), 0);
        let mut ahead = backwards(path);
        while let Some(name) = ahead.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&name);
            match self.entry(&next) {
                Ok(Entry { kind: Kind::Symlink(target), .. }) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(rustix::io::Errno::LOOP.into());
                    }
                    let target = Path::new(&target);
                    if target.is_absolute() {
                        here = PathBuf::new();
                    }
                    ahead.extend(backwards(target));
                    continue;
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(next.clone()),
                Err(e) => return Err(e),
            }
            here = next;
        }
        Ok(missing)
    }

    /// Removes an empty file or directory of this name; what holds something stays.
    pub(crate) fn remove_empty(&self, path: &Path) {
        let Ok(path) = relative(path) else { return };
        let parent = self.lookup(path.parent().unwrap_or(Path::new("")), dir_flags());
        let (Ok(parent), Some(name)) = (parent, path.file_name()) else { return };
        let empty = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|s| FileType::from_raw_mode(s.st_mode).is_file() && s.st_size == 0);
        let flags = if empty { AtFlags::empty() } else { AtFlags::REMOVEDIR };
        // A directory that is not empty is refused by the kernel, which is what is wanted.
        let _stays = rustix::fs::unlinkat(&parent, name, flags);
    }

    /// The parent of a path, made if need be, with nothing but a directory left under the name.
    fn place(&self, path: &Path, owner: Owner) -> io::Result<(OwnedFd, OsString)> {
        let path = relative(path)?;
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        let parent = self.create_dirs(path.parent().unwrap_or(Path::new("")), owner)?;
        make_room(&parent, name)?;
        Ok((parent, name.to_owned()))
    }

    /// Everything below, parents first, each directory's entries by name. Links are not followed.
    pub(crate) fn walk(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let here = self.lookup(Path::new(""), dir_flags())?;
        walk_dir(&here, Path::new(""), 0, &mut entries)?;
        Ok(entries)
    }
}

/// A directory below a [`Root`] that is held open.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    allowance: Option<Arc<Allowance>>,
}

impl Folder {
    /// Writes a file of this name, replacing a file or link.
    pub(crate) fn write_file(
        &self,
        name: &OsStr,
        body: &mut dyn Body,
        mode: u32,
        owner: Owner,
    ) -> io::Result<u64> {
        make_room(&self.fd, name)?;
        write_new(&self.fd, name, body, mode, owner, self.allowance.as_deref())
    }
}

/// Takes a file or link of this name away; a directory stays, and is an error.
fn make_room(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::ISDIR) => {
            let why = "a directory is in the place of the file";
            Err(io::Error::new(io::ErrorKind::IsADirectory, why))
        }
        Err(e) => Err(e.into()),
    }
}

fn write_new(
    parent: &OwnedFd,
    name: &OsStr,
    body: &mut dyn Body,
    mode: u32,
    owner: Owner,
    allowance: Option<&Allowance>,
) -> io::Result<u64> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(mode & 0o777))?;
    let mut file = File::from(fd);
    let bytes = content::write(body, &mut file, allowance)?;
    // To look is cheaper than to change: with very many files that counts.
    let made = rustix::fs::fstat(&file)?;
    let is_owned = (made.st_uid, made.st_gid) == (owner.uid, owner.gid);
    if !is_owned {
        set_owner(&file, owner)?;
    }
    // A change of the owner takes some bits of the mode away.
    if !is_owned || made.st_mode & 0o7777 != mode & 0o7777 {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
    }
    Ok(bytes)
}

fn dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn walk_dir(
    dir: &OwnedFd,
    prefix: &Path,
    depth: usize,
    entries: &mut Vec<Entry>,
) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other("the directories are nested too deeply"));
    }
    for name in names(dir)? {
        let entry = look(dir, prefix, &name)?;
        let is_dir = entry.kind == Kind::Dir;
        let path = entry.path.clone();
        entries.push(entry);
        if is_dir {
            let flags = dir_flags() | OFlags::NOFOLLOW;
            let below = rustix::fs::openat(dir, &name, flags, Mode::empty())?;
            walk_dir(&below, &path, depth + 1, entries)?;
        }
    }
    Ok(())
}

/// Names of what is in a directory, sorted.
pub(crate) fn names(dir: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort();
    Ok(names)
}

fn look(dir: &OwnedFd, prefix: &Path, name: &OsString) -> io::Result<Entry> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Dir,
        FileType::RegularFile => Kind::File { bytes: u64::try_from(stat.st_size).unwrap_or(0) },
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
            Kind::Symlink(OsString::from_vec(target.into_bytes()))
        }
        _ => Kind::Other,
    };
    Ok(Entry {
        path: prefix.join(name),
        kind,
        mode: stat.st_mode & 0o7777,
        owner: Owner { uid: stat.st_uid, gid: stat.st_gid },
        mtime: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
    })
}

fn chown(dir: impl AsFd, name: &Path, owner: Owner) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    Ok(rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn set_owner(file: &File, owner: Owner) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?)
}

/// The path without its leading slash; `.` for the root itself. `..` is refused, even where it would stay
/// inside.
fn relative(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path contains `..`"));
            }
        }
    }
    if clean.as_os_str().as_bytes().is_empty() {
        clean.push(".");
    }
    Ok(clean)
}

/// The names of a path, the last one first; `..` is one of them.
fn backwards(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    let names = parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.map(|name| name.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    fn me() -> Owner {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Owner { uid, gid }
    }

    #[test]
    fn a_planted_link_leads_nowhere_but_into_the_root() {
        let (dir, root) = root();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("app")).unwrap();
        let written = root.write_file(Path::new("/app/x"), &mut &b"1"[..], 0o644, me());
        assert!(written.is_err() || dir.path().join("tmp").exists());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_replaced_not_followed() {
        let (dir, root) = root();
        let outside = tempfile::tempdir().unwrap();
        let victim = outside.path().join("victim");
        std::fs::write(&victim, "old").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("file")).unwrap();
        root.write_file(Path::new("file"), &mut &b"new"[..], 0o640, me()).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "old");
        assert_eq!(std::fs::read_to_string(dir.path().join("file")).unwrap(), "new");
    }

    #[test]
    fn a_walk_lists_parents_first_and_does_not_follow_links() {
        let (dir, root) = root();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        std::fs::write(dir.path().join("b/c"), "123").unwrap();
        std::os::unix::fs::symlink("b", dir.path().join("a")).unwrap();
        let seen: Vec<_> = root.walk().unwrap().into_iter().map(|e| (e.path, e.kind)).collect();
        let expected: Vec<(PathBuf, Kind)> = vec![
            ("a".into(), Kind::Symlink("b".into())),
            ("b".into(), Kind::Dir),
            ("b/c".into(), Kind::File { bytes: 3 }),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_missing_on_a_way_is_told_parents_first_and_through_links() {
        let (dir, root) = root();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("etc/deep")).unwrap();
        std::fs::write(at("etc/file"), "").unwrap();
        for (link, target) in [
            ("etc/nowhere", "../run/stub"),
            ("absolute", "/var/lib"),
            ("in", "etc/deep"),
            ("loop", "loop"),
        ] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        let check = |path: &str, expected: &[&str]| {
            let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(root.missing(Path::new(path)).unwrap(), expected, "{path}");
        };
        check("/etc/file", &[]);
        check("/", &[]);
        check("/a/b/c", &["a", "a/b", "a/b/c"]);
        check("/etc/new", &["etc/new"]);
        check("/etc/nowhere", &["run", "run/stub"]);
        check("/absolute/x", &["var", "var/lib", "var/lib/x"]);
        check("/in/x", &["etc/deep/x"]);
        assert!(root.missing(Path::new("/loop")).is_err());
    }

    #[test]
    fn dots_are_refused() {
        let (_dir, root) = root();
        assert!(root.open_file(Path::new("../etc/passwd")).is_err());
    }
}
