//! The source tree, seen from the application's folder.
//!
//! Reads are batched and remembered for the length of one call: asking twice costs one host call.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::base::windlass::source::source::{self as host, ListOptions};
use crate::{Context, Detection, PluginError};

pub use host::{Entry, Kind, Listing, ReadError};

type Read = Result<Vec<u8>, ReadError>;

/// A read-only view of the source below one folder. Paths use forward slashes and are relative to
/// that folder; what leaves the source's root, or was not granted to a custom stage, is [`ReadError::Denied`].
#[derive(Debug, Clone, Default)]
pub struct Source {
    base: String,
    read: RefCell<BTreeMap<String, Read>>,
}

impl Source {
    /// The view from the application's folder.
    pub fn of(ctx: &Context) -> Self {
        Self::below(&ctx.app_dir)
    }

    /// The view from the folder that a detection names as the application's, else from the context's.
    pub fn of_chosen(ctx: &Context, chosen: &Detection) -> Self {
        Self::below(chosen.app_dir.as_deref().unwrap_or(&ctx.app_dir))
    }

    /// The view from the source's root: for what a monorepo keeps there, such as its lock file.
    pub fn root() -> Self {
        Self::default()
    }

    /// The view from a folder, given relative to the source's root.
    pub fn below(folder: &str) -> Self {
        Self { base: folder.trim_matches('/').to_owned(), read: RefCell::default() }
    }

    /// Whether it is a readable file or a folder.
    pub fn exists(&self, path: &str) -> bool {
        !matches!(self.read(path), Err(ReadError::NotFound | ReadError::Denied | ReadError::Io))
    }

    /// Whether it is a regular file.
    pub fn is_file(&self, path: &str) -> bool {
        matches!(self.read(path), Ok(_) | Err(ReadError::TooLarge))
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        self.prefetch(&[path]);
        self.read.borrow().get(path).cloned().unwrap_or(Err(ReadError::Io))
    }

    /// The text of a file, or `None` when it does not exist. UTF-16 with a byte order mark is decoded,
    /// a mark of UTF-8 left out; other bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// Code `source.unreadable`, naming the file, when it exists and cannot be read.
    pub fn text(&self, path: &str) -> Result<Option<String>, PluginError> {
        match self.read(path) {
            Ok(bytes) => Ok(Some(text_of(bytes))),
            Err(ReadError::NotFound) => Ok(None),
            Err(error) => Err(unreadable(path, error)),
        }
    }

    /// The files among those that were read so far that are UTF-16, sorted: most tools read UTF-8 alone.
    pub fn utf16(&self) -> Vec<String> {
        let is_utf16 =
            |read: &Read| matches!(read.as_deref(), Ok([0xff, 0xfe, ..] | [0xfe, 0xff, ..]));
        let read = self.read.borrow();
        read.iter().filter(|(_, read)| is_utf16(read)).map(|(path, _)| path.clone()).collect()
    }

    /// A JSON file as `T`, or `None` when it does not exist.
    ///
    /// # Errors
    /// Code `source.unreadable`; or `source.invalid-json` with file, line and column.
    pub fn json<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Option<T>, PluginError> {
        let Some(text) = self.text(path)? else {
            return Ok(None);
        };
        let text = text.trim_start_matches('\u{feff}');
        serde_json::from_str(text).map(Some).map_err(|error| {
            PluginError::new("source.invalid-json", format!("{path} is not valid JSON: {error}"))
                .hint(format!("repair {path} and deploy again"))
        })
    }

    /// Reads files in one host call; later reads of them ask no more.
    pub fn prefetch(&self, paths: &[&str]) {
        let missing: Vec<String> = {
            let read = self.read.borrow();
            let unknown = |path: &&&str| !read.contains_key(**path);
            paths.iter().filter(unknown).map(|path| (*path).to_owned()).collect()
        };
        if missing.is_empty() {
            return;
        }
        let full: Vec<String> = missing.iter().map(|path| self.full(path)).collect();
        let answers = read_many(&full, 0);
        self.read.borrow_mut().extend(missing.into_iter().zip(answers));
    }

