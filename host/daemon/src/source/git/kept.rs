//! The last checkout of a repository, kept for the next deployment of it. Two commits in a row have nearly all
//! of their files in common, and to write and to remove all of them each time costs more than the rest of a fetch.
//!
//! **Invariants**
//! - A checkout lies in one place, a deployment's folder or beside the repository's cache, and goes from one to the
//!   other by a rename: no two deployments have the same one.
//! - What is taken over is the tree of the new commit to the last file, or it is thrown away. Git's index tells of
//!   every file whether anything of it changed since Git wrote it, the time of change of the inode included,
//!   and nothing may lie there that the commit has not.
//! - All that decides beside the commit what its files look like is in [`Terms`], and must be the same.

use std::collections::{BTreeMap, HashSet};
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use serde::{Deserialize, Serialize};
use windlass_model::{Digest, Failure};

use super::Remote;
use super::export::{Listing, SYMLINK};
use super::run::{Git, GitFailed};
use crate::source::{Place, TreeEntry, blocking, gone_dir, remove_tree};

/// Trees of fewer files are written faster than looked through.
const FILES_MIN: usize = 500;
/// What a repository's checkout ends with, beside its cache, which ends with `git`.
const EXTENSION: &str = "tree";
/// In a deployment's folder, and beside the files where they are kept.
const NOTE_FILE: &str = "checkout.json";
const SOURCE: &str = "source";
/// Git's index: of every file its state when it was written.
pub(in crate::source) const INDEX: &str = "index";

/// Where a checkout belongs, and what it was made under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// `PROJECT/ADDRESS.tree`, from the folder of repositories.
    home: String,
    terms: Terms,
}

/// What beside the commit decides what its files look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Terms {
    /// The machine's boot: files of an earlier one may be cut off.
    boot: String,
    /// Of Windlass, which says how Git writes files.
    version: String,
    /// Every `.gitattributes` of the tree.
    attributes: Digest,
}

/// The checkout that is kept of a repository, as it has to be for a certain tree.
pub(super) struct Kept {
    home: PathBuf,
    note: Note,
}

impl Kept {
    /// None for a tree that is not kept: a small one, and one with submodules or with names that are not
    /// UTF-8.
    pub(super) fn of(remote: &Remote<'_>, listing: &Listing) -> Option<Self> {
        let plain = |path: &String| !path.contains('\u{fffd}');
        let fits = listing.entries.len() >= FILES_MIN
            && listing.submodules.is_empty()
            && listing.entries.keys().all(plain);
        let boot = Some(windlass_containers::boot_id()).filter(|id| fits && !id.is_empty())?;
        let home = remote.cache_dir().with_extension(EXTENSION);
        let name = home.file_name()?.to_str()?;
        let note = Note {
            home: format!("{}/{name}", remote.project),
            terms: Terms {
                boot,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                attributes: attributes(&listing.entries),
            },
        };
        Some(Self { home, note })
    }

    /// Makes the kept checkout the place's, at this commit. False, with an empty place, where none is kept or
    /// anything about it is in doubt.
    pub(super) async fn take_over(
        &self,
        git: &Git<'_>,
        commit: &str,
        place: &Place,
        listing: &Listing,
    ) -> Result<bool, Failure> {
        let (home, note) = (self.home.clone(), self.note.clone());
        let (aside, root, index) = (place.scratch("kept"), place.partial(), place.scratch(INDEX));
        let bring = move || bring(&home, &note, &aside, &root, &index);
        if !blocking("take the kept checkout over", bring).await? {
            return Ok(false);
        }
        let doubt = match update(git, commit, place).await {
            Err(error) => Some(format!("{error:?}")),
            Ok(()) => {
                let (root, entries) = (place.partial(), listing.entries.clone());
                let look = move || surplus(&root, &entries).or_else(|e| Ok(Some(e.to_string())));
                blocking("look through the kept checkout", look).await?
            }
        };
        let Some(why) = doubt else { return Ok(true) };
        tracing::debug!(why, "the kept checkout is thrown away");
        place.empty().await?;
        Ok(false)
    }

    /// Notes beside the place's tree that it is to be kept once the deployment needs it no more.
    pub(super) async fn note(&self, place: &Place) -> Result<(), Failure> {
        let (file, note) = (place.scratch(NOTE_FILE), self.note.clone());
        blocking("note the checkout", move || std::fs::write(file, serde_json::to_vec(&note)?))
            .await
    }
}

/// Moves the kept checkout into a deployment's folder, if it is one to go on from.
fn bring(home: &Path, note: &Note, aside: &Path, root: &Path, index: &Path) -> io::Result<bool> {
    if std::fs::rename(home, aside).is_err() {
        return Ok(false);
    }
    let known = read_note(aside).is_some_and(|known| known == *note);
    let brought = known && aside.join(INDEX).is_file() && aside.join(SOURCE).is_dir();
    if brought {
        remove_tree(root)?;
        std::fs::rename(aside.join(SOURCE), root)?;
        std::fs::rename(aside.join(INDEX), index)?;
    }
    remove_tree(aside)?;
    Ok(brought)
}

