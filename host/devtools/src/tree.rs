//! A folder as a deployment would get it: without what `.gitignore` names, and with a digest over
//! everything that is left.
//!
//! **Invariant: plugins see here what they would see of the uploaded archive.** They are shown a copy
//! (hard links where the file system allows it), so that an ignored build output is no sign of
//! anything.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use windlass_model::{Digest, Failure, Limits};

/// A folder's copy; removed when dropped.
#[derive(Debug)]
pub struct Tree {
    folder: TempDir,
    digest: Digest,
    files: u64,
}

impl Tree {
    /// Copies `root` to a new folder below `scratch`.
    ///
    /// # Errors
    /// `detect.source-unreadable`, `detect.source-too-large`.
    pub fn of_folder(root: &Path, scratch: &Path, limits: &Limits) -> Result<Self, Failure> {
        let made = fs::create_dir_all(scratch)
            .and_then(|()| tempfile::Builder::new().prefix("source-").tempdir_in(scratch));
        let folder = made.map_err(|e| unreadable(scratch, &e))?;
        let mut copy = Copying {
            root,
            to: folder.path().to_owned(),
            limits,
            hasher: Sha256::new(),
            files: 0,
            bytes: 0,
        };
        let walk = WalkBuilder::new(root)
            .hidden(false)
            .ignore(false)
            .require_git(false)
            .follow_links(false)
            .sort_by_file_name(OsStr::cmp)
            .filter_entry(|entry| entry.file_name() != ".git")
            .build();
        for entry in walk {
            let entry = entry.map_err(|e| unreadable(root, &io::Error::other(e)))?;
            if entry.depth() > 0 {
                copy.add(&entry)?;
            }
        }
        let digest = Digest::from_sha256(copy.hasher.finalize().into());
        Ok(Self { folder, digest, files: copy.files })
    }

    /// Where the copy is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Over paths, kinds and contents of everything in it.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Files and links in it.
    pub fn files(&self) -> u64 {
        self.files
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::app(
        "detect.source-unreadable",
        format!("{} cannot be read", path.display()),
        error.to_string(),
        "make it readable, or name it in .gitignore if it is not part of the source",
    )
}

struct Copying<'a> {
    root: &'a Path,
    to: PathBuf,
    limits: &'a Limits,
    hasher: Sha256,
    files: u64,
    bytes: u64,
}

impl Copying<'_> {
    fn add(&mut self, entry: &DirEntry) -> Result<(), Failure> {
        let path = entry.path();
        self.copy(entry, path).map_err(|e| unreadable(path, &e))?;
        if self.files > self.limits.source_files_max || self.bytes > self.limits.source_bytes_max {
            return Err(Failure::app(
                "detect.source-too-large",
                format!("{} is too large for a source", self.root.display()),
                format!(
                    "it has more than {} files or {} bytes that .gitignore does not name",
                    self.limits.source_files_max, self.limits.source_bytes_max
                ),
                "name what is not source in .gitignore",
            ));
        }
        Ok(())
    }

    fn copy(&mut self, entry: &DirEntry, path: &Path) -> io::Result<()> {
        let inside = path.strip_prefix(self.root).unwrap_or(path);
        let to = self.to.join(inside);
        let Some(kind) = entry.file_type() else { return Ok(()) };
        if kind.is_dir() {
            return fs::create_dir(&to);
        }
        if kind.is_symlink() {
            let target = fs::read_link(path)?;
            self.note(b'l', inside.as_os_str(), target.as_os_str().len() as u64);
            self.hasher.update(target.as_os_str().as_bytes());
            return symlink(target, to);
        }
        if kind.is_file() {
            let meta = fs::metadata(path)?;
            let executable = meta.permissions().mode() & 0o100 != 0;
            self.note(if executable { b'x' } else { b'f' }, inside.as_os_str(), meta.len());
            self.hash_content(path)?;
            if fs::hard_link(path, &to).is_err() {
                fs::copy(path, &to)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, kind: u8, inside: &OsStr, len: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(len);
        self.hasher.update([kind]);
        self.hasher.update((inside.len() as u64).to_le_bytes());
        self.hasher.update(inside.as_bytes());
        self.hasher.update(len.to_le_bytes());
    }

    fn hash_content(&mut self, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut buffer = [0_u8; 64 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                n => self.hasher.update(&buffer[..n]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use windlass_test_support::folder_of;

    use super::*;

    /// The folder's copy, and the folder that it lies in.
    fn tree(root: &Path) -> (Tree, TempDir) {
        let scratch = tempfile::tempdir().unwrap();
        (Tree::of_folder(root, scratch.path(), &Limits::default()).unwrap(), scratch)
    }

    #[test]
    fn ignored_files_are_not_seen() {
        let root = folder_of(&[
            (".gitignore", "dist/\n"),
            ("dist/index.html", "x"),
            ("a/b.txt", "b"),
            (".git/HEAD", "x"),
        ]);
        let (tree, _scratch) = tree(root.path());
        assert!(tree.path().join("a/b.txt").is_file());
        assert!(!tree.path().join("dist").exists() && !tree.path().join(".git").exists());
        assert_eq!(tree.files(), 2);
    }

    #[test]
    fn the_digest_stands_for_paths_modes_and_contents() {
        let same = |files: &[(&str, &str)]| tree(folder_of(files).path()).0.digest().clone();
        let base = same(&[("a", "1"), ("b", "2")]);
        assert_eq!(base, same(&[("b", "2"), ("a", "1")]));
        assert_ne!(base, same(&[("a", "1"), ("b", "3")]));
        assert_ne!(base, same(&[("a", "12"), ("b", "")]));
        assert_ne!(base, same(&[("a", "1"), ("c", "2")]));
        let root = folder_of(&[("a", "1"), ("b", "2")]);
        fs::set_permissions(root.path().join("b"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(base, tree(root.path()).0.digest().clone());
    }

    #[test]
    fn too_many_files_are_refused() {
        let root = folder_of(&[("a", "1"), ("b", "2")]);
        let limits = Limits { source_files_max: 1, ..Limits::default() };
        let scratch = tempfile::tempdir().unwrap();
        let failure = Tree::of_folder(root.path(), scratch.path(), &limits).unwrap_err();
        assert_eq!(failure.code, "detect.source-too-large");
    }
}
