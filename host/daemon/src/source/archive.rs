//! Uploaded archives: tar (plain, gzip or zstd) and zip, told apart by their first bytes.
//!
//! **Invariant: the tar crate only parses headers here.** Every entry is judged by us before a byte of
//! it is written, and written by [`Writer`], which cannot leave its folder. Extension headers are read
//! raw, so that there is one opinion on an entry's name and size and not two that disagree.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;
use tar::{Archive, Entry, EntryType};
use tokio_util::sync::CancellationToken;
use windlass_model::deployment::Fetched;
use windlass_model::{Digest, Failure, Limits};

use super::writer::Writer;
use super::zipped;
use super::{FetchRequest, Got, Place, cancelled, host_failed, too_large, uploads};

/// Bytes of one extension header: a long name, or PAX records.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of one path.
const PATH_BYTES_MAX: usize = 4096;

/// Unpacks an uploaded archive into the place.
pub(super) async fn fetch(
    request: &FetchRequest<'_>,
    digest: &Digest,
    place: &Place,
    cancel: &CancellationToken,
) -> Result<Got, Failure> {
    let archive = uploads::path(request.data_dir, digest);
    let (into, limits, cancel) = (place.partial(), request.limits.clone(), cancel.clone());
    let unpacked = tokio::task::spawn_blocking(move || unpack(&archive, &into, &limits, &cancel));
    unpacked.await.map_err(|e| host_failed("unpack the archive", &e)).flatten()
}

/// Unpacks the file `archive` into the existing, empty folder `into`.
pub(super) fn unpack(
    archive: &Path,
    into: &Path,
    limits: &Limits,
    cancel: &CancellationToken,
) -> Result<Got, Failure> {
    let file = File::open(archive).map_err(|e| upload_missing(&e))?;
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let start = std::io::BufRead::fill_buf(&mut reader).map_err(|e| invalid(e.to_string()))?;
    let mut writer = Writer::open(into).map_err(|e| host_failed("open the workspace", &e))?;
    let mut counter = Counter { limits, entries: 0, bytes: 0 };
    let source: Box<dyn Read> = match start {
        [0x1f, 0x8b, ..] => Box::new(GzDecoder::new(reader)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::Decoder::with_buffer(reader);
            Box::new(decoder.map_err(|e| invalid(e.to_string()))?)
        }
        [b'P', b'K', 3 | 5, ..] => {
            zipped::unpack(reader.into_inner(), &mut writer, &mut counter, cancel)?;
            return finish(writer, counter.bytes);
        }
        _ => Box::new(reader),
    };
    let mut unpacking = Unpacking { writer, counter, next: Extensions::default() };
    let mut archive = Archive::new(source);
    for entry in archive.entries().map_err(|e| invalid(e.to_string()))?.raw(true) {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        unpacking.entry(entry.map_err(|e| invalid(e.to_string()))?)?;
    }
    refuse_trailing(&mut archive.into_inner())?;
    finish(unpacking.writer, unpacking.counter.bytes)
}

/// What was unpacked so far, and how much it may be.
pub(super) struct Counter<'a> {
    limits: &'a Limits,
    entries: u64,
    bytes: u64,
}

impl Counter<'_> {
    /// One entry more.
    pub(super) fn entry(&mut self) -> Result<(), Failure> {
        self.entries += 1;
        if self.entries > self.limits.source_files_max.saturating_mul(3) {
            return Err(too_large("the archive has too many entries", "source_files_max"));
        }
        Ok(())
    }

    /// So many bytes more, counted before they are written.
    pub(super) fn bytes(&mut self, bytes: u64) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= self.limits.source_bytes_max {
            return Ok(());
        }
        let why = format!("unpacked, it has more than {} bytes", self.limits.source_bytes_max);
        Err(too_large(why, "source_bytes_max"))
    }

    /// What was written, folders that no entry names included.
    pub(super) fn written(&self, writer: &Writer) -> Result<(), Failure> {
        if writer.count() > self.limits.source_files_max {
            let why = format!("it has more than {} entries", self.limits.source_files_max);
            return Err(too_large(why, "source_files_max"));
        }
        Ok(())
    }
}

