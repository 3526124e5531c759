//! The host's side of `source` and `log`, natively, for tests of a plugin's logic.
//!
//! It keeps the rules of the real host: nothing outside the root is read, `.git` is not listed, only
//! regular files are opened. Root and log are the thread's, so tests run side by side.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::bindings::base::windlass::source::source::{
    Entry, Kind, ListOptions, Listing, ReadError,
};
use crate::images::{ImageConfig, ImageError};
use crate::log::Level;

/// The host's default for entries of one listing.
const LIST_ENTRIES_MAX: u32 = 50_000;
/// The host's default for bytes of one batch of reads.
const READ_BYTES_MAX: u64 = 16 << 20;

thread_local! {
    static ROOT: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
    static IMAGES: RefCell<BTreeMap<String, ImageConfig>> = const { RefCell::new(BTreeMap::new()) };
    static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// The images that the thread's next calls find.
pub(crate) fn set_images(images: BTreeMap<String, ImageConfig>) {
    IMAGES.set(images);
}

pub(crate) fn image(reference: &str) -> Result<ImageConfig, ImageError> {
    IMAGES.with_borrow(|images| images.get(reference).cloned()).ok_or(ImageError::NotFound)
}

/// Runs `f` with the thread's source at `root`; the log lines that it wrote come back with its value.
pub(crate) fn with_root<T>(root: &Path, f: impl FnOnce() -> T) -> (T, Vec<(Level, String)>) {
    LOG.with_borrow_mut(Vec::clear);
    let before = ROOT.replace(Some(root.to_owned()));
    let value = f();
    ROOT.set(before);
    (value, LOG.take())
}

pub(crate) fn log(level: Level, message: &str, fields: &[(String, String)]) {
    let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    LOG.with_borrow_mut(|log| log.push((level, format!("{message}{fields}"))));
}

pub(crate) fn list_entries(options: &ListOptions) -> Result<Listing, ReadError> {
    let globs = globs_of(&options.globs)?;
    let under = resolve(&options.under)?;
    let host = LIST_ENTRIES_MAX as usize;
    let limit = if options.limit == 0 { host } else { host.min(options.limit as usize) };
    let mut walk = Walk { globs, base: options.under.trim_matches('/'), entries: Vec::new() };
    walk.folder(&under, "", 1, options.max_depth)?;
    let mut entries = walk.entries;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let truncated = entries.len() > limit;
    entries.truncate(limit);
    Ok(Listing { entries, truncated })
}

struct Walk<'a> {
    globs: Option<GlobSet>,
    base: &'a str,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    fn folder(&mut self, at: &Path, below: &str, depth: u32, max: u32) -> Result<(), ReadError> {
        for child in std::fs::read_dir(at).map_err(read_error)? {
            let child = child.map_err(read_error)?;
            let Ok(name) = child.file_name().into_string() else {
                continue;
            };
            if name == ".git" {
                continue;
            }
            let meta = child.metadata().map_err(read_error)?;
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            let kind = kind_of(meta.file_type());
            if self.globs.as_ref().is_none_or(|globs| globs.is_match(&path)) {
                let full = if self.base.is_empty() {
                    path.clone()
                } else {
                    format!("{}/{path}", self.base)
                };
                let size = if kind == Kind::File { meta.len() } else { 0 };
                self.entries.push(Entry { path: full, kind, size });
            }
            if kind == Kind::Directory && (max == 0 || depth < max) {
                self.folder(&child.path(), &path, depth + 1, max)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn read_many(paths: &[String], bytes_each_max: u32) -> Vec<Result<Vec<u8>, ReadError>> {
    let mut left = READ_BYTES_MAX;
    let each = if bytes_each_max == 0 { left } else { u64::from(bytes_each_max).min(left) };
    paths
        .iter()
        .map(|path| {
            let found = resolve(path)?;
            let meta = found.metadata().map_err(read_error)?;
            if !meta.is_file() {
                return Err(ReadError::NotAFile);
            }
            if meta.len() > each.min(left) {
                return Err(ReadError::TooLarge);
            }
            let bytes = std::fs::read(found).map_err(read_error)?;
            left = left.saturating_sub(bytes.len() as u64);
            Ok(bytes)
        })
        .collect()
}

fn resolve(path: &str) -> Result<PathBuf, ReadError> {
    let root = ROOT.with_borrow(Clone::clone).ok_or(ReadError::Io)?;
    if path.starts_with('/') || path.contains('\0') {
        return Err(ReadError::Denied);
    }
    let root = root.canonicalize().map_err(read_error)?;
    let found = root.join(path).canonicalize().map_err(read_error)?;
    if found.starts_with(&root) { Ok(found) } else { Err(ReadError::Denied) }
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

fn kind_of(kind: std::fs::FileType) -> Kind {
    if kind.is_file() {
        Kind::File
    } else if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Symlink
    } else {
        Kind::Other
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn read_error(error: std::io::Error) -> ReadError {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => ReadError::NotFound,
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => ReadError::NotFound,
        ErrorKind::PermissionDenied => ReadError::Denied,
        _ => ReadError::Io,
    }
}
