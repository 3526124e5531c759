//! Users of a root file system, by its own `/etc/passwd` and `/etc/group`.
//!
//! **Invariant: files are opened so that no symbolic link of the image leads outside of it.**

use std::io::Read;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::error::{Result, RuntimeError};
use crate::scoped::open_scoped;

/// More is not read of a user database.
const DATABASE_BYTES_MAX: u64 = 4 << 20;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Resolves `user`, `user:group`, `uid` or `uid:gid`; `None` is root.
pub(crate) fn resolve(root: &Path, user: Option<&str>) -> Result<User> {
    let passwd = read_inside(root, "etc/passwd");
    let group = read_inside(root, "etc/group");
    find(&passwd, &group, user.unwrap_or("0"))
}

fn find(passwd: &str, group: &str, wanted: &str) -> Result<User> {
    let (name, group_name) = match wanted.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (wanted, None),
    };
    let entry = passwd.lines().map(fields).find(|entry| {
        entry.first() == Some(&name) || (entry.len() > 3 && name.parse() == number(entry, 2))
    });
    let mut user = match &entry {
        Some(entry) => User {
            uid: number(entry, 2).unwrap_or_default(),
            gid: number(entry, 3).unwrap_or_default(),
            groups: Vec::new(),
            home: entry.get(5).filter(|home| !home.is_empty()).unwrap_or(&"/").to_string(),
        },
        None => match name.parse() {
            Ok(uid) => {
                let home = if uid == 0 { "/root" } else { "/" };
                User { uid, gid: 0, groups: Vec::new(), home: home.to_owned() }
            }
            Err(_) => return Err(no_such("user", name)),
        },
    };
    let login = entry.as_ref().and_then(|entry| entry.first().copied()).unwrap_or(name);
    match group_name {
        Some(wanted) => user.gid = find_group(group, wanted)?,
        None => user.groups = supplementary(group, login, user.gid),
    }
    Ok(user)
}

fn find_group(group: &str, wanted: &str) -> Result<u32> {
    let entry = group.lines().map(fields).find(|entry| entry.first() == Some(&wanted));
    match entry.and_then(|entry| number(&entry, 2).ok()) {
        Some(gid) => Ok(gid),
        None => wanted.parse().map_err(|_| no_such("group", wanted)),
    }
}

fn supplementary(group: &str, login: &str, primary: u32) -> Vec<u32> {
    let member = |entry: &Vec<&str>| {
        entry.get(3).is_some_and(|members| members.split(',').any(|name| name == login))
    };
    let entries = group.lines().map(fields).filter(member);
    entries.filter_map(|entry| number(&entry, 2).ok()).filter(|gid| *gid != primary).collect()
}

fn fields(line: &str) -> Vec<&str> {
    line.trim().split(':').collect()
}

fn number(entry: &[&str], field: usize) -> Result<u32, std::num::ParseIntError> {
    entry.get(field).copied().unwrap_or_default().parse()
}

fn no_such(what: &'static str, name: &str) -> RuntimeError {
    RuntimeError::NoSuchUser { what, name: name.to_owned() }
}

/// A file of the root file system as text; empty when it is absent or leads outside.
fn read_inside(root: &Path, path: &str) -> String {
    let open = || -> std::io::Result<String> {
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, root, directory, Mode::empty())?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = std::fs::File::from(open_scoped(root, path, flags, inside)?);
        let mut bytes = Vec::new();
        if file.metadata()?.is_file() {
            file.take(DATABASE_BYTES_MAX).read_to_end(&mut bytes)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    open().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nnode:x:1001:\naudio:x:29:node,other\n";

    #[test]
    fn names_numbers_and_groups_resolve() {
        let node = User { uid: 1000, gid: 1001, groups: vec![29], home: "/home/node".to_owned() };
        assert_eq!(find(PASSWD, GROUP, "node").unwrap(), node);
        assert_eq!(find(PASSWD, GROUP, "1000").unwrap(), node);
        let other = find(PASSWD, GROUP, "4711:audio").unwrap();
        assert_eq!((other.uid, other.gid, other.home.as_str()), (4711, 29, "/"));
        assert_eq!(find("", "", "0").unwrap().home, "/root");
        assert!(find(PASSWD, GROUP, "nobody").is_err());
        assert!(find(PASSWD, GROUP, "node:nogroup").is_err());
    }

    #[test]
    fn a_link_out_of_the_image_is_read_inside_of_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd-real", root.path().join("etc/passwd")).unwrap();
        std::fs::write(root.path().join("etc/passwd-real"), "app:x:7:7::/app:\n").unwrap();
        assert_eq!(resolve(root.path(), Some("app")).unwrap().uid, 7);
        std::os::unix::fs::symlink("../../../../../../etc/group", root.path().join("etc/group"))
            .unwrap();
        assert_eq!(read_inside(root.path(), "etc/group"), "");
    }
}
