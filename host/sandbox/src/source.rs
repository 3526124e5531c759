//! The source tree as a guest sees it: read only, and nothing outside its root.
//!
//! Every path is resolved by the kernel beneath the root's own descriptor, so neither `..`, nor an
//! absolute path, nor a symlink that is exchanged meanwhile leads out. Only regular files are opened.
//!
//! The tree is walked once: every detector asks for lists of the same names, which are answered from memory.

use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use globset::GlobSet;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use windlass_model::Digest;
use windlass_model::limits::PluginLimits;

use crate::bindings::source::{Entry, Kind, ListOptions, Listing, ReadError};
use crate::globs::{self, Globs};

/// Deepest folder that a listing enters: each level holds a descriptor.
const DEPTH_MAX: u32 = 128;
/// Most names of a tree that are held; lists of a larger one walk it each time.
const NAMES_MAX: usize = 200_000;
/// Names that are matched, or files that are read, before the time is looked at.
const LOOK_EVERY: usize = 64;
/// Globs of such a weight are matched that often; heavier ones take longer.
const QUICK_WEIGHT: usize = 256;

/// A source cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the source at {} cannot be opened", path.display())]
pub struct SourceError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Whether there is time left; the error is what ends the call.
type TimeLeft<'a> = &'a dyn Fn() -> wasmtime::Result<()>;

/// Why there is no listing.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// The contract's answer.
    Refused(ReadError),
    /// The call's time is used up.
    Late(wasmtime::Error),
}

impl From<ReadError> for NotDone {
    fn from(error: ReadError) -> Self {
        Self::Refused(error)
    }
}

/// An opened source tree. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source(Arc<Opened>, Option<Arc<GlobSet>>);

#[derive(Debug)]
struct Opened {
    root: PathBuf,
    folder: OwnedFd,
    tree: Digest,
    names: OnceLock<Names>,
}

