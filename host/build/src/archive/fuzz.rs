//! Short fuzzing: whatever an archive says, nothing is written outside, and it ends.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use windlass_test_support::mutate::{self, Dice};
use windlass_test_support::sample;

use super::{ArchiveError, ArchiveLimits, Unpacked, unpack, unpack_whole};
use crate::rooted::{Owner, Root};

const LIMITS: ArchiveLimits = ArchiveLimits { bytes_max: 1 << 16, entries_max: 64 };

/// How a tar is packed.
#[derive(Debug, Clone, Copy)]
enum Packed {
    Not,
    Gzip,
    Zstd,
    Bzip2,
}

/// An entry: its path, its kind, where it links to.
type Row = (&'static str, tar::EntryType, &'static str);

/// What a tar is made of, first the good.
fn rows() -> Vec<Row> {
    use tar::EntryType as T;
    vec![
        ("d/", T::Directory, ""),
        ("d/file", T::Regular, ""),
        ("d/link", T::Symlink, "file"),
        ("d/up", T::Symlink, "../d/file"),
        ("out", T::Symlink, ".."),
        ("out/file", T::Regular, ""),
        ("hard", T::Link, "d/file"),
        ("../beside", T::Regular, ""),
        ("/absolute", T::Regular, ""),
        ("d/../../beside", T::Regular, ""),
        ("away", T::Symlink, "/"),
        ("away/tmp/written", T::Regular, ""),
        ("pipe", T::Fifo, ""),
        ("d", T::Symlink, "../.."),
        ("d/beside", T::Regular, ""),
        ("hard-out", T::Link, "../beside"),
    ]
}

/// A tar of some of the rows, in some order, with some of its bytes damaged.
fn tar_of(dice: &mut Dice) -> Vec<u8> {
    let rows = rows();
    let mut made = Vec::new();
    for _ in 0..=dice.below(8) {
        // Most are good ones, or none would get far.
        let likely = if dice.below(5) > 0 { &rows[..4] } else { &rows };
        let (path, kind, link) = *dice.one(likely);
        let body = vec![b'x'; dice.below(700)];
        let body = if kind == tar::EntryType::Regular { body } else { Vec::new() };
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(body.len() as u64);
        let fields = header.as_gnu_mut().unwrap();
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        if dice.below(8) == 0 {
            let damaged = mutate::bytes(header.as_bytes(), dice);
            let length = damaged.len().min(512);
            header.as_mut_bytes()[..length].copy_from_slice(&damaged[..length]);
        }
        // A wrong sum would be all that is ever found.
        if dice.below(30) > 0 {
            header.set_cksum();
        }
        made.extend_from_slice(header.as_bytes());
        made.extend_from_slice(&body);
        made.resize(made.len().next_multiple_of(512), 0);
    }
    made.resize(made.len() + 1024, 0);
    if dice.below(4) == 0 { mutate::bytes(&made, dice) } else { made }
}

fn packed(bytes: &[u8], how: Packed) -> Vec<u8> {
    match how {
        Packed::Not => bytes.to_vec(),
        Packed::Gzip => {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        }
        Packed::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        Packed::Bzip2 => {
            let mut to = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        }
    }
}

fn zip_of(dice: &mut Dice) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for n in 0..=dice.below(6) {
        let (path, kind, link) = *dice.one(&rows());
        // The same name twice is refused when it is written.
        let path = format!("{path}{}", if n == 0 { String::new() } else { n.to_string() });
        if kind == tar::EntryType::Symlink {
            zip.add_symlink(path, link, options).unwrap();
        } else {
            zip.start_file(path, options).unwrap();
            zip.write_all(&vec![b'x'; dice.below(700)]).unwrap();
        }
    }
    let made = zip.finish().unwrap().into_inner();
    if dice.below(4) == 0 { made } else { mutate::bytes(&made, dice) }
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file
}

/// A folder to unpack into, between others.
struct Place {
    parent: tempfile::TempDir,
    into: PathBuf,
}

