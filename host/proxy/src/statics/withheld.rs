//! Files of a tree that are not served, by globs.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::path::TreePath;

/// Endings of precompressed forms: what a file may not show, its forms may not either.
const FORMS: [&[u8]; 3] = [b".br", b".gz", b".zst"];

/// The file that this is a precompressed form of, by its name.
pub fn plain_of(path: &Path) -> Option<&Path> {
    let path = path.as_os_str().as_bytes();
    let plain = FORMS.iter().find_map(|form| path.strip_suffix(*form));
    plain.map(|plain| Path::new(OsStr::from_bytes(plain)))
}

/// The files that are kept from visitors.
#[derive(Debug, Default)]
pub struct Withheld(GlobSet);

impl Withheld {
    /// Those that one of these globs names; `*` does not cross a slash.
    ///
    /// # Errors
    /// A text that is no glob.
    pub fn of(globs: &[String]) -> io::Result<Self> {
        let invalid = |error: globset::Error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            let glob = GlobBuilder::new(glob).literal_separator(true).build();
            set.add(glob.map_err(invalid)?);
        }
        set.build().map(Self).map_err(invalid)
    }

    /// Whether the file that is asked for is among them.
    pub(super) fn has(&self, path: &TreePath) -> bool {
        !self.0.is_empty()
            && !path.name().is_empty()
            && self.has_file(Path::new(OsStr::from_bytes(&path.relative())))
    }

    /// Whether the file of this path from the tree's root is among them, or what it is a precompressed form of.
    pub fn has_file(&self, path: &Path) -> bool {
        std::iter::once(path).chain(plain_of(path)).any(|path| self.0.is_match(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_withheld_with_its_precompressed_forms() {
        let withheld = Withheld::of(&["**/*.map".to_owned(), "*.log".to_owned()]).unwrap();
        for (path, is) in [
            ("/a.js.map", true),
            ("/assets/deep/a.js.map", true),
            ("/assets/a.js.map.gz", true),
            ("/a.log", true),
            ("/assets/a.log", false),
            ("/a.js", false),
            ("/a.map/index.html", false),
            ("/", false),
        ] {
            assert_eq!(withheld.has(&TreePath::of_request(path).unwrap()), is, "{path}");
        }
        assert!(Withheld::of(&["[a".to_owned()]).is_err());
        assert!(!Withheld::default().has(&TreePath::of_request("/a.js.map").unwrap()));
    }
}
