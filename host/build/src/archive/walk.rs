//! Walking a tar whose headers are a stranger's.
//!
//! **Invariant: what is said of one entry beside its contents takes a bounded part of memory.** Long names and
//! attributes come as entries of their own, which the reader of tars holds whole: packed, a gigabyte of them
//! is a megabyte.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::rc::Rc;

use super::ArchiveError;
use super::pax::BLOCK_BYTES;

/// All that is said of one entry beside its contents, in bytes.
const HEADERS_BYTES_MAX: u64 = 1 << 20;

/// How far an archive was read.
#[derive(Default)]
struct Progress {
    /// Bytes that were read.
    read: Cell<u64>,
    /// Bytes that may be read.
    left: Cell<u64>,
    /// What is read of headers, while they are.
    heads: RefCell<Option<Vec<u8>>>,
}

impl Progress {
    fn note(&self, bytes: &[u8]) {
        let count = bytes.len() as u64;
        self.read.set(self.read.get() + count);
        self.left.set(self.left.get().saturating_sub(count));
        if let Some(heads) = self.heads.borrow_mut().as_mut() {
            heads.extend_from_slice(bytes);
        }
    }

    /// What an error of the reader means.
    fn failed(&self, error: io::Error) -> ArchiveError {
        if self.left.get() > 0 {
            return ArchiveError::Io(error);
        }
        too_large()
    }
}

fn too_large() -> ArchiveError {
    let unit = "bytes of names and attributes of one entry";
    ArchiveError::TooLarge { limit: HEADERS_BYTES_MAX, unit }
}