impl Place {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let into = parent.path().join("deep/into");
        std::fs::create_dir_all(&into).unwrap();
        std::fs::write(parent.path().join("beside"), "as it was").unwrap();
        symlink("into", parent.path().join("deep/other")).unwrap();
        Self { parent, into }
    }

    fn assert_nothing_outside(&self, what: &str) {
        let names = |path: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(path).unwrap();
            let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
            let mut names: Vec<String> =
                entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(self.parent.path()), ["beside", "deep"], "{what}");
        assert_eq!(names(&self.parent.path().join("deep")), ["into", "other"], "{what}");
        let beside = std::fs::read(self.parent.path().join("beside")).unwrap();
        assert_eq!(beside, b"as it was", "{what}");
    }
}

/// The bytes of every file below. A stranger's archive has nothing beside files, folders, and links that stay inside.
fn assert_harmless(root: &Path, of_stranger: bool, what: &str) -> u64 {
    let (mut bytes, mut folders) = (0, vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        // A folder whose mode lets nobody in was made so by the archive.
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                let below = folder.strip_prefix(root).unwrap();
                let stays = stays_inside(below, &target);
                assert!(stays || !of_stranger, "{what}: {path:?} leads to {target:?}");
            } else if kind.is_dir() {
                folders.push(path);
            } else {
                assert!(kind.is_file() || !of_stranger, "{what}: {path:?}");
                bytes += entry.metadata().unwrap().len();
            }
        }
    }
    bytes
}

fn stays_inside(below: &Path, target: &Path) -> bool {
    let mut depth = below.components().count();
    target.components().all(|part| match part {
        Component::ParentDir if depth == 0 => false,
        Component::ParentDir => {
            depth -= 1;
            true
        }
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::CurDir => true,
        Component::RootDir | Component::Prefix(_) => false,
    })
}

#[test]
fn no_archive_writes_outside_whatever_it_says() {
    let seed = sample::seed();
    eprintln!("WINDLASS_TEST_SEED={seed}");
    let (mut unpacked, mut refused) = (0, 0);
    for case in 0..mutate::cases(1_500, 60_000) {
        let mut dice = Dice::new(seed, case);
        let bytes = match dice.below(4) {
            0 => zip_of(&mut dice),
            _ => packed(&tar_of(&mut dice), *dice.one(&[Packed::Not, Packed::Gzip, Packed::Zstd])),
        };
        // What is packed is damaged as well, now and then.
        let bytes = if dice.below(12) == 0 { mutate::bytes(&bytes, &mut dice) } else { bytes };
        let what = format!("case {case} of {seed}");
        let place = Place::new();
        match unpack(&mut file_of(&bytes), &place.into, LIMITS) {
            Ok(Unpacked { entries, bytes }) => {
                assert!(entries <= LIMITS.entries_max && bytes <= LIMITS.bytes_max, "{what}");
                unpacked += 1;
            }
            Err(_) => refused += 1,
        }
        place.assert_nothing_outside(&what);
        let bytes = assert_harmless(&place.into, true, &what);
        assert!(bytes <= LIMITS.bytes_max + 1, "{what}: {bytes} bytes");
    }
    assert!(unpacked > 100 && refused > 100, "{unpacked} unpacked, {refused} refused");
}

#[test]
fn no_archive_of_a_build_writes_outside_its_root() {
    let seed = sample::seed();
    eprintln!("WINDLASS_TEST_SEED={seed}");
    let me =
        Owner { uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw() };
    let mut unpacked = 0;
    for case in 0..mutate::cases(1_000, 40_000) {
        let mut dice = Dice::new(seed, case);
        let how = [Packed::Not, Packed::Gzip, Packed::Zstd, Packed::Bzip2];
        let bytes = packed(&tar_of(&mut dice), *dice.one(&how));
        let what = format!("case {case} of {seed}");
        let place = Place::new();
        let root = Root::open(&place.into).unwrap();
        let done =
            unpack_whole(&mut file_of(&bytes), &root, Path::new("/"), LIMITS, (me, Some(me)));
        unpacked += u32::from(matches!(done, Ok(true)));
        assert!(!matches!(done, Err(ArchiveError::UnknownFormat)), "{what}");
        place.assert_nothing_outside(&what);
        assert_harmless(&place.into, false, &what);
    }
    assert!(unpacked > 50, "{unpacked} unpacked");
}