/// What one walk of the whole tree found.
#[derive(Debug)]
struct Names {
    /// There is a FIFO, a socket or a device, or the tree could not be walked.
    special: bool,
    /// Every path with its kind, sorted; `None` where there are too many, or not all were seen.
    all: Option<Vec<(String, Kind)>>,
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
                let names = OnceLock::new();
                Ok(Self(Arc::new(Opened { root, folder, tree: tree_digest, names }), None))
            }
            Err(errno) => Err(SourceError { path: root, source: errno.into() }),
        }
    }

    /// The same tree, of which only files that match one of the globs are seen; they are relative to the root.
    /// Symlinks are not followed, and there is no `/src`.
    ///
    /// # Errors
    /// A glob does not read.
    pub fn only(&self, globs: &[&str]) -> Result<Self, globset::Error> {
        if globs.contains(&"**") {
            return Ok(self.clone());
        }
        Ok(Self(Arc::clone(&self.0), Some(Arc::new(globs::set_of(globs)?))))
    }

    /// Whether all of the tree is seen.
    pub(crate) fn is_whole(&self) -> bool {
        self.1.is_none()
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
        self.names().special
    }

    fn names(&self) -> &Names {
        self.0.names.get_or_init(|| {
            let mut namer = Namer { special: false, all: Some(Vec::new()) };
            let walked = match self.open_folder("") {
                Ok(folder) => walk(folder.as_fd(), "", 1, &mut namer),
                Err(error) => Err(error),
            };
            let mut all = namer.all.filter(|_| matches!(walked, Ok(true)));
            if let Some(all) = &mut all {
                all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            }
            Names { special: namer.special || walked.is_err(), all }
        })
    }

    /// See the contract: `source.list-entries`. Globs can be made to match slowly, so it ends with the time.
    pub(crate) fn list(
        &self,
        options: &ListOptions,
        globs: &Globs,
        limits: &PluginLimits,
        time_left: TimeLeft<'_>,
    ) -> Result<Listing, NotDone> {
        let host = limits.list_entries_max as usize;
        let limit = if options.limit == 0 { host } else { host.min(options.limit as usize) };
        let depth_max = if options.max_depth == 0 { u32::MAX } else { options.max_depth };
        let under = options.under.trim_matches('/');
        let globs = globs.ready(&options.globs)?;
        let entries = Vec::new();
        let clock = Clock::new(time_left, globs.as_ref().map_or(0, |globs| globs.weight));
        let only = self.1.as_deref();
        let mut lister = Lister { globs, only, under, depth_max, held_max: host, entries, clock };
        let complete = match self.named_below(under) {
            Some(names) => lister.pick(self.0.folder.as_fd(), names),
            None => walk(self.open_folder(&options.under)?.as_fd(), "", 1, &mut lister)?,
        };
        if let Some(error) = lister.clock.late {
            return Err(NotDone::Late(error));
        }
        let mut entries = lister.entries;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let truncated = !complete || entries.len() > limit;
        entries.truncate(limit);
        Ok(Listing { entries, truncated })
    }

    /// What the walk of the tree found below a folder; `None` where it has to be walked: it is no plain folder
    /// of the tree, or the tree is too large.
    fn named_below(&self, under: &str) -> Option<&[(String, Kind)]> {
        let all = self.names().all.as_deref()?;
        if under.is_empty() {
            return Some(all);
        }
        let is_folder = all.binary_search_by(|(path, _)| path.as_str().cmp(under));
        all.get(is_folder.ok()?).filter(|(_, kind)| *kind == Kind::Directory)?;
        let (first, behind) = (format!("{under}/"), format!("{under}0"));
        let from = all.partition_point(|(path, _)| *path < first);
        let until = all.partition_point(|(path, _)| *path < behind);
        all.get(from..until)
    }

    /// See the contract: `source.read-many`. Millions of paths may be asked for at once, so it ends with the time.
    pub(crate) fn read_many(
        &self,
        paths: &[String],
        bytes_each_max: u32,
        limits: &PluginLimits,
        time_left: TimeLeft<'_>,
    ) -> wasmtime::Result<Vec<Result<Vec<u8>, ReadError>>> {
        let all = limits.read_bytes_max;
        let each = if bytes_each_max == 0 { all } else { u64::from(bytes_each_max).min(all) };
        let mut left = all;
        let mut read = |path: &String| {
            let bytes = self.read(path, each.min(left))?;
            left = left.saturating_sub(bytes.len() as u64);
            Ok(bytes)
        };
        let mut answers = Vec::with_capacity(paths.len());
        for some in paths.chunks(LOOK_EVERY) {
            time_left()?;
            answers.extend(some.iter().map(&mut read));
        }
        Ok(answers)
    }

    /// Whether a path is a proper one in the tree, and none of those that are seen of it.
    pub(crate) fn is_beyond(&self, path: &str) -> bool {
        self.1.as_ref().is_some_and(|only| is_plain(path) && !only.is_match(path))
    }

    fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
        if self.1.as_ref().is_some_and(|only| !is_plain(path) || !only.is_match(path)) {
            return Err(ReadError::Denied);
        }
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
        let mut beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if !self.is_whole() {
            // What is named is what is seen: a link could lead to what is not.
            beneath |= ResolveFlags::NO_SYMLINKS;
        }
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

struct Namer {
    special: bool,
    all: Option<Vec<(String, Kind)>>,
}

impl Visitor for Namer {
    fn entry(&mut self, _: BorrowedFd<'_>, _: &str, path: &str, kind: FileType) -> bool {
        let kind = kind_of(kind);
        self.special |= kind == Kind::Other;
        self.all.take_if(|all| all.len() == NAMES_MAX);
        if let Some(all) = &mut self.all {
            all.push((path.to_owned(), kind));
        }
        // A tree of which neither is wanted need not be walked to its end.
        !self.special || self.all.is_some()
    }

    fn enters(&self, _depth: u32) -> bool {
        true
    }
}

struct Lister<'a> {
    globs: Option<Arc<globs::Ready>>,
    /// What there is to be seen at all, by whole paths.
    only: Option<&'a GlobSet>,
    under: &'a str,
    depth_max: u32,
    held_max: usize,
    entries: Vec<Entry>,
    clock: Clock<'a>,
}

/// Whether a listing has to end.
struct Clock<'a> {
    time_left: TimeLeft<'a>,
    look_every: usize,
    looked_ago: usize,
    late: Option<wasmtime::Error>,
}

