//! `user:group` of a copy, by the step's own user database.

use std::path::Path;

use windlass_model::Failure;

use crate::rooted::{Owner, Root};

const DATABASE_BYTES_MAX: u64 = 1 << 20;

/// The owner that a text means inside a root file system; root when there is none.
pub(crate) fn resolve(text: Option<&str>, root: &Root) -> Result<Owner, Failure> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(Owner::default()) };
    let (user, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
    let passwd = database(root, "etc/passwd");
    let groups = database(root, "etc/group");
    let (uid, own_group) = match user.parse::<u32>() {
        Ok(uid) => (uid, field(&passwd, 2, user, 3).unwrap_or(0)),
        Err(_) => match (field(&passwd, 0, user, 2), field(&passwd, 0, user, 3)) {
            (Some(uid), gid) => (uid, gid.unwrap_or(0)),
            (None, _) => return Err(unknown("user", user)),
        },
    };
    let gid = match group {
        None => own_group,
        Some(group) => match group.parse().ok().or_else(|| field(&groups, 0, group, 2)) {
            Some(gid) => gid,
            None => return Err(unknown("group", group)),
        },
    };
    Ok(Owner { uid, gid })
}

/// The same by the rules of container build files: a user by number brings the group of that number.
pub(crate) fn of_file(text: &str, root: &Root) -> Result<Owner, Failure> {
    match text.parse::<u32>() {
        Ok(uid) => Ok(Owner { uid, gid: uid }),
        Err(_) => resolve(Some(text), root),
    }
}

fn database(root: &Root, path: &str) -> String {
    let bytes = root.read(Path::new(path), DATABASE_BYTES_MAX).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Field `wanted` of the first line whose field `key` is `value`.
fn field(database: &str, key: usize, value: &str, wanted: usize) -> Option<u32> {
    database.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(key) == Some(&value)).then(|| fields.get(wanted)?.parse().ok()).flatten()
    })
}

fn unknown(what: &str, name: &str) -> Failure {
    Failure::app(
        "build.no-such-user",
        format!("There is no {what} {name:?} in the base"),
        "a copy gives files to it, and /etc/passwd or /etc/group does not list it",
        "name one that exists, create it in an earlier command, or give its number",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_resolved_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "node:x:1000:1001::/:/bin/sh\n").unwrap();
        std::fs::write(dir.path().join("etc/group"), "web:x:33:\n").unwrap();
        let root = Root::open(dir.path()).unwrap();
        let owner = |text| resolve(Some(text), &root).map(|o| (o.uid, o.gid));
        assert_eq!(owner("node").unwrap(), (1000, 1001));
        assert_eq!(owner("node:web").unwrap(), (1000, 33));
        assert_eq!(owner("7:8").unwrap(), (7, 8));
        assert_eq!(owner("ghost").unwrap_err().code, "build.no-such-user");
        assert_eq!(resolve(None, &root).unwrap(), Owner::default());
        let file = |text| of_file(text, &root).map(|o| (o.uid, o.gid)).unwrap();
        assert_eq!(
            (file("1000"), file("1000:33"), file("node")),
            ((1000, 1000), (1000, 33), (1000, 1001))
        );
    }
}