/// Reads from an archive, as much as is left.
pub(super) struct Bounded<R> {
    reader: R,
    progress: Rc<Progress>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.progress.left.get();
        if left == 0 {
            return Err(io::Error::other("the headers are too long"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.reader.read(&mut buffer[..most])?;
        self.progress.note(&buffer[..read]);
        Ok(read)
    }
}

/// Hands every entry to `each`, in the order of the archive, with all headers that are its own.
pub(super) fn walk<R: Read>(
    reader: R,
    mut each: impl FnMut(&mut tar::Entry<'_, Bounded<R>>, &[u8]) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let progress = Rc::new(Progress::default());
    progress.left.set(u64::MAX);
    let mut archive = tar::Archive::new(Bounded { reader, progress: Rc::clone(&progress) });
    let mut entries = archive.entries().map_err(ArchiveError::Io)?;
    loop {
        // The last block of the contents before is filled up to its end.
        let filling =
            progress.read.get().next_multiple_of(BLOCK_BYTES as u64) - progress.read.get();
        progress.left.set(HEADERS_BYTES_MAX);
        *progress.heads.borrow_mut() = Some(Vec::new());
        let mut entry = match entries.next() {
            None => return Ok(()),
            Some(Ok(entry)) => entry,
            Some(Err(error)) => return Err(progress.failed(error)),
        };
        let heads = progress.heads.take().unwrap_or_default();
        let heads = usize::try_from(filling).ok().and_then(|filling| heads.get(filling..));
        progress.left.set(u64::MAX);
        each(&mut entry, heads.unwrap_or_default())?;
        // What it holds beyond what was read of it is no contents of anything.
        progress.left.set(HEADERS_BYTES_MAX);
        // Holes are read as well, and are nowhere in the archive.
        let mut rest = (&mut entry).take(HEADERS_BYTES_MAX + 1);
        let passed = io::copy(&mut rest, &mut io::sink());
        if passed.map_err(|error| progress.failed(error))? > HEADERS_BYTES_MAX {
            return Err(too_large());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pax::attributes;
    use super::*;

    /// A tar whose one entry has a name of this length.
    fn named(length: usize) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let name = vec!["x".repeat(100); length.div_ceil(100)].join("/");
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        builder.append_data(&mut header, name, &b"1"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_long_name_is_read_and_one_that_fills_the_memory_is_not() {
        let mut seen = 0;
        walk(named(2_000).as_slice(), |entry, _| {
            seen += entry.path().unwrap().as_os_str().len();
            Ok(())
        })
        .unwrap();
        assert!(seen >= 2_000);
        let refused = walk(named(4 << 20).as_slice(), |_, _| Ok(())).unwrap_err();
        assert!(matches!(refused, ArchiveError::TooLarge { .. }), "{refused:?}");
    }

    #[test]
    fn a_hole_that_nobody_reads_is_not_read_to_its_end() {
        let mut header = tar::Header::new_gnu();
        header.set_path("x").unwrap();
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_size(0);
        let gnu = header.as_gnu_mut().unwrap();
        // A real size of 2^62 bytes, as a number and not as octal digits.
        gnu.realsize = [0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0];
        gnu.sparse[0].offset = gnu.realsize;
        gnu.sparse[0].numbytes = *b"00000000000\0";
        header.set_cksum();
        let mut tar = header.as_bytes().to_vec();
        tar.extend([0; 2 * BLOCK_BYTES]);
        let refused = walk(tar.as_slice(), |entry, _| {
            assert_eq!(entry.size(), 1 << 62);
            Ok(())
        });
        assert!(matches!(refused, Err(ArchiveError::TooLarge { .. })), "{refused:?}");
    }

    #[test]
    fn contents_may_be_longer_than_headers() {
        let mut builder = tar::Builder::new(Vec::new());
        let body = vec![7; 3 << 20];
        for name in ["a", "b"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(body.len() as u64);
            builder.append_data(&mut header, name, body.as_slice()).unwrap();
        }
        let mut read = 0;
        let whole = builder.into_inner().unwrap();
        walk(whole.as_slice(), |entry, _| {
            read += io::copy(entry, &mut io::sink()).map_err(ArchiveError::Io)?;
            Ok(())
        })
        .unwrap();
        assert_eq!(read, 6 << 20);
    }

    /// Appends a file with these bytes that has its own name as an attribute.
    fn append_noted(builder: &mut tar::Builder<Vec<u8>>, name: &str, body: &[u8]) {
        builder.append_pax_extensions([("SCHILY.xattr.user.of", name.as_bytes())]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_size(body.len() as u64);
        header.set_cksum();
        builder.append(&header, body).unwrap();
    }

    #[test]
    fn each_entry_comes_with_its_own_headers_however_much_of_it_is_read() {
        let mut builder = tar::Builder::new(Vec::new());
        let lengths = [0, 1, 511, 512, 513, 70_000];
        for length in lengths {
            append_noted(&mut builder, &format!("of-{length}"), &vec![b'x'; length]);
        }
        let whole = builder.into_inner().unwrap();
        for bytes_max in [0, 1, 512, u64::MAX] {
            let mut seen = Vec::new();
            walk(whole.as_slice(), |entry, heads| {
                let of = attributes(heads).into_iter().map(|(_, value)| value.to_vec());
                seen.extend(of);
                io::copy(&mut entry.take(bytes_max), &mut io::sink()).map_err(ArchiveError::Io)?;
                Ok(())
            })
            .unwrap();
            let expected: Vec<Vec<u8>> =
                lengths.iter().map(|length| format!("of-{length}").into_bytes()).collect();
            assert_eq!(seen, expected, "{bytes_max} bytes are read of each");
        }
    }

    #[test]
    fn what_nobody_reads_is_passed_over_up_to_a_limit() {
        let mut builder = tar::Builder::new(Vec::new());
        append_noted(&mut builder, "a", &vec![b'x'; 2 << 20]);
        let whole = builder.into_inner().unwrap();
        let refused = walk(whole.as_slice(), |_, _| Ok(())).unwrap_err();
        assert!(matches!(refused, ArchiveError::TooLarge { .. }), "{refused:?}");
    }
}