fn finish(writer: Writer, bytes: u64) -> Result<Got, Failure> {
    let tree = writer.finish()?;
    if tree.entries.is_empty() {
        return Err(invalid("there is no file in it".to_owned()));
    }
    let fetched = Fetched {
        commit: None,
        subject: None,
        author: None,
        tree: tree.digest(),
        files: tree.entries.len() as u64,
        bytes,
        anonymous: false,
        image: None,
    };
    Ok(Got { tree, fetched, warnings: Vec::new() })
}

/// Extension headers that were read for the entry that follows them.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

struct Unpacking<'a> {
    writer: Writer,
    counter: Counter<'a>,
    next: Extensions,
}

impl Unpacking<'_> {
    fn entry(&mut self, mut entry: Entry<'_, impl Read>) -> Result<(), Failure> {
        self.counter.entry()?;
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => read_extension(&mut entry).map(drop),
            EntryType::GNULongName => {
                once(&mut self.next.path, trim_nul(read_extension(&mut entry)?))
            }
            EntryType::GNULongLink => {
                once(&mut self.next.link, trim_nul(read_extension(&mut entry)?))
            }
            EntryType::XHeader => {
                let records = read_extension(&mut entry)?;
                self.next.read_pax(&records)
            }
            kind => {
                let extensions = std::mem::take(&mut self.next);
                self.real_entry(&mut entry, kind, extensions)
            }
        }
    }

    fn real_entry(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        kind: EntryType,
        extensions: Extensions,
    ) -> Result<(), Failure> {
        let raw = extensions.path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let link = extensions.link.or_else(|| entry.link_name_bytes().map(Into::into));
        let shown = String::from_utf8_lossy(&raw).into_owned();
        let path = clean_path(&raw)?;
        let size = entry.size();
        if extensions.size.is_some_and(|said| said != size) {
            return Err(unsafe_entry(&shown, "its headers disagree about its size"));
        }
        let is_file = matches!(kind, EntryType::Regular);
        if !is_file && size > 0 {
            return Err(unsafe_entry(&shown, "it is no file, and yet has contents"));
        }
        match kind {
            EntryType::Directory => self.writer.directory(&path),
            EntryType::Regular if raw.ends_with(b"/") && size == 0 => self.writer.directory(&path),
            EntryType::Regular => {
                self.counter.bytes(size)?;
                let mode = entry.header().mode().map_err(|e| invalid(e.to_string()))?;
                self.writer.file(&path, mode & 0o111 != 0, size, entry)
            }
            EntryType::Symlink => self.writer.symlink(&path, &link_target(&shown, link)?),
            EntryType::Link => {
                let target = clean_path(&link.unwrap_or_default())?;
                let size = self.writer.file_size(&path, &target)?;
                self.counter.bytes(size)?;
                self.writer.copy(&path, &target)
            }
            EntryType::Char | EntryType::Block => Err(unsafe_entry(&shown, "it is a device")),
            EntryType::Fifo => Err(unsafe_entry(&shown, "it is a named pipe")),
            EntryType::GNUSparse => Err(unsafe_entry(&shown, "sparse files are not accepted")),
            other => {
                let why =
                    format!("entries of type {:?} are not accepted", char::from(other.as_byte()));
                Err(unsafe_entry(&shown, &why))
            }
        }?;
        self.counter.written(&self.writer)
    }
}

