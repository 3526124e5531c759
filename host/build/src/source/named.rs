//! What is written down of the files that a step reads: their names and digests, within bounds.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use std::os::unix::ffi::OsStrExt;
use windlass_model::Digest;

use crate::key::short;

/// Files that are named one by one; of more, their folders are.
const NAMED_FILES_MAX: usize = 2000;
/// Levels of folders that are tried.
const DEPTH_MAX: usize = 4;

/// Digests by file, or by folder at the deepest level at which the folders are few enough.
pub(crate) fn grouped(files: &[(PathBuf, String)]) -> BTreeMap<String, String> {
    if files.len() <= NAMED_FILES_MAX {
        let of = |(path, id): &(PathBuf, String)| (shown(path), short(&Digest::of(id.as_bytes())));
        return files.iter().map(of).collect();
    }
    let Some(depth) = (1..=DEPTH_MAX).rev().find(|depth| are_few(files, *depth)) else {
        return BTreeMap::new();
    };
    let mut groups: BTreeMap<String, Sha256> = BTreeMap::new();
    for (path, id) in files {
        let mut name = shown(&prefix(path, depth));
        if path.components().count() > depth {
            name.push('/');
        }
        let sha = groups.entry(name).or_default();
        sha.update(path.as_os_str().as_bytes());
        sha.update([0]);
        sha.update(id.as_bytes());
        sha.update([0]);
    }
    let digest = |sha: Sha256| short(&Digest::from_sha256(sha.finalize().into()));
    groups.into_iter().map(|(name, sha)| (name, digest(sha))).collect()
}

fn are_few(files: &[(PathBuf, String)], depth: usize) -> bool {
    let mut folders = HashSet::new();
    files.iter().all(|(path, _)| {
        folders.insert(prefix(path, depth));
        folders.len() <= NAMED_FILES_MAX
    })
}

/// The path, with escapes and in quotes where it is no text, so that two that differ do not look the same.
fn shown(path: &Path) -> String {
    path.to_str().map_or_else(|| format!("{path:?}"), str::to_owned)
}

fn prefix(path: &Path, depth: usize) -> PathBuf {
    path.iter().take(depth).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_files_the_folders_are_named() {
        let files = |changed: &str| -> Vec<(PathBuf, String)> {
            let name = |n: usize| format!("src/d{}/f{n}.txt", n % 10);
            let id = |path: &str| if path == changed { "2" } else { "1" }.to_owned();
            (0..NAMED_FILES_MAX + 1).map(|n| (PathBuf::from(name(n)), id(&name(n)))).collect()
        };
        let (old, new) = (grouped(&files("")), grouped(&files("src/d3/f13.txt")));
        assert_eq!(old.len(), 10);
        let differs: Vec<&String> = old.keys().filter(|name| old[*name] != new[*name]).collect();
        assert_eq!(differs, ["src/d3/"]);
        let few = grouped(&files("")[..2]);
        assert_eq!(few.keys().collect::<Vec<_>>(), ["src/d0/f0.txt", "src/d1/f1.txt"]);
    }
}
