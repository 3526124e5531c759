//! Writing the content of a file: holes stay holes, and what is written is counted before it is.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::ops::{Allowance, BLOCK_BYTES};

/// Read and written at once.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;
/// Not less is read at once, however short a file says that it is.
const CHUNK_BYTES_MIN: usize = 4 << 10;

/// What a file is written from.
pub(crate) trait Body: Read {
    /// The file that it is, if it is one: its holes can be seen.
    fn as_file(&self) -> Option<&File> {
        None
    }
}

impl Body for File {
    fn as_file(&self) -> Option<&File> {
        Some(self)
    }
}

impl Body for &[u8] {}

impl<R: Read> Body for io::Take<R> {}

/// Writes what is left of a body into an empty file, within the allowance if there is one. Answers the
/// file's length: its holes count there, and are not written.
///
/// # Errors
/// What the file system says; the allowance's error when it is used up.
pub(crate) fn write(
    body: &mut dyn Body,
    to: &mut File,
    allowance: Option<&Allowance>,
) -> io::Result<u64> {
    spend(allowance, BLOCK_BYTES)?;
    let mut counted = BLOCK_BYTES;
    let mut chunk = CHUNK_BYTES;
    if let Some(from) = body.as_file() {
        let meta = from.metadata()?;
        if meta.blocks() * 512 < meta.len() {
            return write_sparse(from, &meta, to, allowance);
        }
        let whole = usize::try_from(meta.len()).unwrap_or(CHUNK_BYTES);
        chunk = whole.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES);
    }
    let mut buffer = vec![0_u8; chunk];
    let mut bytes = 0;
    loop {
        let n = match body.read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if n == 0 {
            return Ok(bytes);
        }
        bytes += n as u64;
        let blocks = bytes.next_multiple_of(BLOCK_BYTES);
        if blocks > counted {
            spend(allowance, blocks - counted)?;
            counted = blocks;
        }
        to.write_all(&buffer[..n])?;
    }
}

fn write_sparse(
    from: &File,
    meta: &Metadata,
    to: &File,
    allowance: Option<&Allowance>,
) -> io::Result<u64> {
    let begin = rustix::fs::tell(from)?;
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    let mut at = begin;
    while let Some(data) = next_data(from, at)? {
        let hole = rustix::fs::seek(from, SeekFrom::Hole(data))?;
        at = data;
        while at < hole {
            let wanted = usize::try_from(hole - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let n = from.read_at(&mut buffer[..wanted], at)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            spend(allowance, (n as u64).next_multiple_of(BLOCK_BYTES))?;
            to.write_all_at(&buffer[..n], at - begin)?;
            at += n as u64;
        }
    }
    let length = meta.len().saturating_sub(begin);
    to.set_len(length)?;
    Ok(length)
}

/// Where the next data of a file begin; `None` when nothing but a hole is left.
fn next_data(file: &File, at: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn spend(allowance: Option<&Allowance>, bytes: u64) -> io::Result<()> {
    allowance.map_or(Ok(()), |allowance| allowance.spend(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_stay_holes_and_the_content_is_the_same() {
        const MIB: u64 = 1 << 20;
        let dir = tempfile::tempdir().unwrap();
        let from = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(dir.path().join("from"))
            .unwrap();
        let middle = vec![7_u8; 3 * CHUNK_BYTES + 5];
        from.write_all_at(b"begin", 0).unwrap();
        from.write_all_at(&middle, 20 * MIB).unwrap();
        from.set_len(64 * MIB).unwrap();
        from.sync_all().unwrap();
        let mut body = from.try_clone().unwrap();
        let mut to = File::create_new(dir.path().join("to")).unwrap();
        assert_eq!(write(&mut body, &mut to, None).unwrap(), 64 * MIB);
        to.sync_all().unwrap();
        let meta = to.metadata().unwrap();
        assert_eq!(meta.len(), 64 * MIB);
        assert!(meta.blocks() * 512 < 2 * MIB, "{} blocks", meta.blocks());
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        assert!(read("from") == read("to"), "the content differs");

        // One that is a hole, and one that has none.
        for (name, content) in [("hole", None), ("full", Some(&middle))] {
            let path = dir.path().join(name);
            match content {
                Some(content) => std::fs::write(&path, content).unwrap(),
                None => File::create(&path).unwrap().set_len(5 * MIB).unwrap(),
            }
            let mut to = File::create_new(dir.path().join(format!("{name}-copy"))).unwrap();
            let length = write(&mut File::open(&path).unwrap(), &mut to, None).unwrap();
            assert_eq!(length, to.metadata().unwrap().len());
            assert!(read(name) == read(&format!("{name}-copy")), "{name} differs");
        }
    }
}
