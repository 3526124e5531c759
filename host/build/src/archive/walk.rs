//! Walking a tar whose headers are a stranger's.
//!
//! **Invariant: what is said of one entry beside its contents takes a bounded part of memory.** Long names and
//! attributes come as entries of their own, which the reader of tars holds whole: packed, a gigabyte of them
//! is a megabyte.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use super::ArchiveError;

/// All that is said of one entry beside its contents, in bytes.
const HEADERS_BYTES_MAX: u64 = 1 << 20;

/// Reads from an archive, as much as is left.
pub(super) struct Bounded<R> {
    reader: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other("the headers are too long"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.reader.read(&mut buffer[..most])?;
        self.left.set(left.saturating_sub(read as u64));
        Ok(read)
    }
}

/// Hands every entry to `each`, in the order of the archive.
pub(super) fn walk<R: Read>(
    reader: R,
    mut each: impl FnMut(&mut tar::Entry<'_, Bounded<R>>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let left = Rc::new(Cell::new(u64::MAX));
    let mut archive = tar::Archive::new(Bounded { reader, left: Rc::clone(&left) });
    let mut entries = archive.entries().map_err(ArchiveError::Io)?;
    loop {
        // What an entry holds beyond what was read of it is passed over here too.
        left.set(HEADERS_BYTES_MAX);
        let mut entry = match entries.next() {
            None => return Ok(()),
            Some(Ok(entry)) => entry,
            Some(Err(_)) if left.get() == 0 => {
                let unit = "bytes of names and attributes of one entry";
                return Err(ArchiveError::TooLarge { limit: HEADERS_BYTES_MAX, unit });
            }
            Some(Err(error)) => return Err(ArchiveError::Io(error)),
        };
        left.set(u64::MAX);
        each(&mut entry)?;
    }
}

#[cfg(test)]
mod tests {
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
        walk(named(2_000).as_slice(), |entry| {
            seen += entry.path().unwrap().as_os_str().len();
            Ok(())
        })
        .unwrap();
        assert!(seen >= 2_000);
        let refused = walk(named(4 << 20).as_slice(), |_| Ok(())).unwrap_err();
        assert!(matches!(refused, ArchiveError::TooLarge { .. }), "{refused:?}");
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
        walk(whole.as_slice(), |entry| {
            read += io::copy(entry, &mut io::sink()).map_err(ArchiveError::Io)?;
            Ok(())
        })
        .unwrap();
        assert_eq!(read, 6 << 20);
    }
}