/// Writes what differs, and has Git look at every file. It refuses where a file that it would write is not as
/// it left it.
async fn update(git: &Git<'_>, commit: &str, place: &Place) -> Result<(), GitFailed> {
    let (root, index) = (place.partial(), place.scratch(INDEX));
    let env: [(&str, &Path); 2] = [("GIT_INDEX_FILE", &index), ("GIT_WORK_TREE", &root)];
    let git = git.silent();
    git.run_bytes(&["read-tree", "-m", "-u", commit], &env).await?;
    git.run_bytes(&["diff-files", "--quiet"], &env).await.map(drop)
}

/// What lies in a tree and not in its list, or the other way round: the first thing that is found. What files
/// hold is not looked at.
fn surplus(root: &Path, entries: &BTreeMap<String, TreeEntry>) -> io::Result<Option<String>> {
    let folders = folders_of(entries);
    let own = root.symlink_metadata()?;
    let is_like_root = |meta: &Metadata| {
        (meta.mode(), meta.uid(), meta.gid()) == (own.mode(), own.uid(), own.gid())
    };
    let mut missing = entries.len() + folders.len();
    let mut next = vec![String::new()];
    while let Some(folder) = next.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            let name = name.to_string_lossy();
            let path = if folder.is_empty() { name.into() } else { format!("{folder}/{name}") };
            let is_known = match entries.get(&path) {
                _ if kind.is_dir() => {
                    folders.contains(path.as_str()) && is_like_root(&entry.metadata()?)
                }
                Some(known) if known.mode == SYMLINK => kind.is_symlink(),
                Some(_) => kind.is_file(),
                None => false,
            };
            if !is_known {
                return Ok(Some(path));
            }
            missing -= 1;
            if kind.is_dir() {
                next.push(path);
            }
        }
    }
    Ok((missing > 0).then(|| format!("{missing} names are missing")))
}

/// The folders that files lie in.
fn folders_of(entries: &BTreeMap<String, TreeEntry>) -> HashSet<&str> {
    let mut folders = HashSet::new();
    for path in entries.keys() {
        let mut rest = path.as_str();
        while let Some((parent, _)) = rest.rsplit_once('/')
            && folders.insert(parent)
        {
            rest = parent;
        }
    }
    folders
}

/// Gives the checkout in a deployment's folder back to its repository, where it is to be kept. One that the
/// repository has already is older: it comes into the folder instead, and goes with it.
///
/// # Errors
/// When it could not be moved: it goes with the folder then.
pub(in crate::source) fn give_back(data_dir: &Path, work_dir: &Path) -> io::Result<()> {
    let Some(note) = read_note(work_dir) else { return Ok(()) };
    let home = repositories(data_dir).join(&note.home);
    let bundle = work_dir.join("kept");
    std::fs::create_dir(&bundle)?;
    for name in [SOURCE, INDEX, NOTE_FILE] {
        std::fs::rename(work_dir.join(name), bundle.join(name))?;
    }
    match std::fs::rename(&bundle, &home) {
        Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            rustix::fs::renameat_with(CWD, &bundle, CWD, &home, RenameFlags::EXCHANGE)?;
            Ok(())
        }
        moved => moved,
    }
}

/// All checkouts that are kept, with the time at which each was.
pub(crate) fn all(data_dir: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let projects = std::fs::read_dir(repositories(data_dir)).into_iter().flatten().flatten();
    let inside = |project: std::fs::DirEntry| std::fs::read_dir(project.path());
    let found = projects.filter_map(|project| inside(project).ok()).flatten().flatten();
    let kept = found.filter(|entry| entry.path().extension().is_some_and(|x| x == EXTENSION));
    kept.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.modified().ok()?))).collect()
}

/// Removes a kept checkout, unless a deployment has taken it over meanwhile.
///
/// # Errors
/// When it cannot be moved aside, or not be removed.
pub(crate) fn remove(data_dir: &Path, kept: &Path) -> io::Result<()> {
    let aside = gone_dir(data_dir);
    std::fs::create_dir_all(data_dir.join("work"))?;
    match std::fs::rename(kept, &aside) {
        Ok(()) => remove_tree(&aside),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

fn repositories(data_dir: &Path) -> PathBuf {
    data_dir.join(super::CACHE)
}

fn read_note(dir: &Path) -> Option<Note> {
    serde_json::from_slice(&std::fs::read(dir.join(NOTE_FILE)).ok()?).ok()
}

fn attributes(entries: &BTreeMap<String, TreeEntry>) -> Digest {
    let is_one = |path: &str| path.rsplit('/').next() == Some(".gitattributes");
    let all: BTreeMap<_, _> = entries.iter().filter(|(path, _)| is_one(path)).collect();
    Digest::of_json(&all)
}
