//! The source tree of a build: listed at most once, hashed as far as it is asked for.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sha2::{Digest as _, Sha256};
use windlass_model::Digest;

use crate::request::SourceDigests;
use crate::rooted::{Entry, Kind, Root};

pub(crate) mod named;
mod select;
mod stat;
pub(crate) use select::{Candidate, Chosen, SelectError, Selection, select};
pub(crate) use stat::StatCache;

/// A directory and what is in it.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The directory.
    pub(crate) root: Root,
    listed: OnceLock<Vec<Entry>>,
    listing: Mutex<()>,
    /// Where it lies on the host.
    pub(crate) path: PathBuf,
    prefix: PathBuf,
    known: SourceDigests,
    hashed: Mutex<HashMap<PathBuf, String>>,
    stats: Option<StatCache>,
}

impl Tree {
    /// The application's part of a source tree. `known` are Git's ids by path from the tree's root.
    pub(crate) fn source(
        dir: &Path,
        app_dir: &str,
        known: Option<SourceDigests>,
    ) -> io::Result<Self> {
        let whole = Root::open(dir)?;
        let root = whole.sub(Path::new(app_dir))?;
        let path = whole.resolved(Path::new(app_dir))?;
        let prefix = path.strip_prefix(dir.canonicalize()?).unwrap_or(Path::new("")).to_owned();
        let known = known.unwrap_or_default();
        let (listed, listing, hashed) = (OnceLock::new(), Mutex::default(), Mutex::default());
        Ok(Self { root, listed, listing, path, prefix, known, hashed, stats: None })
    }

    /// Remembers what is hashed from one build to the next, in this data directory. Not for what lies in
    /// the data directory itself: such a tree is made anew for each build.
    pub(crate) fn remembered(mut self, data_dir: &Path) -> Self {
        if !self.path.starts_with(data_dir) {
            self.stats = Some(StatCache::open(data_dir, &self.path));
        }
        self
    }

    /// Keeps what was hashed for the next build.
    pub(crate) fn save_stats(&self) -> io::Result<()> {
        self.stats.as_ref().map_or(Ok(()), StatCache::save)
    }

    /// Any directory.
    pub(crate) fn dir(path: &Path) -> io::Result<Self> {
        Self::source(path, "", None)
    }

    /// Everything in it, as it was when this was first asked for.
    pub(crate) fn entries(&self) -> io::Result<&[Entry]> {
        // Who comes meanwhile waits, and lists nothing.
        let _listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listed) = self.listed.get() {
            return Ok(listed);
        }
        let listed = self.root.walk()?;
        Ok(self.listed.get_or_init(|| listed))
    }

    /// What a copy of these globs means.
    pub(crate) fn select(&self, copy: &CopySources<'_>) -> Result<Selection, SelectError> {
        let candidate = |e: &'_ Entry| e.kind == Kind::Dir;
        let entries = self.entries().map_err(|e| SelectError::Unlisted(e.to_string()))?;
        let candidates: Vec<Candidate<'_>> =
            entries.iter().map(|e| Candidate { path: &e.path, is_dir: candidate(e) }).collect();
        let CopySources { sources, exclude, dest, parents, without_git } = *copy;
        select(&candidates, sources, exclude, dest, parents, without_git)
    }

    /// The digest of what was selected: paths, kinds, executable bits and contents, and whether it goes into a
    /// directory.
    pub(crate) fn digest(&self, selection: &Selection) -> io::Result<Digest> {
        let (entries, mut sha) = (self.entries()?, Sha256::new());
        sha.update([u8::from(selection.into_dir)]);
        for Chosen { index, to } in &selection.chosen {
            let entry = &entries[*index];
            sha.update(to.as_os_str().as_bytes());
            sha.update([0]);
            sha.update(self.content_id(entry)?.as_bytes());
            sha.update([0]);
        }
        Ok(Digest::from_sha256(sha.finalize().into()))
    }

    /// The files that were selected by name, each with the beginning of its digest; where there are very
    /// many, the folders of the first levels that hold few enough.
    pub(crate) fn named(&self, selection: &Selection) -> io::Result<BTreeMap<String, String>> {
        let entries = self.entries()?;
        let mut files: Vec<(PathBuf, String)> = Vec::with_capacity(selection.chosen.len());
        for Chosen { index, .. } in &selection.chosen {
            let entry = &entries[*index];
            if entry.kind != Kind::Dir {
                files.push((entry.path.clone(), self.content_id(entry)?));
            }
        }
        Ok(named::grouped(&files))
    }

    /// What stands for an entry's content in a digest.
    pub(crate) fn content_id(&self, entry: &Entry) -> io::Result<String> {
        Ok(match &entry.kind {
            Kind::Dir => "dir".to_owned(),
            Kind::Other => "other".to_owned(),
            Kind::Symlink(target) => format!("link:{}", hex::encode(target.as_bytes())),
            Kind::File { .. } => {
                let from_root = self.prefix.join(&entry.path);
                let known = from_root.to_str().and_then(|path| self.known.get(path));
                if let Some((mode, oid)) = known {
                    return Ok(format!("git:{mode}:{oid}"));
                }
                let executable = entry.mode & 0o111 != 0;
                format!("file:{executable}:{}", self.file_sha256(&entry.path)?)
            }
        })
    }

    fn hashes(&self) -> MutexGuard<'_, HashMap<PathBuf, String>> {
        self.hashed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file_sha256(&self, path: &Path) -> io::Result<String> {
        if let Some(known) = self.hashes().get(path) {
            return Ok(known.clone());
        }
        let mut file = self.root.open_file(path)?;
        let before = file.metadata()?;
        let known = self.stats.as_ref().and_then(|stats| stats.get(path, &before));
        let hash = match known {
            Some(hash) => hash,
            None => sha256_of(&mut file)?,
        };
        if let Some(stats) = &self.stats {
            stats.put(path, &before, &hash);
        }
        self.hashes().insert(path.to_owned(), hash.clone());
        Ok(hash)
    }
}