impl Extensions {
    /// Reads `<length> <key>=<value>\n` records; what concerns neither name nor size is of no interest.
    fn read_pax(&mut self, records: &[u8]) -> Result<(), Failure> {
        let mut rest = records;
        let mut seen = BTreeMap::new();
        while !rest.is_empty() {
            let (key, value, after) = pax_record(rest)
                .ok_or_else(|| invalid("a PAX header in it is damaged".to_owned()))?;
            if seen.insert(key.to_vec(), value.to_vec()).is_some() {
                return Err(invalid("a PAX header in it says something twice".to_owned()));
            }
            rest = after;
        }
        for (key, value) in seen {
            match key.as_slice() {
                b"path" => once(&mut self.path, value)?,
                b"linkpath" => once(&mut self.link, value)?,
                b"size" => {
                    let size = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
                    self.size =
                        Some(size.ok_or_else(|| invalid("a size in it is no number".into()))?);
                }
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(unsafe_entry("", "sparse files are not accepted"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

fn once(slot: &mut Option<Vec<u8>>, value: Vec<u8>) -> Result<(), Failure> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(unsafe_entry("", "its headers give two names")),
    }
}

fn read_extension(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, Failure> {
    if entry.size() > EXTENSION_BYTES_MAX {
        return Err(invalid(format!("an extension header is over {EXTENSION_BYTES_MAX} bytes")));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| invalid(e.to_string()))?;
    Ok(bytes)
}

fn trim_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

/// A path from the workspace's root, without `.` components; empty for the root itself.
pub(super) fn clean_path(raw: &[u8]) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(raw);
    let refuse = |why| Err(unsafe_entry(&text, why));
    let Ok(path) = std::str::from_utf8(raw) else {
        return refuse("its name is not UTF-8");
    };
    if path.is_empty() || path.len() > PATH_BYTES_MAX {
        return refuse("its name is empty or too long");
    }
    if path.contains('\0') {
        return refuse("its name contains a NUL byte");
    }
    if path.starts_with('/') {
        return refuse("its path is absolute");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return refuse("its path contains `..`");
    }
    Ok(parts.join("/"))
}

/// A symbolic link's target as it is written. Whether it stays inside is checked when all is there.
pub(super) fn link_target(shown: &str, link: Option<Vec<u8>>) -> Result<String, Failure> {
    let target = String::from_utf8(link.unwrap_or_default())
        .map_err(|_| unsafe_entry(shown, "its target is not UTF-8"))?;
    if target.is_empty() || target.len() > PATH_BYTES_MAX || target.contains('\0') {
        return Err(unsafe_entry(shown, "its target is empty, too long or contains a NUL byte"));
    }
    if target.starts_with('/') {
        return Err(unsafe_entry(shown, "it is a symbolic link to an absolute path"));
    }
    Ok(target)
}

/// Reads on behind the end: the checksum of a gzip stream is at its end, and anything but padding
/// there is an archive that other programs would read differently.
fn refuse_trailing(rest: &mut dyn Read) -> Result<(), Failure> {
    const PADDING_BYTES_MAX: usize = 1 << 20;
    let mut buffer = [0_u8; 8192];
    let mut total = 0;
    loop {
        let n = rest.read(&mut buffer).map_err(|e| invalid(e.to_string()))?;
        total += n;
        if n == 0 {
            return Ok(());
        }
        if total > PADDING_BYTES_MAX || buffer[..n].iter().any(|b| *b != 0) {
            return Err(unsafe_entry("", "there are data behind the archive's end"));
        }
    }
}

/// An entry that is refused for safety. With it the whole archive is.
pub(super) fn unsafe_entry(path: &str, why: &str) -> Failure {
    let what = if path.is_empty() {
        "the archive has an entry that is not safe to unpack".to_owned()
    } else {
        format!("the archive's entry {path:?} is not safe to unpack")
    };
    Failure::app(
        "source.archive-unsafe-entry",
        what,
        why,
        "pack the folder anew with `tar -czf source.tar.gz -C FOLDER .`, without this entry",
    )
}

/// An archive that cannot be read.
pub(super) fn invalid(why: String) -> Failure {
    Failure::app(
        "source.archive-invalid",
        "the upload is not a readable archive",
        why,
        "send a zip, tar, tar.gz or tar.zst archive: tar -czf source.tar.gz -C FOLDER .",
    )
}

fn upload_missing(error: &std::io::Error) -> Failure {
    Failure::host(
        "source.upload-missing",
        "the uploaded archive is not there any more",
        error.to_string(),
        "deploy the folder again",
    )
}
