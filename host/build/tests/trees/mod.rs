//! Random trees with everything that a layer must carry, and their comparison.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Mode, XattrFlags};
use windlass_build::layer::EPOCH;
use windlass_model::Digest;

/// Changes of one snapshot.
const CHANGES: usize = 60;

/// The given seed, or one that is drawn.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("WINDLASS_TEST_SEED").ok();
    let drawn = || RandomState::new().build_hasher().finish() % 1_000_000_007;
    given.map_or_else(drawn, |seed| seed.parse().unwrap())
}

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound.max(1) as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn name(&mut self) -> OsString {
        let n = self.below(1000);
        let name = match self.below(8) {
            0 => format!("a name {n}").into_bytes(),
            1 => format!("\u{fc}ml\u{e4}ut-{n}").into_bytes(),
            2 => [b"\xff\xfe=\n".as_slice(), n.to_string().as_bytes()].concat(),
            3 => [vec![b'l'; 120], n.to_string().into_bytes()].concat(),
            4 => [vec![b'm'; 251], format!("{n:04}").into_bytes()].concat(),
            5 => format!("-{n}").into_bytes(),
            6 => format!("wh.{n}").into_bytes(),
            _ => format!("f{n}").into_bytes(),
        };
        OsString::from_vec(name)
    }
}

/// Directories (with the root) and everything else.
fn list(root: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut dirs, mut others) = (vec![root.to_owned()], Vec::new());
    let mut next = 0;
    while next < dirs.len() {
        let mut entries: Vec<_> =
            std::fs::read_dir(&dirs[next]).unwrap().map(|entry| entry.unwrap()).collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let into = if entry.file_type().unwrap().is_dir() { &mut dirs } else { &mut others };
            into.push(entry.path());
        }
        next += 1;
    }
    (dirs, others)
}

/// Changes a tree: what a step may do to what lies below it.
pub(crate) fn change(root: &Path, random: &mut Random) {
    for n in 0..CHANGES {
        let (dirs, others) = list(root);
        let place = random.pick(&dirs).join(random.name());
        if place.symlink_metadata().is_err() && place.as_os_str().len() < 3000 {
            add(&place, &others, random);
        }
        if n % 3 == 0 {
            alter(&dirs, &others, random);
        }
    }
}

fn add(at: &Path, others: &[PathBuf], random: &mut Random) {
    let node = |kind, device| rustix::fs::mknodat(rustix::fs::CWD, at, kind, mode(0o640), device);
    match random.below(12) {
        0..=2 => {
            let size = *random.pick(&[0, 1, 511, 512, 513, 70_000]);
            std::fs::write(at, vec![u8::try_from(random.below(256)).unwrap(); size]).unwrap();
        }
        3 | 4 => std::fs::create_dir(at).unwrap(),
        5 => {
            let deep = (0..4).fold(at.to_owned(), |path, _| path.join("d".repeat(60)));
            std::fs::create_dir_all(&deep).unwrap();
            std::fs::write(deep.join("file"), "deep").unwrap();
        }
        6 => {
            let long = "t/".repeat(80);
            let target = *random.pick(&["nowhere", "/etc/passwd", "../..", long.as_str()]);
            std::os::unix::fs::symlink(target, at).unwrap();
        }
        7 if !others.is_empty() => {
            let _too_many_links = std::fs::hard_link(random.pick(others), at);
        }
        8 => node(FileType::CharacterDevice, rustix::fs::makedev(5, 70_000)).unwrap(),
        9 => node(FileType::BlockDevice, rustix::fs::makedev(259, 3)).unwrap(),
        10 => node(*random.pick(&[FileType::Fifo, FileType::Socket]), 0).unwrap(),
        _ => {
            let mut file = File::create(at).unwrap();
            file.set_len(600_000).unwrap();
            file.seek(SeekFrom::Start(300_001)).unwrap();
            file.write_all(b"in the middle of nothing").unwrap();
        }
    }
}

fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits)
}