impl<'a> Clock<'a> {
    fn new(time_left: TimeLeft<'a>, weight: usize) -> Self {
        let look_every = (LOOK_EVERY * QUICK_WEIGHT / weight.max(1)).clamp(1, LOOK_EVERY);
        Self { time_left, look_every, looked_ago: 0, late: None }
    }

    /// Whether there is time for one name more.
    fn goes_on(&mut self) -> bool {
        self.looked_ago += 1;
        if self.looked_ago >= self.look_every && self.late.is_none() {
            self.looked_ago = 0;
            self.late = (self.time_left)().err();
        }
        self.late.is_none()
    }
}

impl Lister<'_> {
    /// Takes what is wanted of the names below `under`; says whether it saw everything.
    fn pick(&mut self, root: BorrowedFd<'_>, names: &[(String, Kind)]) -> bool {
        let cut = if self.under.is_empty() { 0 } else { self.under.len() + 1 };
        let deepest = usize::try_from(self.depth_max).unwrap_or(usize::MAX);
        names.iter().all(|(path, kind)| {
            let below = path.get(cut..).unwrap_or_default();
            let too_deep = below.bytes().filter(|byte| *byte == b'/').count() >= deepest;
            self.clock.goes_on()
                && (too_deep || !self.wants(below) || self.take(root, path, path, *kind))
        })
    }

    fn wants(&self, path: &str) -> bool {
        self.globs.as_ref().is_none_or(|globs| globs.set.is_match(path))
    }

    /// Adds an entry, `name` as seen from the folder `at`; false when it cannot be held any more.
    fn take(&mut self, at: BorrowedFd<'_>, name: &str, path: &str, kind: Kind) -> bool {
        if self.only.is_some_and(|only| !only.is_match(path)) {
            return true;
        }
        if self.entries.len() >= self.held_max {
            return false;
        }
        let size = if kind == Kind::File { size_of(at, name) } else { 0 };
        self.entries.push(Entry { path: path.to_owned(), kind, size });
        true
    }
}

