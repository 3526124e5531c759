//! The present folder as a `tar.gz`, as Git would see it.
//!
//! **Invariants:** what `.gitignore` (and Git's other exclude files) name, and `.git` itself, is never
//! in it; the same files give the same bytes (sorted, times and owners cleared). The archive goes
//! through an unnamed file on disk, so its size is known before it is sent and memory stays small.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ignore::{DirEntry, WalkBuilder};
use tar::{Builder, EntryType, Header, HeaderMode};

use crate::exit::{CliError, CliResult};

/// A finished archive.
#[derive(Debug)]
pub struct Archive {
    /// Open for reading, at its start.
    pub file: File,
    /// Its size.
    pub bytes: u64,
    /// Files and links in it.
    pub files: u64,
    /// Sockets, pipes and devices that were left out.
    pub left_out: Vec<PathBuf>,
}

/// Packs a folder.
///
/// # Errors
/// `cli.no-such-folder`, `cli.nothing-to-deploy`, `cli.archive` when a file cannot be read or the
/// temporary file cannot be written.
pub fn pack(root: &Path) -> CliResult<Archive> {
    pack_walk(root, true)
}

/// Packs a folder of finished files: what was built is often named in `.gitignore`, so that does not
/// count here.
///
/// # Errors
/// Those of [`pack`].
pub fn pack_all(root: &Path) -> CliResult<Archive> {
    pack_walk(root, false)
}

fn pack_walk(root: &Path, as_git: bool) -> CliResult<Archive> {
    if !root.is_dir() {
        return Err(CliError::bad_input(
            "cli.no-such-folder",
            format!("{} is not a folder", root.display()),
            "a Git address has `://` or the form user@host:path; anything else is taken as a folder",
            "name a folder, or a Git address such as https://example.com/me/app.git",
        ));
    }
    let mut packer = Packer::new(root)?;
    for entry in walk(root, as_git) {
        let entry = entry.map_err(|e| failed(root, &e.to_string()))?;
        if entry.depth() > 0 {
            packer.add(&entry)?;
        }
    }
    let archive = packer.finish()?;
    if archive.files == 0 {
        return Err(CliError::bad_input(
            "cli.nothing-to-deploy",
            format!("there is no file to deploy in {}", root.display()),
            "it is empty, or everything in it is ignored by .gitignore",
            "go to the project's folder, or name it: `windlass deploy PATH`",
        ));
    }
    Ok(archive)
}

fn walk(root: &Path, as_git: bool) -> ignore::Walk {
    WalkBuilder::new(root)
        .hidden(false)
        .ignore(false)
        .git_ignore(as_git)
        .git_exclude(as_git)
        .git_global(as_git)
        .parents(as_git)
        .require_git(false)
        .follow_links(false)
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build()
}

fn failed(path: &Path, why: &str) -> Box<CliError> {
    CliError::bad_input(
        "cli.archive",
        format!("cannot pack {}", path.display()),
        why,
        "make the files readable and links relative, or name what is not needed in .gitignore; the \
         archive is written to the folder for temporary files (TMPDIR), which needs space",
    )
}

struct Packer<'a> {
    root: &'a Path,
    tar: Builder<GzEncoder<BufWriter<File>>>,
    files: u64,
    left_out: Vec<PathBuf>,
}

impl<'a> Packer<'a> {
    fn new(root: &'a Path) -> CliResult<Self> {
        let file = tempfile::tempfile().map_err(|e| failed(root, &e.to_string()))?;
        let gzip = GzEncoder::new(BufWriter::new(file), Compression::new(3));
        let mut tar = Builder::new(gzip);
        tar.mode(HeaderMode::Deterministic);
        tar.follow_symlinks(false);
        Ok(Self { root, tar, files: 0, left_out: Vec::new() })
    }

    fn add(&mut self, entry: &DirEntry) -> CliResult<()> {
        let path = entry.path();
        let inside = path.strip_prefix(self.root).unwrap_or(path).to_owned();
        let Some(kind) = entry.file_type() else {
            return Ok(());
        };
        let added = if kind.is_dir() {
            self.tar.append_dir(&inside, path)
        } else if kind.is_symlink() {
            self.files += 1;
            self.add_link(&inside, path)
        } else if kind.is_file() {
            self.files += 1;
            File::open(path).and_then(|mut file| self.tar.append_file(&inside, &mut file))
        } else {
            self.left_out.push(inside);
            return Ok(());
        };
        added.map_err(|e| failed(path, &e.to_string()))
    }

