//! A digest of what a copy takes of another step's result.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use sha2::{Digest as _, Sha256};
use windlass_model::Digest;

use super::Pick;
use crate::rooted::{Entry, Kind, Root, attributes};
use crate::source::sha256_of;

/// More is not read: to carry the copy out costs as much.
const BYTES_MAX: u64 = 64 << 20;
/// The same of files.
const FILES_MAX: usize = 10_000;

/// The digest of all that is picked, without the times: what is alike arrives alike. `None` where that would mean
/// to read very much, or where there is something that is no file, folder or link.
pub(crate) fn digest(root: &Root, picks: &[Pick]) -> io::Result<Option<Digest>> {
    let (mut count, mut bytes) = (0_usize, 0_u64);
    for (entry, _) in picks.iter().flat_map(entries_of) {
        count += 1;
        match entry.kind {
            Kind::File { bytes: own } => bytes = bytes.saturating_add(own),
            Kind::Other => return Ok(None),
            Kind::Dir | Kind::Symlink(_) => {}
        }
    }
    if count > FILES_MAX || bytes > BYTES_MAX {
        return Ok(None);
    }
    let mut sha = Sha256::new();
    // A file and a folder with such a file in it may arrive at different places.
    for pick in picks {
        let (kind, count) = match pick {
            Pick::File(..) => ("file", 1),
            Pick::Inside(below) => ("inside", below.len()),
        };
        sha.update(format!("{kind} {count}\0"));
    }
    for pick in picks {
        // A copy keeps the names of one file together, within a pick.
        let mut links = HashMap::new();
        for (entry, to) in entries_of(pick) {
            add(&mut sha, root, entry, to, &mut links)?;
        }
    }
    Ok(Some(Digest::from_sha256(sha.finalize().into())))
}

fn entries_of(pick: &Pick) -> Vec<(&Entry, &OsStr)> {
    match pick {
        Pick::File(entry, name) => vec![(entry, name.as_os_str())],
        Pick::Inside(below) => below.iter().map(|one| (&one.entry, one.to.as_os_str())).collect(),
    }
}

/// The first name of each file that has several, by device and inode.
type Links = HashMap<(u64, u64), OsString>;

fn add(
    sha: &mut Sha256,
    root: &Root,
    entry: &Entry,
    to: &OsStr,
    links: &mut Links,
) -> io::Result<()> {
    part(sha, to.as_bytes());
    part(sha, format!("{:o} {} {}", entry.mode, entry.owner.uid, entry.owner.gid).as_bytes());
    match &entry.kind {
        Kind::Dir => part(sha, b"folder"),
        Kind::Symlink(target) => {
            part(sha, b"link");
            part(sha, target.as_bytes());
        }
        Kind::File { bytes } => {
            part(sha, format!("file {bytes}").as_bytes());
            let mut file = root.open_file(&entry.path)?;
            let meta = file.metadata()?;
            if meta.nlink() > 1 {
                let first = links.entry((meta.dev(), meta.ino())).or_insert_with(|| to.to_owned());
                part(sha, first.as_bytes());
            }
            // As a copy keeps them.
            let attributes = attributes(&file);
            sha.update((attributes.len() as u64).to_be_bytes());
            for (name, value) in &attributes {
                part(sha, name);
                part(sha, value);
            }
            part(sha, sha256_of(&mut file)?.as_bytes());
        }
        Kind::Other => {}
    }
    Ok(())
}

/// With its length in front, so that no two lists of parts look alike.
fn part(sha: &mut Sha256, bytes: &[u8]) {
    sha.update((bytes.len() as u64).to_be_bytes());
    sha.update(bytes);
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::super::{Picker, Rules};
    use super::*;

    fn digest_of(make: impl Fn(&Path)) -> Option<Digest> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("out")).unwrap();
        std::fs::write(dir.path().join("out/recipe.json"), "same").unwrap();
        make(dir.path());
        let root = Root::open(dir.path()).unwrap();
        let none: [String; 0] = [];
        let picker = Picker {
            root: &root,
            ignore: Rules::new(&none).unwrap(),
            exclude: Rules::new(&none).unwrap(),
            without_git: false,
            parents: false,
        };
        digest(&root, &picker.pick("out").unwrap()).unwrap()
    }

    #[test]
    fn what_is_beside_and_when_it_was_made_does_not_count_and_all_else_does() {
        let plain = digest_of(|_| {}).unwrap();
        let beside = digest_of(|dir| std::fs::write(dir.join("main.rs"), "changed").unwrap());
        assert_eq!(beside.as_ref(), Some(&plain));
        let changes: [fn(&Path); 6] = [
            |dir| std::fs::write(dir.join("out/recipe.json"), "else").unwrap(),
            |dir| std::fs::write(dir.join("out/more"), "").unwrap(),
            |dir| std::fs::rename(dir.join("out/recipe.json"), dir.join("out/r")).unwrap(),
            |dir| {
                let mode = std::fs::Permissions::from_mode(0o755);
                std::fs::set_permissions(dir.join("out/recipe.json"), mode).unwrap();
            },
            |dir| {
                std::os::unix::fs::chown(dir.join("out/recipe.json"), Some(1000), None).unwrap();
            },
            |dir| std::os::unix::fs::symlink("recipe.json", dir.join("out/link")).unwrap(),
        ];
        let copied = digest_of(|dir| std::fs::write(dir.join("out/b"), "same").unwrap());
        let linked = digest_of(|dir| {
            std::fs::hard_link(dir.join("out/recipe.json"), dir.join("out/b")).unwrap();
        });
        assert_ne!(copied, linked, "what is written to one of them later arrives in both");
        for (n, change) in changes.into_iter().enumerate() {
            assert_ne!(digest_of(change).unwrap(), plain, "{n}");
        }
    }

    #[test]
    fn very_much_is_not_read() {
        let large = |dir: &Path| {
            let file = File::create(dir.join("out/large")).unwrap();
            file.set_len(BYTES_MAX + 1).unwrap();
        };
        assert_eq!(digest_of(large), None);
    }
}