fn alter(dirs: &[PathBuf], others: &[PathBuf], random: &mut Random) {
    let dir = random.pick(dirs).clone();
    let is_root = dir == dirs[0];
    let other = (!others.is_empty()).then(|| random.pick(others).clone());
    match (random.below(10), other) {
        (0, Some(other)) => std::fs::remove_file(other).unwrap(),
        (1, _) if !is_root => std::fs::remove_dir_all(dir).unwrap(),
        // What was there is hidden as a whole: an opaque directory.
        (2, _) if !is_root => {
            std::fs::remove_dir_all(&dir).unwrap();
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("new"), "new").unwrap();
        }
        (3, Some(other)) => {
            std::fs::remove_file(&other).unwrap();
            std::fs::create_dir(&other).unwrap();
            std::fs::write(other.join("below"), "a directory now").unwrap();
        }
        (4, _) if !is_root => {
            std::fs::remove_dir_all(&dir).unwrap();
            std::fs::write(&dir, "a file now").unwrap();
        }
        (5, Some(other)) => {
            let to = dir.join(random.name());
            let is_free = to.symlink_metadata().is_err() && to.as_os_str().len() < 3000;
            if is_free {
                std::fs::rename(other, to).unwrap();
            }
        }
        (6, Some(other)) => owner_and_mode(&other, random),
        (7, _) if !is_root => owner_and_mode(&dir, random),
        (8, Some(other)) => attributes(&other, random),
        (9, _) if !is_root => attributes(&dir, random),
        _ => {}
    }
}

fn owner_and_mode(at: &Path, random: &mut Random) {
    let uid = *random.pick(&[0, 1000, 2_097_151, 2_097_152, 4_000_000_000]);
    std::os::unix::fs::lchown(at, Some(uid), Some(7)).unwrap();
    if !at.symlink_metadata().unwrap().is_symlink() {
        let mode = *random.pick(&[0o4755, 0o2750, 0o1777, 0, 0o600]);
        std::fs::set_permissions(at, PermissionsExt::from_mode(mode)).unwrap();
    }
}

fn attributes(at: &Path, random: &mut Random) {
    let meta = at.symlink_metadata().unwrap();
    if !meta.is_file() && !meta.is_dir() {
        return;
    }
    let set = |name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(at, name, value, XattrFlags::empty()).unwrap();
    };
    match random.below(6) {
        0 => set("user.binary", &[0, 1, b'\n', b'=', 255]),
        1 => set("user.long", &vec![b'v'; 900]),
        2 if meta.is_file() => {
            let capability: [u32; 5] = [0x0200_0001, 0x0400, 0, 0, 0];
            let bytes: Vec<u8> = capability.iter().flat_map(|word| word.to_le_bytes()).collect();
            set("security.capability", &bytes);
        }
        3 | 4 => {
            let user = *random.pick(&[0, 1000, 4_000_000_000]);
            let permissions = *random.pick(&[0, 4, 7]);
            let _unsupported = set_list(at, ACCESS, &list_for(user, permissions));
            if meta.is_dir() {
                let _unsupported = set_list(at, DEFAULT, &list_for(user, permissions));
            }
        }
        _ => {
            let ago = *random.pick(&[0, 86_400 * 365 * 50, 3_600]);
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(ago);
            let file = File::open(at).unwrap();
            file.set_modified(time).unwrap();
        }
    }
}

