//! The host's id beside the store: everything that a host has on its machine carries it, so it must
//! outlive the store. The file tells a lost store from a first start.

use std::path::{Path, PathBuf};

use windlass_model::HostId;

use crate::error::{Result, StoreError};

/// The file, in a data directory.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("host-id")
}

/// The id that is written down in a data directory, if one is.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub fn known_host_id(data_dir: &Path) -> Result<Option<HostId>> {
    let path = path(data_dir);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("reading", &path)(error)),
    };
    let corrupt = |why: String| StoreError::Corrupt { what: path.display().to_string(), why };
    text.trim().parse().map(Some).map_err(|e: windlass_model::id::InvalidId| corrupt(e.to_string()))
}

/// Writes the id down, unless it is. A full disk keeps no host from starting: it is tried again at the
/// next start.
pub(crate) fn remember(data_dir: &Path, id: &HostId) {
    if known_host_id(data_dir).is_ok_and(|known| known.as_ref() == Some(id)) {
        return;
    }
    let path = path(data_dir);
    let partial = data_dir.join("host-id.partial");
    let written = std::fs::write(&partial, format!("{id}\n"))
        .and_then(|()| std::fs::File::open(&partial)?.sync_all())
        .and_then(|()| std::fs::rename(&partial, &path));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&partial);
        tracing::warn!(%error, "the host's id could not be written beside the store");
    }
}
