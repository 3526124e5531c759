//! The source tree as a guest sees it: read only, and nothing outside its root.
//!
//! Every path is resolved by the kernel beneath the root's own descriptor, so neither `..`, nor an
//! absolute path, nor a symlink that is exchanged meanwhile leads out. Only regular files are opened.

use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use windlass_model::Digest;
use windlass_model::limits::PluginLimits;

use crate::bindings::source::{Entry, Kind, ListOptions, Listing, ReadError};

/// Deepest folder that a listing enters: each level holds a descriptor.
const DEPTH_MAX: u32 = 128;

/// A source cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the source at {} cannot be opened", path.display())]
pub struct SourceError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// An opened source tree. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    root: PathBuf,
    folder: OwnedFd,
    tree: Digest,
    special: OnceLock<bool>,
}

impl Source {
    /// Opens the folder `root`. `tree_digest` stands for its whole content: answers are cached by
    /// it, so a folder that changes needs a new digest.
    ///
    /// # Errors
    /// The folder does not exist or is not readable.
    pub fn open(root: impl Into<PathBuf>, tree_digest: Digest) -> Result<Self, SourceError> {
        let root = root.into();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(&root, flags, Mode::empty()) {
            Ok(folder) => {
                let special = OnceLock::new();
                Ok(Self(Arc::new(Opened { root, folder, tree: tree_digest, special })))
            }
            Err(errno) => Err(SourceError { path: root, source: errno.into() }),
        }
    }

    /// Digest of the tree.
    pub fn tree_digest(&self) -> &Digest {
        &self.0.tree
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Whether the tree holds a FIFO, a socket or a device. Opening such a file can block forever or
    /// have effects, so a tree with one is shown through the batch interface only. Looked up once.
    pub(crate) fn has_special_files(&self) -> bool {
        *self.0.special.get_or_init(|| {
            let Ok(folder) = self.open_folder("") else {
                return true;
            };
            let mut finder = Finder { special: false };
            walk(folder.as_fd(), "", 1, &mut finder).is_err() || finder.special
        })
    }

    /// See the contract: `source.list-entries`.
    pub(crate) fn list(
        &self,
        options: &ListOptions,
        limits: &PluginLimits,
    ) -> Result<Listing, ReadError> {
        let host = limits.list_entries_max as usize;
        let limit = if options.limit == 0 { host } else { host.min(options.limit as usize) };
        let depth_max = if options.max_depth == 0 { u32::MAX } else { options.max_depth };
        let folder = self.open_folder(&options.under)?;
        let under = options.under.trim_matches('/');
        let globs = globs_of(&options.globs)?;
        let mut lister = Lister { globs, under, depth_max, held_max: host, entries: Vec::new() };
        let complete = walk(folder.as_fd(), "", 1, &mut lister)?;
        let mut entries = lister.entries;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let truncated = !complete || entries.len() > limit;
        entries.truncate(limit);
        Ok(Listing { entries, truncated })
    }

    /// See the contract: `source.read-many`.
    pub(crate) fn read_many(
        &self,
        paths: &[String],
        bytes_each_max: u32,
        limits: &PluginLimits,
    ) -> Vec<Result<Vec<u8>, ReadError>> {
        let all = limits.read_bytes_max;
        let each = if bytes_each_max == 0 { all } else { u64::from(bytes_each_max).min(all) };
        let mut left = all;
        let mut read = |path: &String| {
            let bytes = self.read(path, each.min(left))?;
            left = left.saturating_sub(bytes.len() as u64);
            Ok(bytes)
        };
        paths.iter().map(&mut read).collect()
    }

    fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
        let found = self.resolve(path, OFlags::PATH)?;
        let stat = rustix::fs::fstat(&found).map_err(read_error)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(ReadError::NotAFile);
        }
        // Should the file be exchanged for a FIFO just now, opening it still does not block.
        let file = self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let mut bytes = Vec::new();
        let mut file = std::fs::File::from(file).take(bytes_max + 1);
        file.read_to_end(&mut bytes).map_err(|_| ReadError::Io)?;
        if bytes.len() as u64 > bytes_max { Err(ReadError::TooLarge) } else { Ok(bytes) }
    }

    fn open_folder(&self, path: &str) -> Result<OwnedFd, ReadError> {
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "." } else { path };
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd, ReadError> {
        if path.contains('\0') {
            return Err(ReadError::Denied);
        }
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        loop {
            match rustix::fs::openat2(&self.0.folder, path, flags, Mode::empty(), beneath) {
                // The kernel asks to try again when something was renamed while it looked.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other.map_err(read_error),
            }
        }
    }
}