    fn add_link(&mut self, inside: &Path, path: &Path) -> std::io::Result<()> {
        let target = std::fs::read_link(path)?;
        if target.is_absolute() {
            return Err(std::io::Error::other(format!(
                "it is a symbolic link to {}, outside of what is deployed",
                target.display()
            )));
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        header.set_mtime(0);
        self.tar.append_link(&mut header, inside, target)
    }

    fn finish(self) -> CliResult<Archive> {
        let root = self.root;
        let finish = || -> std::io::Result<(File, u64)> {
            let mut writer = self.tar.into_inner()?.finish()?;
            writer.flush()?;
            let mut file = writer.into_inner().map_err(|e| e.into_error())?;
            let bytes = file.stream_position()?;
            file.rewind()?;
            Ok((file, bytes))
        };
        let (file, bytes) = finish().map_err(|e| failed(root, &e.to_string()))?;
        Ok(Archive { file, bytes, files: self.files, left_out: self.left_out })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use windlass_test_support::folder_of;

    use super::*;

    fn contents(archive: Archive) -> BTreeMap<String, String> {
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive.file));
        let mut found = BTreeMap::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            match entry.link_name().unwrap() {
                Some(target) => text = format!("-> {}", target.display()),
                None => drop(entry.read_to_string(&mut text).unwrap()),
            }
            if !entry.header().entry_type().is_dir() {
                found.insert(path, text);
            }
        }
        found
    }

    #[test]
    fn gitignore_is_respected_and_git_left_out() {
        let root = folder_of(&[
            (".gitignore", "node_modules/\n*.log\n!keep.log\n"),
            (".git/config", "x"),
            ("app.js", "hello"),
            ("debug.log", "x"),
            ("keep.log", "kept"),
            ("node_modules/a/index.js", "x"),
            ("sub/.gitignore", "secret.txt\n"),
            ("sub/secret.txt", "x"),
            ("sub/page.html", "p"),
            (".env.example", "A="),
        ]);
        std::os::unix::fs::symlink("app.js", root.path().join("main.js")).unwrap();
        let found = contents(pack(root.path()).unwrap());
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        let expected = [
            ".env.example",
            ".gitignore",
            "app.js",
            "keep.log",
            "main.js",
            "sub/.gitignore",
            "sub/page.html",
        ];
        assert_eq!(names, expected);
        assert_eq!(found["app.js"], "hello");
        assert_eq!(found["main.js"], "-> app.js");
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let bytes = |root: &Path| {
            let mut all = Vec::new();
            let mut archive = pack(root).unwrap();
            archive.file.read_to_end(&mut all).unwrap();
            assert_eq!(all.len() as u64, archive.bytes);
            all
        };
        let files = [("b.txt", "2"), ("a/c.txt", "1")];
        let (one, other) = (folder_of(&files), folder_of(&files));
        let old = std::time::SystemTime::UNIX_EPOCH;
        File::options()
            .write(true)
            .open(other.path().join("b.txt"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert_eq!(bytes(one.path()), bytes(other.path()));
    }

    #[test]
    fn long_paths_survive() {
        let long = format!("{}/{}.txt", "d".repeat(120), "f".repeat(150));
        let root = folder_of(&[(&long, "x")]);
        assert!(contents(pack(root.path()).unwrap()).contains_key(&long));
    }

    #[test]
    fn a_link_to_an_absolute_path_is_refused_before_anything_is_sent() {
        let root = folder_of(&[("a.txt", "x")]);
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("users")).unwrap();
        let failure = pack(root.path()).unwrap_err().failure;
        assert_eq!(failure.code, "cli.archive");
        assert!(failure.why.contains("/etc/passwd"), "{}", failure.why);
    }

    #[test]
    fn what_is_no_folder_or_empty_is_refused() {
        let root = folder_of(&[(".gitignore", "*\n"), ("a.txt", "x")]);
        assert_eq!(pack(root.path()).unwrap_err().failure.code, "cli.nothing-to-deploy");
        let code = pack(&root.path().join("a.txt")).unwrap_err().failure.code;
        assert_eq!(code, "cli.no-such-folder");
    }

    #[test]
    fn pipes_are_left_out_and_named() {
        let root = folder_of(&[("a.txt", "x")]);
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("sock")).unwrap();
        assert_eq!(pack(root.path()).unwrap().left_out, [PathBuf::from("sock")]);
    }
}