/// The sources of a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CopySources<'a> {
    /// Globs.
    pub(crate) sources: &'a [String],
    /// Globs that are left out.
    pub(crate) exclude: &'a [String],
    /// Where to.
    pub(crate) dest: &'a str,
    /// Whether paths are kept.
    pub(crate) parents: bool,
    /// Whether `.git` is left out.
    pub(crate) without_git: bool,
}

/// SHA-256 of all that is read, in hexadecimal digits.
pub(crate) fn sha256_of(reader: &mut dyn Read) -> io::Result<String> {
    let mut sha = Sha256::new();
    let mut buffer = vec![0_u8; 128 * 1024];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex::encode(sha.finalize())),
            n => sha.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(dir: &Path, known: Option<SourceDigests>) -> Digest {
        let tree = Tree::source(dir, "app", known).unwrap();
        let all = [".".to_owned()];
        let copy = CopySources {
            sources: &all,
            exclude: &[],
            dest: "/app/",
            parents: false,
            without_git: true,
        };
        let selection = tree.select(&copy).unwrap();
        tree.digest(&selection).unwrap()
    }

    #[test]
    fn the_digest_follows_contents_and_not_times() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("app")).unwrap();
        let file = dir.path().join("app/x");
        std::fs::write(&file, "one").unwrap();
        let first = digest_of(dir.path(), None);
        std::fs::write(&file, "two").unwrap();
        assert_ne!(digest_of(dir.path(), None), first);
        std::fs::write(&file, "one").unwrap();
        assert_eq!(digest_of(dir.path(), None), first);
    }

    #[test]
    fn a_file_that_becomes_a_folder_with_that_file_has_another_digest() {
        let dir = tempfile::tempdir().unwrap();
        let digest = || {
            let sources = ["x".to_owned()];
            let copy = CopySources {
                sources: &sources,
                exclude: &[],
                dest: "/to",
                parents: false,
                without_git: true,
            };
            let tree = Tree::dir(dir.path()).unwrap();
            tree.digest(&tree.select(&copy).unwrap()).unwrap()
        };
        std::fs::write(dir.path().join("x"), "same").unwrap();
        let file = digest();
        std::fs::remove_file(dir.path().join("x")).unwrap();
        std::fs::create_dir(dir.path().join("x")).unwrap();
        std::fs::write(dir.path().join("x/x"), "same").unwrap();
        assert_ne!(digest(), file);
    }

    #[test]
    fn a_folder_that_did_not_change_is_read_once() {
        let (dir, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("x"), "one").unwrap();
        let open = || Tree::dir(dir.path()).unwrap().remembered(data.path());
        let hash = |tree: &Tree| tree.file_sha256(Path::new("x")).unwrap();
        let first = hash(&open());
        // What is remembered is taken: a digest that was planted is found again.
        let tree = open();
        let stats = tree.stats.as_ref().unwrap();
        let meta = std::fs::metadata(dir.path().join("x")).unwrap();
        let start = std::time::Instant::now();
        while stats.get(Path::new("x"), &meta).is_none() {
            stats.put(Path::new("x"), &meta, "planted");
            assert!(start.elapsed() < std::time::Duration::from_secs(20));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        tree.save_stats().unwrap();
        assert_eq!(hash(&open()), "planted");
        std::fs::write(dir.path().join("x"), "one").unwrap();
        assert_eq!(hash(&open()), first);
        let inside = Tree::dir(dir.path()).unwrap().remembered(dir.path());
        assert!(inside.stats.is_none(), "a workspace of the host itself is not remembered");
    }

    #[test]
    fn known_ids_are_taken_by_the_path_from_the_root_of_the_source() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("app")).unwrap();
        std::fs::write(dir.path().join("app/x"), "one").unwrap();
        let known = |oid: &str| {
            Some(SourceDigests::from([("app/x".into(), ("100644".into(), oid.into()))]))
        };
        assert_eq!(digest_of(dir.path(), known("a")), digest_of(dir.path(), known("a")));
        assert_ne!(digest_of(dir.path(), known("a")), digest_of(dir.path(), known("b")));
    }
}
