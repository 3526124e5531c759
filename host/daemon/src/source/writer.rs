//! Writes a tree below one folder and nowhere else.
//!
//! **Invariant: every path is opened by the kernel beneath the folder's descriptor**
//! (`openat2` with `RESOLVE_BENEATH`, no symbolic links on the way), and nothing is written over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat, symlinkat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use windlass_containers::open_scoped;
use windlass_model::{Digest, Failure};

use super::archive::{invalid, unsafe_entry};
use super::{Tree, TreeEntry, host_failed};

/// The folder, and what was written into it.
pub(super) struct Writer {
    root: OwnedFd,
    directories: BTreeSet<String>,
    tree: BTreeMap<String, TreeEntry>,
    /// The folder that the last file went into: most files follow a sibling.
    last_parent: Option<(String, OwnedFd)>,
}

impl Writer {
    pub(super) fn open(into: &Path) -> std::io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(into, flags, Mode::empty())?;
        Ok(Self { root, directories: BTreeSet::new(), tree: BTreeMap::new(), last_parent: None })
    }

    /// Files, links and folders so far.
    pub(super) fn count(&self) -> u64 {
        (self.tree.len() + self.directories.len()) as u64
    }

    pub(super) fn directory(&mut self, path: &str) -> Result<(), Failure> {
        if path.is_empty() || self.directories.contains(path) {
            return Ok(());
        }
        if self.tree.contains_key(path) {
            return Err(twice(path));
        }
        let (parent, name) = split(path);
        self.directory(parent)?;
        let fd = self.parent(parent)?;
        match mkdirat(fd, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(failed(path, e)),
        }
        self.directories.insert(path.to_owned());
        Ok(())
    }

    pub(super) fn file(
        &mut self,
        path: &str,
        executable: bool,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), Failure> {
        let mut file = self.create(path, executable)?;
        let mut sha = Sha256::new();
        let mut buffer = vec![0_u8; 64 * 1024];
        let mut written = 0_u64;
        loop {
            let n = content.read(&mut buffer).map_err(|e| invalid(e.to_string()))?;
            if n == 0 {
                break;
            }
            sha.update(&buffer[..n]);
            file.write_all(&buffer[..n]).map_err(|e| host_failed("write the workspace", &e))?;
            written += n as u64;
        }
        if written != size {
            return Err(invalid(format!("it ends in the middle of {path}")));
        }
        let mode = if executable { "100755" } else { "100644" };
        let oid = Digest::from_sha256(sha.finalize().into()).to_string();
        self.tree.insert(path.to_owned(), TreeEntry { mode: mode.to_owned(), oid });
        Ok(())
    }

    pub(super) fn symlink(&mut self, path: &str, target: &str) -> Result<(), Failure> {
        let (parent, name) = self.vacant(path)?;
        let (parent, name) = (parent.to_owned(), name.to_owned());
        let fd = self.parent(&parent)?;
        symlinkat(target, fd, name).map_err(|e| failed(path, e))?;
        let oid = Digest::of(target.as_bytes()).to_string();
        self.tree.insert(path.to_owned(), TreeEntry { mode: "120000".to_owned(), oid });
        Ok(())
    }

    /// Size of the file that a hard link wants to share.
    pub(super) fn file_size(&self, path: &str, target: &str) -> Result<u64, Failure> {
        let file = self.open_written(path, target)?;
        Ok(file.metadata().map_err(|e| host_failed("read the workspace", &e))?.len())
    }

    /// A hard link becomes a copy: nothing in a workspace shares its contents.
    pub(super) fn copy(&mut self, path: &str, target: &str) -> Result<(), Failure> {
        let mut from = self.open_written(path, target)?;
        let executable = self.tree.get(target).is_some_and(|entry| entry.mode == "100755");
        let size = from.metadata().map_err(|e| host_failed("read the workspace", &e))?.len();
        self.file(path, executable, size, &mut from)
    }

    fn open_written(&self, path: &str, target: &str) -> Result<File, Failure> {
        let is_file = self.tree.get(target).is_some_and(|entry| entry.mode != "120000");
        if !is_file {
            let why = format!("it is a hard link to {target:?}, which is no file of this archive");
            return Err(unsafe_entry(path, &why));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = open_scoped(&self.root, target, flags, beneath());
        Ok(fd.map_err(|e| failed(target, e))?.into())
    }

    fn create(&mut self, path: &str, executable: bool) -> Result<File, Failure> {
        let (parent, name) = self.vacant(path)?;
        let (parent, name) = (parent.to_owned(), name.to_owned());
        let fd = self.parent(&parent)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        let file = openat(fd, name, flags, mode).map_err(|e| failed(path, e))?;
        Ok(file.into())
    }

    /// Makes sure that nothing lies there yet and that its folder exists.
    fn vacant<'p>(&mut self, path: &'p str) -> Result<(&'p str, &'p str), Failure> {
        if path.is_empty() {
            return Err(unsafe_entry(path, "it would replace the workspace itself"));
        }
        if self.tree.contains_key(path) || self.directories.contains(path) {
            return Err(twice(path));
        }
        let (parent, name) = split(path);
        self.directory(parent)?;
        Ok((parent, name))
    }

    fn parent(&mut self, parent: &str) -> Result<&OwnedFd, Failure> {
        if parent.is_empty() {
            return Ok(&self.root);
        }
        let kept = self.last_parent.take().filter(|(path, _)| path == parent);
        let found = match kept {
            Some(found) => found,
            None => {
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = open_scoped(&self.root, parent, flags, beneath())
                    .map_err(|e| failed(parent, e))?;
                (parent.to_owned(), fd)
            }
        };
        Ok(&self.last_parent.insert(found).1)
    }

    /// What was written, once every symbolic link is known to stay inside.
    pub(super) fn finish(self) -> Result<Tree, Failure> {
        for (path, _) in self.tree.iter().filter(|(_, entry)| entry.mode == "120000") {
            let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            match open_scoped(&self.root, path.as_str(), flags, inside) {
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(Errno::XDEV) => {
                    return Err(unsafe_entry(path, "it is a symbolic link that leads outside"));
                }
                Err(Errno::LOOP) => {
                    return Err(unsafe_entry(path, "it is a symbolic link that leads in a circle"));
                }
                Err(e) => return Err(failed(path, e)),
            }
        }
        Ok(Tree { entries: self.tree })
    }
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn twice(path: &str) -> Failure {
    unsafe_entry(path, "there are two entries of this name")
}

fn failed(path: &str, error: Errno) -> Failure {
    match error {
        Errno::XDEV | Errno::LOOP => unsafe_entry(path, "its path leads through a symbolic link"),
        Errno::NOTDIR => unsafe_entry(path, "its folder is not a folder"),
        Errno::EXIST => twice(path),
        Errno::NAMETOOLONG => unsafe_entry(path, "a part of its name is too long"),
        other => host_failed("write the workspace", &other),
    }
}
