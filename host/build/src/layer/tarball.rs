//! Headers of a tar, as every reader of images understands them: ustar, and PAX records for what does not
//! fit into it.

use std::io::{self, Write};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    File,
    HardLink,
    Symlink,
    Char,
    Block,
    Dir,
    Fifo,
}

impl Type {
    const fn flag(self) -> u8 {
        match self {
            Self::File => b'0',
            Self::HardLink => b'1',
            Self::Symlink => b'2',
            Self::Char => b'3',
            Self::Block => b'4',
            Self::Dir => b'5',
            Self::Fifo => b'6',
        }
    }
}

/// The head of an entry.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) path: &'a [u8],
    pub(super) kind: Type,
    /// Target of a link.
    pub(super) link: &'a [u8],
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) mtime: i64,
    /// Major and minor number.
    pub(super) device: (u32, u32),
    /// Names and values, in order.
    pub(super) xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

impl<'a> Entry<'a> {
    /// A plain file of root's.
    pub(super) const fn file(path: &'a [u8], size: u64) -> Self {
        Self {
            path,
            kind: Type::File,
            link: b"",
            mode: 0o644,
            uid: 0,
            gid: 0,
            size,
            mtime: super::EPOCH,
            device: (0, 0),
            xattrs: &[],
        }
    }

    /// The header, with the PAX header before it where it needs one.
    pub(super) fn header(&self) -> Vec<u8> {
        let records = self.records();
        let mut bytes = Vec::with_capacity(512);
        if !records.is_empty() {
            let pax = Entry::file(b"PaxHeader", records.len() as u64);
            bytes.extend_from_slice(&pax.block(b'x'));
            bytes.extend_from_slice(&records);
            bytes.resize(bytes.len() + padding(records.len() as u64), 0);
        }
        bytes.extend_from_slice(&self.block(self.kind.flag()));
        bytes
    }

    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        if self.path.len() > 100 {
            record(&mut records, b"path", self.path);
        }
        if self.link.len() > 100 {
            record(&mut records, b"linkpath", self.link);
        }
        let mut number = |name: &[u8], value: i128, fits: bool| {
            if !fits {
                record(&mut records, name, value.to_string().as_bytes());
            }
        };
        number(b"size", self.size.into(), self.size < 1 << 33);
        number(b"uid", self.uid.into(), self.uid < 1 << 21);
        number(b"gid", self.gid.into(), self.gid < 1 << 21);
        number(b"mtime", self.mtime.into(), (0..1 << 33).contains(&self.mtime));
        for (name, value) in self.xattrs {
            record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        records
    }

    fn block(&self, flag: u8) -> [u8; 512] {
        let mut block = [0; 512];
        let cut = |text: &[u8]| text[..text.len().min(100)].to_vec();
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        let octal = |value: u64, digits: usize| {
            let fits = value < 1 << (3 * digits);
            format!("{:0digits$o}", if fits { value } else { 0 }).into_bytes()
        };
        put(0, &cut(self.path));
        put(100, &octal(u64::from(self.mode & 0o7777), 7));
        put(108, &octal(self.uid.into(), 7));
        put(116, &octal(self.gid.into(), 7));
        put(124, &octal(self.size, 11));
        put(136, &octal(u64::try_from(self.mtime).unwrap_or(0), 11));
        put(148, b"        ");
        put(156, &[flag]);
        put(157, &cut(self.link));
        put(257, b"ustar\x0000");
        put(329, &octal(self.device.0.into(), 7));
        put(337, &octal(self.device.1.into(), 7));
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }
}

/// `27 path=...`: the length counts itself.
fn record(records: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let rest = name.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(name);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Bytes behind content of this size.
pub(super) const fn padding(size: u64) -> usize {
    ((512 - size % 512) % 512) as usize
}

/// The two empty blocks at the end.
pub(super) const END: [u8; 1024] = [0; 1024];

/// Copies exactly `size` bytes and their padding.
pub(super) fn content(from: &mut dyn io::Read, size: u64, to: &mut dyn Write) -> io::Result<()> {
    let copied = io::copy(&mut io::Read::take(from, size), to)?;
    if copied != size {
        let why = format!("it has {copied} bytes and had {size}");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
    }
    to.write_all(&END[..padding(size)])
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_does_not_fit_into_a_header_is_read_back() {
        let long = [b"d/".repeat(120), vec![0xff, b'x']].concat();
        let xattrs = [(b"user.a".to_vec(), vec![0, 9, 61, 255])];
        let entry = Entry {
            mode: 0o4755,
            uid: 1 << 30,
            gid: 3_000_000,
            mtime: -7,
            xattrs: &xattrs,
            ..Entry::file(&long, 3)
        };
        let mut bytes = entry.header();
        content(&mut &b"abc"[..], 3, &mut bytes).unwrap();
        bytes.extend_from_slice(&END);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entries = archive.entries().unwrap();
        let mut read = entries.next().unwrap().unwrap();
        assert_eq!(&*read.path_bytes(), long.as_slice());
        assert_eq!(read.header().mode().unwrap(), 0o4755);
        let records: Vec<(Vec<u8>, Vec<u8>)> = read
            .pax_extensions()
            .unwrap()
            .unwrap()
            .map(|r| r.map(|r| (r.key_bytes().to_vec(), r.value_bytes().to_vec())).unwrap())
            .collect();
        let value = |name: &str| records.iter().find(|(n, _)| n == name.as_bytes()).map(|r| &r.1);
        assert_eq!(value("SCHILY.xattr.user.a").unwrap(), &[0, 9, 61, 255]);
        assert_eq!(value("mtime").unwrap(), b"-7");
        assert_eq!(value("uid").unwrap(), (1_u32 << 30).to_string().as_bytes());
        let mut body = String::new();
        read.read_to_string(&mut body).unwrap();
        assert_eq!(body, "abc");
        assert!(entries.next().is_none());
    }

    #[test]
    fn a_size_above_eight_gigabytes_is_a_record() {
        let header = Entry::file(b"big", 9 << 33).header();
        let text = String::from_utf8_lossy(&header).into_owned();
        assert!(text.contains(&format!("size={}\n", 9_u64 << 33)), "{text}");
        assert_eq!(Entry::file(b"big", (1 << 33) - 1).header().len(), 512);
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for n in [1, 80, 88, 89, 90, 91, 92, 93, 94, 95, 980, 990, 991, 992] {
            let mut out = Vec::new();
            record(&mut out, b"path", &vec![b'x'; n]);
            let stated: usize =
                String::from_utf8_lossy(&out).split(' ').next().unwrap().parse().unwrap();
            assert_eq!(stated, out.len());
        }
    }
}