/// Attributes of [access lists](https://man7.org/linux/man-pages/man5/acl.5.html): of an entry itself, and of what
/// is made in a folder. What is there before the folder has the second, or is moved into it, has no list from it.
const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// A list in the kernel's form: the version, and of each entry the kind, the permissions and the id.
fn list_for(user: u32, permissions: u16) -> Vec<u8> {
    const NO_ID: u32 = u32::MAX;
    // Owner, user, owning group, group, mask, others.
    let entries: [(u16, u16, u32); 6] = [
        (0x01, 7, NO_ID),
        (0x02, permissions, user),
        (0x04, 5, NO_ID),
        (0x08, 4, 2_097_152),
        (0x10, 7, NO_ID),
        (0x20, 1, NO_ID),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (kind, permissions, id) in entries {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Whether the file system has access lists.
fn set_list(at: &Path, name: &str, list: &[u8]) -> bool {
    match rustix::fs::lsetxattr(at, name, list, XattrFlags::empty()) {
        Ok(()) => true,
        Err(rustix::io::Errno::OPNOTSUPP) => false,
        Err(error) => panic!("{name} of {}: {error}", at.display()),
    }
}

/// Adds entries with access lists of their own, and some that have theirs from the folder; how many, which is
/// none where the file system has no such lists.
pub(crate) fn add_lists(root: &Path) -> usize {
    let (dir, alone) = (root.join("with lists"), root.join("with a list"));
    std::fs::create_dir(&dir).unwrap();
    if !set_list(&dir, DEFAULT, &list_for(4_000_000_000, 6)) {
        return 0;
    }
    assert!(set_list(&dir, ACCESS, &list_for(1000, 7)));
    std::fs::write(dir.join("file"), "with the folder's list").unwrap();
    std::fs::create_dir(dir.join("folder")).unwrap();
    // Made before its folder hands a list down, and moved into one that does.
    std::fs::create_dir_all(root.join("later with lists/folder")).unwrap();
    std::fs::write(root.join("later with lists/file"), "without a list").unwrap();
    assert!(set_list(&root.join("later with lists"), DEFAULT, &list_for(1000, 6)));
    std::fs::write(root.join("moved"), "without a list").unwrap();
    std::fs::rename(root.join("moved"), dir.join("moved")).unwrap();
    std::fs::write(&alone, "with a list of its own").unwrap();
    assert!(set_list(&alone, ACCESS, &list_for(1000, 4)));
    5
}

/// How many entries of a tree have access lists.
pub(crate) fn with_lists(tree: &BTreeMap<PathBuf, Node>) -> usize {
    let is_list = |(name, _): &(Vec<u8>, Vec<u8>)| name.starts_with(b"system.posix_acl_");
    tree.values().filter(|node| node.xattrs.iter().any(is_list)).count()
}

/// An entry as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    mode: u32,
    owner: (u32, u32),
    device: u64,
    content: String,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    mtime: i64,
    /// All its names.
    names: Vec<PathBuf>,
}

/// Reads a tree, without sockets, which no layer carries, and the root's own attributes.
pub(crate) fn read(root: &Path) -> BTreeMap<PathBuf, Node> {
    let (dirs, others) = list(root);
    let mut linked: BTreeMap<(u64, u64), Vec<PathBuf>> = BTreeMap::new();
    let mut nodes = BTreeMap::new();
    for path in dirs.iter().skip(1).chain(&others) {
        let meta = path.symlink_metadata().unwrap();
        if meta.file_type().is_socket() {
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_owned();
        if !meta.is_dir() {
            linked.entry((meta.dev(), meta.ino())).or_default().push(name.clone());
        }
        let content = if meta.is_file() {
            Digest::of(&std::fs::read(path).unwrap()).to_string()
        } else if meta.is_symlink() {
            format!("{:?}", std::fs::read_link(path).unwrap())
        } else {
            String::new()
        };
        let node = Node {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            device: meta.rdev(),
            content,
            xattrs: xattrs(path),
            mtime: meta.mtime().min(EPOCH),
            names: Vec::new(),
        };
        nodes.insert(name, node);
    }
    for names in linked.into_values() {
        for name in &names {
            nodes.get_mut(name).unwrap().names.clone_from(&names);
        }
    }
    nodes
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0_u8; 8192];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let mut all = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; 8192];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
        value.truncate(length);
        all.push((name.to_vec(), value));
    }
    all.sort();
    all
}

/// Both trees are the same; else says the first difference.
pub(crate) fn assert_same(
    made: &BTreeMap<PathBuf, Node>,
    unpacked: &BTreeMap<PathBuf, Node>,
    what: &str,
) {
    for (path, node) in made {
        assert_eq!(Some(node), unpacked.get(path), "{what}: {}", path.display());
    }
    let more: Vec<_> = unpacked.keys().filter(|path| !made.contains_key(*path)).collect();
    assert!(more.is_empty(), "{what}: only in what was unpacked: {more:?}");
}
