//! Putting what was picked into a root.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Pick;
use super::pick::Below;
use crate::ops::Mode;
use crate::rooted::{Entry, Folder, Kind, Owner, Root};

/// Threads that copy at once: more wait for the same journal.
const THREADS_MAX: usize = 4;
/// Fewer files are copied before a thread has begun.
const FILES_OF_A_THREAD_MIN: usize = 250;

/// How files arrive.
pub(crate) struct Putting<'a> {
    /// Where from.
    pub(crate) from: &'a Root,
    /// Where to.
    pub(crate) to: &'a Root,
    /// Given to this owner; else they keep their own.
    pub(crate) owner: Option<Owner>,
    /// With this mode; else they keep their own.
    pub(crate) mode: Option<&'a Mode>,
    /// Modes become 755 and 644, as Git knows them, and times are not kept.
    pub(crate) plain: bool,
}

impl Putting<'_> {
    /// Puts one match at `dest`, which is a directory if it ends in a slash or is one.
    pub(crate) fn put(&self, pick: &Pick, dest: &str) -> io::Result<()> {
        let path = Path::new(dest);
        let new = self.owner.unwrap_or_default();
        let ensured = if dest.ends_with('/') { Some(path) } else { path.parent() };
        self.to.create_dirs(ensured.unwrap_or(path), new)?;
        let path = self.to.canonical(path).unwrap_or_else(|_| path.to_owned());
        match pick {
            Pick::File(entry, name) => {
                let path = if self.to.is_dir(&path) { path.join(name) } else { path };
                self.file(entry, &path, &mut HashMap::new())
            }
            Pick::Inside(below) => {
                self.to.create_dirs(&path, new)?;
                self.inside(below, &path)
            }
        }
    }

    fn inside(&self, below: &[Below], dest: &Path) -> io::Result<()> {
        let mut links = HashMap::new();
        let mut times = Vec::new();
        let mut files = Vec::new();
        let is_apart = self.plain && !self.goes_through_links(below, dest);
        for Below { entry, to, only_new } in below {
            let path = dest.join(to);
            if is_apart && matches!(entry.kind, Kind::File { .. }) {
                files.push((entry, path));
            } else if entry.kind != Kind::Dir {
                self.file(entry, &path, &mut links)?;
            } else if !(self.to.is_dir(&path) && (*only_new || self.is_link(&path))) {
                self.to.write_dir(&path, self.mode_of(entry), self.owner_of(entry))?;
                times.push((path, entry.mtime));
            }
        }
        self.files(&files, threads())?;
        // Last, because what is put into a directory changes its time.
        for (path, mtime) in times.iter().rev().filter(|_| !self.plain) {
            self.to.set_mtime(path, *mtime)?;
        }
        Ok(())
    }

    /// Whether a directory of these is a link where it goes to: then two names may mean one file, of which the
    /// later one counts.
    fn goes_through_links(&self, below: &[Below], dest: &Path) -> bool {
        let mut dirs = below.iter().filter(|one| one.entry.kind == Kind::Dir);
        dirs.any(|one| self.is_link(&dest.join(&one.to)))
    }

    /// Writes files whose directories are there, each one under another name, on so many threads where they
    /// are many.
    fn files(&self, files: &[(&Entry, PathBuf)], threads: usize) -> io::Result<()> {
        let threads = threads.min(files.len() / FILES_OF_A_THREAD_MIN);
        if threads < 2 {
            return self.files_in_turn(files);
        }
        std::thread::scope(|scope| {
            let parts = files.chunks(files.len().div_ceil(threads)).map(|part| {
                let copy = move || self.files_in_turn(part);
                (part, std::thread::Builder::new().spawn_scoped(scope, copy))
            });
            let begun: Vec<_> = parts.collect();
            let failed = |_| Err(io::Error::other("a thread that copies files ended early"));
            begun.into_iter().try_for_each(|(part, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(failed),
                // No more threads can be made: this one copies.
                Err(_) => self.files_in_turn(part),
            })
        })
    }

    fn files_in_turn(&self, files: &[(&Entry, PathBuf)]) -> io::Result<()> {
        let mut from: Option<(&Path, Root)> = None;
        let mut to: Option<(&Path, Folder)> = None;
        for (entry, path) in files {
            let (own, parent) = (parent_of(&entry.path), parent_of(path));
            let (own_name, name) = (name_of(&entry.path), name_of(path));
            let owner = self.owner_of(entry);
            let read = match from.take() {
                Some((at, folder)) if at == own => folder,
                _ => self.from.sub(own)?,
            };
            let written = match to.take() {
                Some((at, folder)) if at == parent => folder,
                _ => self.to.folder(parent, owner)?,
            };
            let mut body = read.open_named(own_name)?;
            written.write_file(name, &mut body, self.mode_of(entry), owner)?;
            (from, to) = (Some((own, read)), Some((parent, written)));
        }
        Ok(())
    }

    fn is_link(&self, path: &Path) -> bool {
        self.to.entry(path).is_ok_and(|entry| matches!(entry.kind, Kind::Symlink(_)))
    }

    fn file(
        &self,
        entry: &Entry,
        path: &Path,
        links: &mut HashMap<(u64, u64), PathBuf>,
    ) -> io::Result<()> {
        let owner = self.owner_of(entry);
        match &entry.kind {
            Kind::Dir => return Ok(()),
            // A source has files, folders and links, as Git knows them.
            Kind::Other if self.plain => return Ok(()),
            Kind::Other => {
                return self.to.copy_node(self.from, entry, path, self.mode_of(entry), owner);
            }
            Kind::Symlink(target) => self.to.write_link(path, Path::new(target), owner)?,
            Kind::File { .. } => {
                let mut body = self.from.open_file(&entry.path)?;
                if !self.plain
                    && let Some(first) = first_link(&body, path, links)?
                {
                    return self.to.hard_link(&first, path);
                }
                self.to.write_file(path, &mut body, self.mode_of(entry), owner)?;
                if !self.plain {
                    self.to.copy_attributes(&body, path)?;
                }
            }
        }
        if self.plain { Ok(()) } else { self.to.set_mtime(path, entry.mtime) }
    }

    fn owner_of(&self, entry: &Entry) -> Owner {
        self.owner.unwrap_or(entry.owner)
    }

    fn mode_of(&self, entry: &Entry) -> u32 {
        let is_dir = entry.kind == Kind::Dir;
        let own = match self.plain {
            false => entry.mode,
            true if !is_dir && entry.mode & 0o111 == 0 => 0o644,
            true => 0o755,
        };
        self.mode.map_or(own, |mode| mode.of(own, is_dir))
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn name_of(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// How many threads copy on this machine.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX)
}

/// Lays one tree over another: what is in the way of a file or a directory goes, directories take the
/// upper one's mode, owner and time, files also its attributes and hard links, and no link is followed.
pub(crate) fn lay_over(from: &Root, to: &Root) -> io::Result<()> {
    let (mut links, mut times) = (HashMap::new(), Vec::new());
    for entry in from.walk()? {
        let there = to.entry(&entry.path).ok();
        let is_dir = entry.kind == Kind::Dir;
        if there.is_some_and(|there| (there.kind == Kind::Dir) != is_dir) {
            to.remove_all(&entry.path)?;
        }
        match &entry.kind {
            Kind::Dir => {
                to.write_dir(&entry.path, entry.mode, entry.owner)?;
                times.push((entry.path, entry.mtime));
                continue;
            }
            Kind::File { .. } => {
                let mut body = from.open_file(&entry.path)?;
                if let Some(first) = first_link(&body, &entry.path, &mut links)? {
                    to.hard_link(&first, &entry.path)?;
                    continue;
                }
                to.write_file(&entry.path, &mut body, entry.mode, entry.owner)?;
                to.copy_attributes(&body, &entry.path)?;
            }
            Kind::Symlink(target) => {
                to.write_link(&entry.path, Path::new(target), entry.owner)?;
            }
            Kind::Other => {
                to.copy_node(from, &entry, &entry.path, entry.mode, entry.owner)?;
                continue;
            }
        }
        to.set_mtime(&entry.path, entry.mtime)?;
    }
    // Last, because what is put into a directory changes its time.
    times.iter().rev().try_for_each(|(path, mtime)| to.set_mtime(path, *mtime))
}

/// Where a file was put under its first name; else notes that it is put here, if it has several.
fn first_link(
    body: &File,
    path: &Path,
    links: &mut HashMap<(u64, u64), PathBuf>,
) -> io::Result<Option<PathBuf>> {
    let meta = body.metadata()?;
    let number = (meta.dev(), meta.ino());
    let first = links.get(&number).cloned();
    if first.is_none() && meta.nlink() > 1 {
        links.insert(number, path.to_owned());
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    use std::time::{Duration, UNIX_EPOCH};

    use rustix::fs::{CWD, FileType, XattrFlags, makedev, mknodat};

    use super::super::{Picker, Rules};
    use super::*;

    fn me() -> Owner {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Owner { uid, gid }
    }

    fn put(name: &str, dest: &str, mode: Option<&Mode>, to: &Path) -> io::Result<()> {
        let from = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(from.path().join("src/lib")).unwrap();
        std::fs::write(from.path().join("src/a"), "a").unwrap();
        std::fs::hard_link(from.path().join("src/a"), from.path().join("src/b")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.path().join("src/link")).unwrap();
        std::fs::set_permissions(
            from.path().join("src/lib"),
            std::fs::Permissions::from_mode(0o700),
        )
        .unwrap();
        let (root, to) = (Root::open(from.path()).unwrap(), Root::open(to).unwrap());
        let picker = Picker {
            root: &root,
            ignore: Rules::default(),
            exclude: Rules::default(),
            without_git: false,
            parents: false,
        };
        let putting = Putting { from: &root, to: &to, owner: Some(me()), mode, plain: false };
        picker.pick(name).unwrap().iter().try_for_each(|pick| putting.put(pick, dest))
    }

    #[test]
    fn a_folder_s_contents_arrive_with_links_and_modes() {
        let to = tempfile::tempdir().unwrap();
        put("src", "/app", None, to.path()).unwrap();
        let at = |path: &str| to.path().join("app").join(path);
        assert_eq!(std::fs::read_link(at("link")).unwrap(), Path::new("/etc/passwd"));
        let inode = |path: &str| std::fs::metadata(at(path)).unwrap().ino();
        assert_eq!(inode("a"), inode("b"));
        assert_eq!(std::fs::metadata(at("lib")).unwrap().mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_directory_that_is_there_takes_the_mode_of_the_source_s() {
        let to = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(to.path().join("app/lib")).unwrap();
        put("src", "/app", None, to.path()).unwrap();
        assert_eq!(std::fs::metadata(to.path().join("app/lib")).unwrap().mode() & 0o7777, 0o700);
    }

    #[test]
    fn very_many_files_arrive_as_few_do_and_through_a_link_the_later_one_counts() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = |n: usize| format!("d{}/f{n}", n % 7);
        for n in 0..FILES_OF_A_THREAD_MIN * 3 {
            let path = from.path().join(name(n));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, name(n)).unwrap();
            let mode = if n % 5 == 0 { 0o700 } else { 0o600 };
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let (root, dest) = (Root::open(from.path()).unwrap(), Root::open(to.path()).unwrap());
        let picker = Picker {
            root: &root,
            ignore: Rules::default(),
            exclude: Rules::default(),
            without_git: true,
            parents: false,
        };
        let putting =
            Putting { from: &root, to: &dest, owner: Some(me()), mode: None, plain: true };
        let put = |dest: &str| {
            picker.pick(".").unwrap().iter().try_for_each(|pick| putting.put(pick, dest)).unwrap();
        };
        let at = |dest: &str| to.path().join(dest.trim_start_matches('/'));
        let put_on_threads = |dest: &str| {
            let picks = picker.pick(".").unwrap();
            let Some(Pick::Inside(below)) = picks.first() else { panic!("it is a folder") };
            let files = below.iter().filter(|one| matches!(one.entry.kind, Kind::File { .. }));
            let files: Vec<_> =
                files.map(|one| (&one.entry, Path::new(dest).join(&one.to))).collect();
            (0..7).for_each(|n| std::fs::create_dir_all(at(dest).join(format!("d{n}"))).unwrap());
            putting.files(&files, 3).unwrap();
        };
        // The second time every file is in the way of itself; at last on threads, however many cores are there.
        for (on_threads, dest) in [(false, "/app"), (false, "/app"), (true, "/apart")] {
            if on_threads {
                put_on_threads(dest);
            } else {
                put(dest);
            }
            for n in 0..FILES_OF_A_THREAD_MIN * 3 {
                let path = at(dest).join(name(n));
                assert_eq!(std::fs::read_to_string(&path).unwrap(), name(n));
                let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
                assert_eq!(mode, if n % 5 == 0 { 0o755 } else { 0o644 }, "{n}");
            }
        }
        for dir in ["d0", "d1"] {
            std::fs::write(from.path().join(dir).join("same"), dir).unwrap();
        }
        std::fs::create_dir_all(to.path().join("linked/d1")).unwrap();
        std::os::unix::fs::symlink("d1", to.path().join("linked/d0")).unwrap();
        put("/linked");
        assert_eq!(std::fs::read_to_string(to.path().join("linked/d1/same")).unwrap(), "d1");
        assert!(to.path().join("linked/d0").is_symlink());
    }

    #[test]
    fn one_file_goes_to_the_name_or_into_the_directory() {
        let to = tempfile::tempdir().unwrap();
        let mode = Mode::parse("u=rwX,go=").unwrap();
        put("src/a", "/x/y", Some(&mode), to.path()).unwrap();
        assert_eq!(std::fs::metadata(to.path().join("x/y")).unwrap().mode() & 0o7777, 0o600);
        put("src/a", "/x", None, to.path()).unwrap();
        put("src/a", "/z/", None, to.path()).unwrap();
        assert!(to.path().join("x/a").is_file() && to.path().join("z/a").is_file());
    }

    #[test]
    fn laid_over_nothing_is_followed() {
        let (upper, lower) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(upper.path().join("d")).unwrap();
        std::fs::write(upper.path().join("d/f"), "new").unwrap();
        std::fs::create_dir(lower.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", lower.path().join("d")).unwrap();
        let (from, to) = (Root::open(upper.path()).unwrap(), Root::open(lower.path()).unwrap());
        lay_over(&from, &to).unwrap();
        assert!(!lower.path().join("d").is_symlink());
        assert!(lower.path().join("d/f").is_file() && !lower.path().join("real/f").exists());
    }

    /// The attribute that file capabilities are stored in, with one of them: `CAP_NET_BIND_SERVICE`.
    const CAPABILITY: (&str, &[u8]) =
        ("security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

    /// Gives a file these attributes; where the file system or the user cannot, none.
    fn marked(path: &Path) -> Vec<(&'static str, &'static [u8])> {
        let set = |(name, value): &(&str, &[u8])| {
            rustix::fs::setxattr(path, *name, value, XattrFlags::empty()).is_ok()
        };
        [("user.mark", b"1".as_slice()), CAPABILITY].into_iter().filter(set).collect()
    }

    #[test]
    fn laid_over_files_keep_attributes_hard_links_and_times() {
        let (upper, lower) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |path: &str| upper.path().join(path);
        std::fs::create_dir(at("d")).unwrap();
        std::fs::write(at("d/server"), "program").unwrap();
        std::fs::hard_link(at("d/server"), at("second")).unwrap();
        let attributes = marked(&at("d/server"));
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::open(at("d")).unwrap().set_modified(time).unwrap();
        let (from, to) = (Root::open(upper.path()).unwrap(), Root::open(lower.path()).unwrap());
        lay_over(&from, &to).unwrap();

        let arrived = |path: &str| lower.path().join(path);
        for (name, value) in attributes {
            let mut found = [0_u8; 64];
            let length = rustix::fs::getxattr(arrived("second"), name, &mut found[..]).expect(name);
            assert_eq!(&found[..length], value, "{name}");
        }
        let inode = |path: &str| std::fs::metadata(arrived(path)).unwrap().ino();
        assert_eq!(inode("d/server"), inode("second"));
        assert_eq!(std::fs::metadata(arrived("d")).unwrap().modified().unwrap(), time);
    }

    #[test]
    fn pipes_and_devices_arrive_but_those_of_a_source() {
        let from = tempfile::tempdir().unwrap();
        let at = |path: &str| from.path().join(path);
        std::fs::create_dir(at("src")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let node = |name, kind, device| mknodat(CWD, at(name), kind, mode, device);
        node("src/pipe", FileType::Fifo, 0).unwrap();
        // Only root makes devices, and not in every container.
        let has_device = node("src/device", FileType::CharacterDevice, makedev(1, 3)).is_ok();
        std::fs::set_permissions(at("src/pipe"), std::fs::Permissions::from_mode(0o666)).unwrap();
        let root = Root::open(from.path()).unwrap();
        let picker = Picker {
            root: &root,
            ignore: Rules::default(),
            exclude: Rules::default(),
            without_git: false,
            parents: false,
        };
        let (upper, lower) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (to, over) = (Root::open(upper.path()).unwrap(), Root::open(lower.path()).unwrap());
        for (plain, dest) in [(false, "/kept"), (true, "/plain")] {
            let putting = Putting { from: &root, to: &to, owner: Some(me()), mode: None, plain };
            picker.pick("src").unwrap().iter().for_each(|pick| putting.put(pick, dest).unwrap());
        }
        lay_over(&to, &over).unwrap();
        for arrived in [upper.path(), lower.path()] {
            let pipe = std::fs::metadata(arrived.join("kept/pipe")).unwrap();
            assert!(pipe.file_type().is_fifo());
            assert_eq!(pipe.mode() & 0o7777, 0o666, "whatever the umask is");
            let own = std::fs::metadata(at("src/pipe")).unwrap();
            assert_eq!(pipe.modified().unwrap(), own.modified().unwrap());
            if has_device {
                let device = std::fs::metadata(arrived.join("kept/device")).unwrap();
                assert!(device.file_type().is_char_device() && device.rdev() == makedev(1, 3));
            }
            assert_eq!(std::fs::read_dir(arrived.join("plain")).unwrap().count(), 0);
        }
    }
}
