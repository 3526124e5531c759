//! Layers on directories: tar, plain or gzip, with whiteouts. Only files, directories and links.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};
use windlass_model::Digest;

use crate::error::{Result, RuntimeError};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Applies a layer; the digest of its uncompressed tar.
pub(super) fn apply(bytes: &[u8], root: &Path) -> Result<Digest> {
    let broken = || RuntimeError::io("unpack", "layer");
    let mut plain = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).map_err(broken())?;
    } else {
        plain.extend_from_slice(bytes);
    }
    let mut archive = tar::Archive::new(plain.as_slice());
    for entry in archive.entries().map_err(broken())? {
        place(&mut entry.map_err(broken())?, root).map_err(broken())?;
    }
    Ok(Digest::from_sha256(Sha256::digest(&plain).into()))
}

fn place<R: Read>(entry: &mut tar::Entry<'_, R>, root: &Path) -> std::io::Result<()> {
    let inside: PathBuf =
        entry.path()?.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let target = root.join(&inside);
    let Some(name) = inside.file_name().and_then(|name| name.to_str()) else {
        return Ok(());
    };
    let parent = target.parent().unwrap_or(root);
    std::fs::create_dir_all(parent)?;
    if name == OPAQUE {
        std::fs::remove_dir_all(parent)?;
        return std::fs::create_dir_all(parent);
    }
    if let Some(gone) = name.strip_prefix(WHITEOUT) {
        return remove(&parent.join(gone));
    }
    match entry.header().entry_type() {
        tar::EntryType::Directory => std::fs::create_dir_all(&target),
        tar::EntryType::Symlink => {
            remove(&target)?;
            let link = entry.link_name()?.unwrap_or_default().into_owned();
            std::os::unix::fs::symlink(link, &target)
        }
        tar::EntryType::Regular => {
            use std::os::unix::fs::PermissionsExt;
            remove(&target)?;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            std::fs::write(&target, bytes)?;
            let mode = entry.header().mode()? & 0o777;
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode))
        }
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    let gone = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        _ => std::fs::remove_file(path),
    };
    match gone {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
