//! Zip archives, by the same rules as tar.
//!
//! **Invariant: only the central directory names entries**, and a byte is written only after the path
//! and the promised size were judged; what unpacks to another size than promised is refused.

use std::fs::File;
use std::io::{Read as _, Seek as _};

use tokio_util::sync::CancellationToken;
use windlass_model::Failure;
use zip::read::ZipFile;

use super::archive::{Counter, clean_path, invalid, link_target, unsafe_entry};
use super::cancelled;
use super::writer::Writer;

const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
/// Bytes of a symbolic link's target.
const TARGET_BYTES_MAX: u64 = 4096;

/// Writes every entry of a zip archive.
pub(super) fn unpack(
    mut file: File,
    writer: &mut Writer,
    counter: &mut Counter<'_>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    file.rewind().map_err(|e| invalid(e.to_string()))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|e| invalid(e.to_string()))?;
    for n in 0..archive.len() {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        counter.entry()?;
        let mut entry = archive.by_index(n).map_err(|e| invalid(e.to_string()))?;
        write(&mut entry, writer, counter)?;
        counter.written(writer)?;
    }
    Ok(())
}

fn write(
    entry: &mut ZipFile<'_, File>,
    writer: &mut Writer,
    counter: &mut Counter<'_>,
) -> Result<(), Failure> {
    let raw = entry.name_raw().to_vec();
    let shown = String::from_utf8_lossy(&raw).into_owned();
    let path = clean_path(&raw)?;
    // Archives made on Windows name no mode.
    let mode = entry.unix_mode().unwrap_or(REGULAR | 0o644);
    let size = entry.size();
    match (mode & KIND, raw.ends_with(b"/")) {
        (0 | FOLDER | REGULAR, true) | (FOLDER, false) => writer.directory(&path),
        (0 | REGULAR, false) => {
            counter.bytes(size)?;
            writer.file(&path, mode & 0o111 != 0, size, &mut entry.take(size.saturating_add(1)))
        }
        (SYMLINK, false) if size <= TARGET_BYTES_MAX => {
            let mut target = Vec::new();
            let read = entry.take(TARGET_BYTES_MAX + 1).read_to_end(&mut target);
            read.map_err(|e| invalid(e.to_string()))?;
            writer.symlink(&path, &link_target(&shown, Some(target))?)
        }
        _ => Err(unsafe_entry(&shown, "it is neither a file, a folder nor a symbolic link")),
    }
}
