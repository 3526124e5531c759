//! A tar archive in memory: regular files with owner root, mode 0644 and no time, so that the same files give the
//! same bytes. Names of any length.

/// What everything in a tar is filled up to.
const BLOCK: usize = 512;

/// An archive that is being written.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    /// Adds a file. Slashes at the beginning of its name go, and with them what would lead out of a folder.
    pub(crate) fn add(&mut self, name: &str, content: &[u8]) {
        let parts = name.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
        let name = parts.collect::<Vec<_>>().join("/");
        match split(&name) {
            Some((prefix, name)) => self.header(prefix, name, b'0', content.len()),
            None => {
                let record = record(&name);
                self.header("", "name", b'x', record.len());
                self.content(record.as_bytes());
                let mut end = name.len().min(100);
                while !name.is_char_boundary(end) {
                    end -= 1;
                }
                self.header("", &name[..end], b'0', content.len());
            }
        }
        self.content(content);
    }

    /// Its bytes up to now.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The whole of it.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    fn content(&mut self, content: &[u8]) {
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
    }

    /// One header in the format of POSIX (ustar).
    fn header(&mut self, prefix: &str, name: &str, kind: u8, length: usize) {
        let mut block = [0_u8; BLOCK];
        let mut put = |at: usize, field: &[u8]| block[at..at + field.len()].copy_from_slice(field);
        put(0, name.as_bytes());
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{length:011o}\0").as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        put(345, prefix.as_bytes());
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&block);
    }
}

/// A name as prefix and name, where it fits into a header.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= 100 {
        return Some(("", name));
    }
    let slashes = name.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at);
    let mut fits = slashes.filter(|at| *at <= 155 && name.len() - at - 1 <= 100);
    fits.next().map(|at| (&name[..at], &name[at + 1..]))
}

/// The record of an extended header that gives a name. It begins with its own length.
fn record(name: &str) -> String {
    let rest = format!(" path={name}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn files_come_out_again_with_names_of_any_length() {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        let longest = format!("{}/x.map", "\u{e4}".repeat(200));
        let names = ["web/app/a.js.map", long.as_str(), longest.as_str(), &"n".repeat(100)];
        let mut archive = Archive::default();
        for (place, name) in names.iter().enumerate() {
            archive.add(&format!("/{name}"), &vec![b'x'; 511 + place]);
        }
        archive.add("../../etc/./passwd", b"");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut read = Vec::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert_eq!(entry.header().mode().unwrap(), 0o644);
            read.push((entry.path().unwrap().to_str().unwrap().to_owned(), content.len()));
        }
        let expected: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(place, name)| ((*name).to_owned(), 511 + place))
            .collect();
        assert_eq!(read[..4], expected);
        assert_eq!(read[4], ("etc/passwd".to_owned(), 0));
        for length in 85..95 {
            let record = record(&"n".repeat(length));
            assert_eq!(record.split(' ').next().unwrap(), record.len().to_string());
        }
    }
}
