//! A cache as an overlay: what a command changes lies apart, and is taken over when it has succeeded.
//!
//! Taking over moves files, one after the other, on the same file system: it costs what changed, not what
//! the cache holds. A host that is killed meanwhile leaves whole files, some of them new.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};

/// Marks of the overlay file system on what it made.
const MARKS: &[u8] = b"trusted.overlay.";
const OPAQUE: &str = "trusted.overlay.opaque";
const NAMES_BYTES_MAX: usize = 64 * 1024;

/// Where a command's changes to a cache lie.
#[derive(Debug, Clone)]
pub(crate) struct Changes {
    /// The cache.
    pub(crate) dir: PathBuf,
    /// The changes.
    pub(crate) upper: PathBuf,
    /// Of the kernel.
    pub(crate) work: PathBuf,
}

impl Changes {
    /// Makes room for changes to a cache. `None` where the overlay's options cannot hold the paths.
    pub(crate) fn prepare(dir: &Path, scratch: &Path) -> io::Result<Option<Self>> {
        let (upper, work) = (scratch.join("upper"), scratch.join("work"));
        let unfit = |path: &Path| path.as_os_str().as_bytes().iter().any(|b| b",:\\".contains(b));
        if unfit(dir) || unfit(scratch) || dir.to_str().is_none() || scratch.to_str().is_none() {
            return Ok(None);
        }
        for made in [&upper, &work] {
            std::fs::create_dir_all(made)?;
        }
        let meta = std::fs::metadata(dir)?;
        std::fs::set_permissions(&upper, meta.permissions())?;
        chown(&upper, &meta)?;
        Ok(Some(Self { dir: dir.to_owned(), upper, work }))
    }

    /// Takes the changes over into the cache.
    pub(crate) fn take_over(&self) -> io::Result<()> {
        merge(&self.upper, &self.dir)
    }
}

/// Moves what is in `upper` into `lower`, which are both folders.
fn merge(upper: &Path, lower: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(upper)? {
        let entry = entry?;
        let (from, to) = (entry.path(), lower.join(entry.file_name()));
        let meta = entry.metadata()?;
        let there = match std::fs::symlink_metadata(&to) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            there => Some(there?),
        };
        if is_whiteout(&meta) {
            remove(&to, there.as_ref())?;
            continue;
        }
        let both_folders = meta.is_dir() && there.as_ref().is_some_and(Metadata::is_dir);
        if both_folders && !is_opaque(&from) {
            merge(&from, &to)?;
            std::fs::set_permissions(&to, meta.permissions())?;
            chown(&to, &meta)?;
            continue;
        }
        // A file takes another one's place in one step.
        if meta.is_dir() || there.as_ref().is_some_and(Metadata::is_dir) {
            remove(&to, there.as_ref())?;
        }
        unmark(&from, &meta)?;
        std::fs::rename(&from, &to)?;
    }
    Ok(())
}

fn is_whiteout(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn is_opaque(dir: &Path) -> bool {
    let mut value = [0_u8; 8];
    rustix::fs::lgetxattr(dir, OPAQUE, &mut value[..]).is_ok_and(|n| n == 1 && value[0] == b'y')
}

fn remove(path: &Path, there: Option<&Metadata>) -> io::Result<()> {
    match there {
        None => Ok(()),
        Some(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Some(_) => std::fs::remove_file(path),
    }
}

/// Takes the overlay's marks away, which would mean something where the cache is part of one again.
fn unmark(path: &Path, meta: &Metadata) -> io::Result<()> {
    if meta.is_dir() {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let below = entry.metadata()?;
            if is_whiteout(&below) {
                std::fs::remove_file(entry.path())?;
            } else {
                unmark(&entry.path(), &below)?;
            }
        }
    }
    if meta.is_symlink() {
        return Ok(());
    }
    let mut names = vec![0_u8; NAMES_BYTES_MAX];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or_default();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| name.starts_with(MARKS)) {
        rustix::fs::lremovexattr(path, name)?;
    }
    Ok(())
}