impl Visitor for Lister<'_> {
    fn entry(&mut self, at: BorrowedFd<'_>, name: &str, path: &str, kind: FileType) -> bool {
        if !self.clock.goes_on() {
            return false;
        }
        if !self.wants(path) {
            return true;
        }
        let whole = match self.under {
            "" => path.to_owned(),
            under => format!("{under}/{path}"),
        };
        self.take(at, name, &whole, kind_of(kind))
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

fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn read_error(errno: Errno) -> ReadError {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NAMETOOLONG => ReadError::NotFound,
        Errno::XDEV | Errno::LOOP | Errno::ACCESS | Errno::PERM => ReadError::Denied,
        _ => ReadError::Io,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::state::WallUsedUp;

    fn write(root: &Path, path: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, path.as_os_str().as_encoded_bytes()).unwrap();
    }

    fn opened(root: &Path) -> Source {
        Source::open(root, Digest::of(b"tree")).unwrap()
    }

    /// One that holds no names, as of a tree with too many.
    fn without_names(root: &Path) -> Source {
        let source = opened(root);
        source.0.names.set(Names { special: false, all: None }).unwrap();
        source
    }

    #[test]
    fn a_narrowed_tree_shows_what_matches_and_nothing_by_way_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["package-lock.json", "a/yarn.lock", "a/secret", ".env"] {
            write(root, path);
        }
        symlink("secret", root.join("a/link.lock")).unwrap();
        let limits = windlass_model::Limits::default().plugin;
        let only = opened(root).only(&["**/*.lock", "package-lock.json"]).unwrap();
        assert!(!only.is_whole() && opened(root).only(&["x", "**"]).unwrap().is_whole());
        let all = ListOptions { under: String::new(), globs: Vec::new(), max_depth: 0, limit: 0 };
        for source in [only.clone(), without_names(root).only(&["**/*.lock", "*.json"]).unwrap()] {
            let listed = source.list(&all, &Globs::default(), &limits, &|| Ok(())).unwrap();
            let paths: Vec<&str> = listed.entries.iter().map(|it| it.path.as_str()).collect();
            assert_eq!(paths, ["a/link.lock", "a/yarn.lock", "package-lock.json"]);
        }
        let paths = ["a/yarn.lock", "a/secret", "a/link.lock", "a/../.env", "./package-lock.json"];
        let read = only.read_many(&paths.map(str::to_owned), 0, &limits, &|| Ok(())).unwrap();
        assert!(read[0].is_ok());
        assert!(read[1..].iter().all(|one| *one == Err(ReadError::Denied)), "{read:?}");
    }

    #[test]
    fn what_the_host_reads_and_matches_ends_with_the_time_of_the_call() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..2 * LOOK_EVERY {
            write(dir.path(), &format!("f{n}"));
        }
        let limits = windlass_model::Limits::default().plugin;
        let looks = &std::cell::Cell::new(0);
        // The time is over at the look of this number.
        let until = move |last: usize| {
            looks.set(0);
            move || -> wasmtime::Result<()> {
                looks.set(looks.get() + 1);
                if looks.get() < last { Ok(()) } else { Err(WallUsedUp.into()) }
            }
        };
        let paths: Vec<String> = (0..2 * LOOK_EVERY).map(|n| format!("f{n}")).collect();
        let long =
            vec![format!("{}*", "x".repeat(QUICK_WEIGHT * LOOK_EVERY - 100)), "*".to_owned()];
        for source in [opened(dir.path()), without_names(dir.path())] {
            assert_eq!(source.read_many(&paths, 0, &limits, &until(3)).unwrap().len(), paths.len());
            assert!(source.read_many(&paths, 0, &limits, &until(2)).is_err());
            let globs = vec!["*".to_owned()];
            let quick = ListOptions { under: String::new(), globs, max_depth: 0, limit: 0 };
            let listed = source.list(&quick, &Globs::default(), &limits, &until(3)).unwrap();
            assert_eq!(listed.entries.len(), paths.len());
            assert!(matches!(
                source.list(&quick, &Globs::default(), &limits, &until(2)),
                Err(NotDone::Late(_))
            ));
            // Of globs that are slow to match, every name may be the last.
            let slow = ListOptions { globs: long.clone(), ..quick };
            let last = paths.len();
            assert!(matches!(
                source.list(&slow, &Globs::default(), &limits, &until(last)),
                Err(NotDone::Late(_))
            ));
            assert_eq!(looks.get(), last);
        }
    }

    #[test]
    fn a_list_from_memory_is_that_of_a_walk() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["package.json", "a", "apps/web/package.json", "apps/web/src/x.ts"] {
            write(root, path);
        }
        for path in ["apps-2/y.ts", "apps/api/go.mod", ".git/config", "apps/api/cmd/z/main.go"] {
            write(root, path);
        }
        symlink("apps/web", root.join("link")).unwrap();
        let (held, walked) = (opened(root), without_names(root));
        let limits = windlass_model::Limits::default().plugin;
        let ready = Globs::default();
        let globs: [&[&str]; 4] =
            [&[], &["**/package.json"], &["*.ts", "src/*"], &["**/*.{go,ts}"]];
        let said = |listing: Result<Listing, NotDone>| {
            let plain = |entry: &Entry| (entry.path.clone(), entry.kind, entry.size);
            listing.map(|it| (it.entries.iter().map(plain).collect::<Vec<_>>(), it.truncated)).ok()
        };
        for under in ["", "apps", "apps/", "apps/web", "./apps", "link", "a", "absent", "../x"] {
            for globs in globs {
                for (max_depth, limit) in [(0, 0), (1, 0), (2, 0), (0, 2)] {
                    let globs = globs.iter().map(|&glob| glob.to_owned()).collect();
                    let options = ListOptions { under: under.to_owned(), globs, max_depth, limit };
                    let held = said(held.list(&options, &ready, &limits, &|| Ok(())));
                    assert_eq!(
                        held,
                        said(walked.list(&options, &ready, &limits, &|| Ok(()))),
                        "{options:?}"
                    );
                    assert_eq!(held.is_some(), !["a", "absent", "../x"].contains(&under));
                }
            }
        }
        assert!(held.0.names.get().unwrap().all.is_some());
    }
}