/// What is done with each entry of a walk.
trait Visitor {
    /// Whether to go on at all.
    fn entry(&mut self, at: BorrowedFd<'_>, name: &str, path: &str, kind: FileType) -> bool;
    /// Whether to enter folders at this depth; a direct child has depth 1.
    fn enters(&self, depth: u32) -> bool;
}

/// Walks without following symlinks; says whether it saw everything.
fn walk(
    folder: BorrowedFd<'_>,
    below: &str,
    depth: u32,
    visitor: &mut impl Visitor,
) -> Result<bool, ReadError> {
    for child in Dir::read_from(folder).map_err(read_error)? {
        let child = child.map_err(read_error)?;
        let Ok(name) = child.file_name().to_str() else {
            continue;
        };
        if matches!(name, "." | ".." | ".git") {
            continue;
        }
        let mut kind = child.file_type();
        if kind == FileType::Unknown {
            let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
            kind = FileType::from_raw_mode(stat.map_err(read_error)?.st_mode);
        }
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        if !visitor.entry(folder, name, &path, kind) {
            return Ok(false);
        }
        if kind == FileType::Directory && visitor.enters(depth) {
            if depth >= DEPTH_MAX {
                return Ok(false);
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
                Ok(inner) => inner,
                Err(Errno::ACCESS | Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => continue,
                Err(errno) => return Err(read_error(errno)),
            };
            if !walk(inner.as_fd(), &path, depth + 1, visitor)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

struct Finder {
    special: bool,
}

impl Visitor for Finder {
    fn entry(&mut self, _: BorrowedFd<'_>, _: &str, _: &str, kind: FileType) -> bool {
        self.special = kind_of(kind) == Kind::Other;
        !self.special
    }

    fn enters(&self, _depth: u32) -> bool {
        true
    }
}

struct Lister<'a> {
    globs: Option<GlobSet>,
    under: &'a str,
    depth_max: u32,
    held_max: usize,
    entries: Vec<Entry>,
}

impl Visitor for Lister<'_> {
    fn entry(&mut self, at: BorrowedFd<'_>, name: &str, path: &str, kind: FileType) -> bool {
        if self.globs.as_ref().is_some_and(|globs| !globs.is_match(path)) {
            return true;
        }
        if self.entries.len() >= self.held_max {
            return false;
        }
        let kind = kind_of(kind);
        let size = if kind == Kind::File { size_of(at, name) } else { 0 };
        let path = match self.under {
            "" => path.to_owned(),
            under => format!("{under}/{path}"),
        };
        self.entries.push(Entry { path, kind, size });
        true
    }

    fn enters(&self, depth: u32) -> bool {
        depth < self.depth_max
    }
}

fn size_of(at: BorrowedFd<'_>, name: &str) -> u64 {
    rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
        .ok()
        .and_then(|stat| u64::try_from(stat.st_size).ok())
        .unwrap_or(0)
}

fn kind_of(kind: FileType) -> Kind {
    match kind {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

fn globs_of(globs: &[String]) -> Result<Option<GlobSet>, ReadError> {
    if globs.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let glob = GlobBuilder::new(glob).literal_separator(true).build();
        set.add(glob.map_err(|_| ReadError::Io)?);
    }
    set.build().map(Some).map_err(|_| ReadError::Io)
}

fn read_error(errno: Errno) -> ReadError {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NAMETOOLONG => ReadError::NotFound,
        Errno::XDEV | Errno::LOOP | Errno::ACCESS | Errno::PERM => ReadError::Denied,
        _ => ReadError::Io,
    }
}