fn chown(path: &Path, as_of: &Metadata) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(as_of.uid()), Gid::from_raw(as_of.gid()));
    Ok(rustix::fs::chown(path, Some(uid), Some(gid))?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use super::*;

    /// Every file below a folder with its content, and every folder with its mode.
    fn tree(dir: &Path) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut stack = vec![dir.to_owned()];
        while let Some(next) = stack.pop() {
            for entry in std::fs::read_dir(&next).unwrap().flatten() {
                let path = entry.path();
                let meta = entry.metadata().unwrap();
                let name = path.strip_prefix(dir).unwrap().display().to_string();
                let what = match () {
                    () if meta.is_dir() => format!("dir {:o}", meta.mode() & 0o7777),
                    () if meta.is_symlink() => {
                        format!("link {}", std::fs::read_link(&path).unwrap().display())
                    }
                    () => std::fs::read_to_string(&path).unwrap(),
                };
                if meta.is_dir() {
                    stack.push(path);
                }
                found.insert(name, what);
            }
        }
        found
    }

    /// Changes a tree through a real overlay and through the plain folder: after taking over, both are
    /// the same.
    #[track_caller]
    fn as_if_plain(script: &str) {
        let dir = tempfile::tempdir().unwrap();
        let (cache, plain) = (dir.path().join("cache"), dir.path().join("plain"));
        let make = "mkdir -p a/b full; echo 1 > a/b/one; echo 2 > a/two; echo 3 > full/three; \
                    echo 4 > file; ln -s file link; chmod 711 a";
        let sh = |at: &Path, script: &str| {
            let done = Command::new("sh").args(["-ec", script]).current_dir(at).status().unwrap();
            assert!(done.success(), "{script}");
        };
        for at in [&cache, &plain] {
            std::fs::create_dir(at).unwrap();
            sh(at, make);
        }
        let changes = Changes::prepare(&cache, &dir.path().join("scratch")).unwrap().unwrap();
        let at = dir.path().join("mounted");
        std::fs::create_dir(&at).unwrap();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            changes.dir.display(),
            changes.upper.display(),
            changes.work.display()
        );
        let mounted = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(&at)
            .status()
            .unwrap();
        assert!(mounted.success(), "an overlay can be mounted here");
        let before = tree(&cache);
        sh(&at, script);
        assert!(Command::new("umount").arg(&at).status().unwrap().success());
        assert_eq!(tree(&cache), before, "the cache is untouched until it is taken over");
        sh(&plain, script);
        changes.take_over().unwrap();
        assert_eq!(tree(&cache), tree(&plain), "{script}");
        let marks = Command::new("getfattr")
            .args(["-R", "-h", "-d", "-m", "trusted.overlay"])
            .arg(&cache)
            .output();
        if let Ok(marks) = marks {
            assert_eq!(String::from_utf8_lossy(&marks.stdout), "", "marks are left");
        }
    }

    #[test]
    fn what_was_taken_over_is_as_if_it_had_been_written_there() {
        for script in [
            "true",
            "echo new > a/b/new; echo changed > a/two",
            "rm a/b/one; rmdir a/b",
            "rm -r a; mkdir a; echo other > a/other",
            "rm -r a; echo file > a",
            "rm file; mkdir file; echo in > file/in",
            "rm -r full; mkdir -p full/three; echo x > full/three/x",
            "mv a/two a/moved; mkdir -p x/y/z; echo z > x/y/z/f; chmod 755 a; ln -sf two link",
            "rm -r a full file link",
            "mkdir n; echo 1 > n/a; rm n/a; echo 2 > n/b; rm -r n; mkdir n; echo 3 > n/c",
        ] {
            as_if_plain(script);
        }
    }

    #[test]
    fn paths_that_the_options_cannot_hold_are_told() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a:b", "a,b"] {
            let odd = dir.path().join(name);
            std::fs::create_dir(&odd).unwrap();
            assert!(Changes::prepare(&odd, &dir.path().join("s")).unwrap().is_none());
        }
    }
}
