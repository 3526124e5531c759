//! From a commit in the cache to a tree of files without `.git`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use windlass_model::{Failure, Limits};

use super::Opened;
use super::failures::{Asked, classify};
use super::kept::{self, Kept};
use super::run::{Git, GitFailed};
use crate::source::{Place, TreeEntry, blocking, too_large};

/// An LFS pointer is a small text file; only files of these sizes are looked into.
const LFS_POINTER_BYTES: std::ops::RangeInclusive<u64> = 100..=400;
const LFS_POINTER_START: &[u8; 40] = b"version https://git-lfs.github.com/spec/";
/// Mode of a symbolic link.
pub(super) const SYMLINK: &str = "120000";
/// Files looked into for LFS pointers.
const LFS_CANDIDATES_MAX: usize = 5_000;

/// What was written, and what the commit says of itself.
pub(super) struct Exported {
    pub(super) tree_oid: String,
    pub(super) subject: String,
    pub(super) author: String,
    pub(super) entries: BTreeMap<String, TreeEntry>,
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Path and commit of each submodule; their folders are empty.
    pub(super) submodules: Vec<(String, String)>,
    /// Files that are only pointers of Git LFS.
    pub(super) pointers: Vec<String>,
}

/// What a commit says of itself, and what its tree holds.
struct Described {
    tree_oid: String,
    subject: String,
    author: String,
    listing: Listing,
}

/// What a tree holds, as `git ls-tree` lists it.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) entries: BTreeMap<String, TreeEntry>,
    pub(super) submodules: Vec<(String, String)>,
    lfs_candidates: Vec<String>,
    bytes: u64,
}

/// Writes the tree of a commit into the place, within the limits. Where the checkout of another commit was kept,
/// only what differs is written.
pub(super) async fn export(
    opened: &Opened<'_>,
    commit: &str,
    place: &Place,
) -> Result<Exported, Failure> {
    let git = &opened.git;
    let described = describe(git, commit, opened.remote.limits).await?;
    let (root, index) = (place.partial(), place.scratch(kept::INDEX));
    let Some(kept) = Kept::of(&opened.remote, &described.listing) else {
        check_out(git, commit, &root, &index).await?;
        return finish(described, &root, Some(&index)).await;
    };
    if !kept.take_over(git, commit, place, &described.listing).await? {
        check_out(git, commit, &root, &index).await?;
    }
    kept.note(place).await?;
    finish(described, &root, None).await
}

/// Writes the tree of a commit into a folder. `index` is a file for this call alone.
pub(super) async fn tree(
    git: &Git<'_>,
    commit: &str,
    root: &Path,
    index: &Path,
    limits: &Limits,
) -> Result<Exported, Failure> {
    let described = describe(git, commit, limits).await?;
    check_out(git, commit, root, index).await?;
    finish(described, root, Some(index)).await
}

async fn describe(git: &Git<'_>, commit: &str, limits: &Limits) -> Result<Described, Failure> {
    let format = "--format=%T%x00%s%x00%an";
    let log = ["log", "-1", "--no-show-signature", format, commit];
    let list = ["ls-tree", "-r", "-z", "-l", "--full-tree", commit];
    let (said, listed) = tokio::join!(git.run(&log), git.run_bytes(&list, &[]));
    let said = said.map_err(failed)?;
    let mut parts = said.trim_end_matches('\n').split('\0').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let (tree_oid, subject, author) = (part(), part(), part());
    let listing = parse_listing(&listed.map_err(failed)?).map_err(|what| {
        // Git says BAD for the size of a file that is gone from the cache.
        failed(GitFailed::Exited { stderr: format!("git ls-tree wrote {what}") })
    })?;
    check_size(&listing, limits)?;
    Ok(Described { tree_oid, subject, author, listing })
}

/// Writes every file anew. The index knows the state of each one afterwards.
async fn check_out(git: &Git<'_>, commit: &str, root: &Path, index: &Path) -> Result<(), Failure> {
    let env: [(&str, &Path); 2] = [("GIT_INDEX_FILE", index), ("GIT_WORK_TREE", root)];
    git.run_bytes(&["read-tree", commit], &env).await.map_err(failed)?;
    let args = ["checkout-index", "--all", "--force", "--index", "--quiet"];
    git.run_bytes(&args, &env).await.map(drop).map_err(failed)
}

/// Looks into what was written; an index that nobody needs any more goes.
async fn finish(
    described: Described,
    root: &Path,
    index: Option<&Path>,
) -> Result<Exported, Failure> {
    let Described { tree_oid, subject, author, listing } = described;
    let (candidates, root) = (listing.lfs_candidates, root.to_owned());
    let index = index.map(Path::to_owned);
    let pointers = blocking("look for LFS pointers", move || {
        index.map_or(Ok(()), std::fs::remove_file)?;
        Ok(lfs_pointers(&root, candidates))
    })
    .await?;
    Ok(Exported {
        tree_oid,
        subject,
        author,
        files: listing.entries.len() as u64,
        bytes: listing.bytes,
        submodules: listing.submodules,
        pointers,
        entries: listing.entries,
    })
}

fn failed(error: GitFailed) -> Failure {
    classify(error, &Asked::nothing())
}

fn check_size(listing: &Listing, limits: &Limits) -> Result<(), Failure> {
    if listing.entries.len() as u64 > limits.source_files_max {
        let why = format!("it has {} files", listing.entries.len());
        return Err(too_large(why, "source_files_max"));
    }
    if listing.bytes > limits.source_bytes_max {
        return Err(too_large(format!("it has {} bytes", listing.bytes), "source_bytes_max"));
    }
    Ok(())
}

/// Reads `<mode> <type> <oid> <size>\t<path>\0`, as often as there are entries.
fn parse_listing(bytes: &[u8]) -> Result<Listing, &'static str> {
    let mut listing = Listing::default();
    for record in bytes.split(|b| *b == 0).filter(|record| !record.is_empty()) {
        let tab = record.iter().position(|b| *b == b'\t').ok_or("a record without a path")?;
        let head = std::str::from_utf8(&record[..tab]).map_err(|_| "a record that is not text")?;
        let mut fields = head.split_ascii_whitespace();
        let mut field = || fields.next().ok_or("a record that is cut short");
        let (mode, _kind, oid, size) = (field()?, field()?, field()?, field()?);
        let path = path_text(&record[tab + 1..]);
        if mode == "160000" {
            listing.submodules.push((path, oid.to_owned()));
            continue;
        }
        let size: u64 = size.parse().map_err(|_| "a size that is no number")?;
        listing.bytes = listing.bytes.saturating_add(size);
        let is_candidate = LFS_POINTER_BYTES.contains(&size) && mode != SYMLINK;
        if is_candidate && listing.lfs_candidates.len() < LFS_CANDIDATES_MAX {
            listing.lfs_candidates.push(path.clone());
        }
        listing.entries.insert(path, TreeEntry { mode: mode.to_owned(), oid: oid.to_owned() });
    }
    Ok(listing)
}

/// A path as text; one that is not UTF-8 gets its bytes behind it, so that no two become one.
fn path_text(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("{}\u{fffd}{}", String::from_utf8_lossy(path), hex::encode(path)),
    }
}

fn lfs_pointers(root: &Path, candidates: Vec<String>) -> Vec<String> {
    let is_pointer = |path: &String| {
        let mut start = [0; LFS_POINTER_START.len()];
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(root.join(path), flags, Mode::empty());
        file.is_ok_and(|file| File::from(file).read_exact(&mut start).is_ok())
            && start == *LFS_POINTER_START
    };
    candidates.into_iter().filter(is_pointer).collect()
}
