//! The file that holds every key of a store: a backup, and a checkpoint of the journal.
//!
//! A line that names the format, a record for each key in key order (lengths, revision, key, value), an
//! end record with their number and the SHA-256 of everything before it. **Nothing that is read counts
//! before the end record was checked.**

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use windlass_model::Digest;

use super::{Entry, KEY_BYTES_MAX, Revision, VALUE_BYTES_MAX};
use crate::error::{Result, StoreError};

const MAGIC: &[u8] = b"windlass backup 1\n";

/// What a file holds.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    /// Revision of the store that it shows.
    pub(crate) revision: Revision,
    /// Keys in it.
    pub(crate) keys: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// SHA-256 of its contents.
    pub(crate) digest: Digest,
}

/// Calls back with every key in order, and returns the revision of the whole.
pub(crate) type Export<'a> =
    &'a dyn Fn(&mut dyn FnMut(&str, &Entry) -> Result<()>) -> Result<Revision>;

/// Writes a file and syncs it; its directory is the caller's.
pub(crate) fn write(path: &Path, export: Export<'_>) -> Result<Revision> {
    let io = || StoreError::io("writing", path);
    let file = File::create(path).map_err(io())?;
    let mut out = Hashed { inner: BufWriter::new(file), sha: Sha256::new(), bytes: 0 };
    out.write_all(MAGIC).map_err(io())?;
    let mut keys = 0_u64;
    let revision = export(&mut |key, entry| {
        keys += 1;
        write_record(&mut out, key, entry).map_err(io())
    })?;
    let mut end = || {
        out.write_all(&0_u32.to_be_bytes())?;
        out.write_all(&keys.to_be_bytes())?;
        out.write_all(&revision.to_be_bytes())?;
        let sum = out.sha.clone().finalize();
        out.write_all(&sum)?;
        out.inner.flush()?;
        out.inner.get_ref().sync_all()
    };
    end().map_err(io())?;
    Ok(revision)
}

fn write_record(out: &mut impl Write, key: &str, entry: &Entry) -> std::io::Result<()> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    out.write_all(&length(key.len()))?;
    out.write_all(&length(entry.value.len()))?;
    out.write_all(&entry.revision.to_be_bytes())?;
    out.write_all(key.as_bytes())?;
    out.write_all(&entry.value)
}

/// Reads a whole file.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not exactly what was written.
pub(crate) fn read(
    path: &Path,
    each: &mut dyn FnMut(&str, Entry) -> Result<()>,
) -> Result<Summary> {
    let damaged =
        |why: &str| StoreError::Corrupt { what: path.display().to_string(), why: why.to_owned() };
    let cut = |_| damaged("it ends too early");
    let file = File::open(path).map_err(StoreError::io("opening", path))?;
    let mut input = Hashed { inner: BufReader::new(file), sha: Sha256::new(), bytes: 0 };
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic).map_err(cut)?;
    if magic != MAGIC {
        return Err(damaged("it is no file of this format"));
    }
    let mut keys = 0_u64;
    loop {
        let key_bytes = u32::from_be_bytes(input.array().map_err(cut)?) as usize;
        if key_bytes == 0 {
            break;
        }
        let value_bytes = u32::from_be_bytes(input.array().map_err(cut)?) as usize;
        if key_bytes > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX {
            return Err(damaged("a length in it is impossible"));
        }
        let revision = u64::from_be_bytes(input.array().map_err(cut)?);
        let key = String::from_utf8(input.vec(key_bytes).map_err(cut)?)
            .map_err(|_| damaged("a key in it is not text"))?;
        let value = input.vec(value_bytes).map_err(cut)?;
        each(&key, Entry { revision, value })?;
        keys += 1;
    }
    let counted = u64::from_be_bytes(input.array().map_err(cut)?);
    let revision = u64::from_be_bytes(input.array().map_err(cut)?);
    let expected: [u8; 32] = input.sha.clone().finalize().into();
    let stored: [u8; 32] = input.array().map_err(cut)?;
    if counted != keys || stored != expected {
        return Err(damaged("its checksum is wrong"));
    }
    let digest = Digest::from_sha256(stored);
    Ok(Summary { revision, keys, bytes: input.bytes, digest })
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("syncing", dir))
}

/// Hashes and counts what passes.
struct Hashed<T> {
    inner: T,
    sha: Sha256,
    bytes: u64,
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sha.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Hashed<T> {
    fn read_exact(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.sha.update(&*bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn vec(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
