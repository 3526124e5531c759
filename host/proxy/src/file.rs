//! The table file: the last table, so that the proxy can start alone.
//!
//! **Invariant: the file is always one whole table.** It is written beside, synced, renamed over the
//! old one, and the folder is synced, before a publication is acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ProxyError;
use crate::route::Route;

/// The newest layout of the file that this build reads.
const VERSION: u32 = 2;
/// The layout that has everything but withheld files: it is written where there are none, so that an older
/// proxy that takes over reads it, and refuses what it would serve wrongly.
const WITHOUT_WITHHELD: u32 = 1;

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    version: u32,
    /// The highest epoch seen.
    pub(crate) epoch: u64,
    pub(crate) routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Saved {
    pub(crate) fn new(epoch: u64, routes: Vec<Route>) -> Self {
        let withholds = routes.iter().any(Route::withholds);
        Self { version: if withholds { VERSION } else { WITHOUT_WITHHELD }, epoch, routes }
    }
}

/// The file's table; an empty one when there is no file. A damaged file is set aside, loudly: the
/// control plane publishes its routes again, and visitors are served meanwhile as far as it goes.
pub(crate) fn load(path: &Path) -> Result<Saved, ProxyError> {
    let failed = |source| ProxyError::TableFile { path: path.to_owned(), source };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Saved::new(0, Vec::new())),
        Err(source) => return Err(failed(source)),
    };
    if let Ok(Version { version: found }) = serde_json::from_slice(&bytes)
        && found > VERSION
    {
        return Err(ProxyError::TableVersion { path: path.to_owned(), found, known: VERSION });
    }
    serde_json::from_slice(&bytes).or_else(|error| {
        let aside = suffixed(path, ".damaged");
        tracing::error!(
            file = %path.display(), aside = %aside.display(), %error,
            "the table file is damaged and was set aside; no route is served until published again"
        );
        std::fs::rename(path, &aside).map_err(failed)?;
        Ok(Saved::new(0, Vec::new()))
    })
}

/// The routes of a table file and the highest epoch that it has seen, read by somebody else than the
/// proxy; `None` when there is no file.
///
/// # Errors
/// When it cannot be read or makes no sense; it is left as it is.
pub fn read_table(path: &Path) -> io::Result<Option<(u64, Vec<Route>)>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let saved: Saved = serde_json::from_slice(&bytes)?;
    Ok(Some((saved.epoch, saved.routes)))
}

/// Replaces the file; when this returns, the table survives a power cut.
pub(crate) fn save(path: &Path, saved: &Saved) -> io::Result<()> {
    let beside = suffixed(path, ".new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&serde_json::to_vec_pretty(saved)?)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// The path with something appended to its last component.
pub(crate) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.json");
        assert_eq!(load(&path).unwrap(), Saved::new(0, Vec::new()));
        let saved = Saved::new(7, Vec::new());
        save(&path, &saved).unwrap();
        assert_eq!(load(&path).unwrap(), saved);
        assert_eq!(read_table(&path).unwrap(), Some((7, Vec::new())));
        assert_eq!(read_table(&folder.path().join("none.json")).unwrap(), None);
        assert!(!suffixed(&path, ".new").exists());
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_a_newer_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.json");
        std::fs::write(&path, "{\"version\":1,").unwrap();
        assert_eq!(load(&path).unwrap(), Saved::new(0, Vec::new()));
        assert!(suffixed(&path, ".damaged").exists());
        std::fs::write(&path, "{\"version\":99,\"what\":[]}").unwrap();
        let refused = load(&path).unwrap_err().to_string();
        assert!(refused.contains("version 99"), "{refused}");
        assert!(path.exists());
    }
}