    /// All files below the folder that match one of the globs, sorted; paths relative to the folder.
    /// `*` stays within a folder, `**/` crosses them. No glob means every file.
    ///
    /// # Errors
    /// Code `source.unreadable`.
    pub fn files(&self, globs: &[&str]) -> Result<Vec<String>, PluginError> {
        let listing = self.list(globs, 0, 0)?;
        let files = listing.entries.into_iter().filter(|entry| entry.kind == Kind::File);
        Ok(files.map(|entry| entry.path).collect())
    }

    /// Entries below the folder, sorted; paths relative to the folder. A direct child has depth 1;
    /// 0 means no limit. `limit` 0 means the host's.
    ///
    /// # Errors
    /// Code `source.unreadable` for a broken glob or a folder that cannot be read; a folder that
    /// does not exist has no entries.
    pub fn list(&self, globs: &[&str], max_depth: u32, limit: u32) -> Result<Listing, PluginError> {
        let options = ListOptions {
            under: self.base.clone(),
            max_depth,
            globs: globs.iter().map(|glob| (*glob).to_owned()).collect(),
            limit,
        };
        let mut listing = match list_entries(&options) {
            Ok(listing) => listing,
            Err(ReadError::NotFound) => Listing { entries: Vec::new(), truncated: false },
            Err(error) => return Err(unreadable(&self.base, error)),
        };
        if !self.base.is_empty() {
            for entry in &mut listing.entries {
                let below = entry.path.strip_prefix(&self.base).unwrap_or(&entry.path);
                entry.path = below.trim_start_matches('/').to_owned();
            }
        }
        Ok(listing)
    }

    fn full(&self, path: &str) -> String {
        if self.base.is_empty() { path.to_owned() } else { format!("{}/{path}", self.base) }
    }
}

/// The text of a file: UTF-16 where a byte order mark says so, as PowerShell writes what it redirects, else UTF-8.
/// The mark is no part of the text.
fn text_of(bytes: Vec<u8>) -> String {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = rest.chunks(2).map(|pair| match pair {
            [first, second] => unit([*first, *second]),
            // Half a character at the end.
            _ => u16::from(b'?'),
        });
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => return utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => return utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => return text_of(rest.to_vec()),
        _ => {}
    }
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn unreadable(path: &str, error: ReadError) -> PluginError {
    let why = match error {
        ReadError::NotFound => "it does not exist",
        ReadError::NotAFile => "it is not a regular file",
        ReadError::TooLarge => "it is larger than a plugin may read",
        ReadError::Denied => "the path leaves the source, or was not granted",
        ReadError::Io => "reading it failed, or the request was malformed",
    };
    let shown = if path.is_empty() { "the source" } else { path };
    PluginError::new("source.unreadable", format!("{shown} cannot be read: {why}"))
}

#[cfg(not(target_arch = "wasm32"))]
use crate::native::{list_entries, read_many};
#[cfg(target_arch = "wasm32")]
use host::{list_entries, read_many};

#[cfg(test)]
mod tests {
    use super::text_of;

    #[test]
    fn text_is_read_in_the_encoding_that_its_mark_names() {
        let text = "flask==3.0\r\n# \u{fc}\u{1f600}\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(text_of([&[0xff, 0xfe], little.as_slice()].concat()), text);
        assert_eq!(text_of([&[0xfe, 0xff], big.as_slice()].concat()), text);
        assert_eq!(text_of([&[0xef, 0xbb, 0xbf], text.as_bytes()].concat()), text);
        assert_eq!(text_of(text.as_bytes().to_vec()), text);
        assert_eq!(text_of(vec![0xff, 0xfe, b'a', 0, b'b']), "a?");
        assert_eq!(text_of(vec![b'a', 0xff]), "a\u{fffd}");
        assert_eq!(text_of(Vec::new()), "");
    }
}
