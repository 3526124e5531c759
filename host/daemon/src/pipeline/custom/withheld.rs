//! What a stage withholds of a static tree, kept for download: an archive that is attached in its plugin's name.
//! Nobody can read those files where the tree is served, and no command can: a tree is no image.
//!
//! **Invariants.** Only regular files below the root of the tree are read, and no link is followed. The archive
//! counts among the plugin's artifacts, so it is only there as far as those were granted, and it holds no secret
//! of the environment. That it could not be made fails no stage: it is said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use windlass_model::deployment::ArtifactKind;
use windlass_model::secret::Masker;
use windlass_model::stage::Withheld;
use windlass_sandbox::Effects as _;
use windlass_sandbox::contract::artifacts::{Artifact, Kind};

use super::effects::Granted;

/// Bytes of one archive.
const ARCHIVE_BYTES_MAX: u64 = 48 << 20;
/// What a tar holds beside a file's content, at most as a rule: its header, and one for a long name.
const HEADER_BYTES: u64 = 2_048;
/// What everything in a tar is filled up to.
const BLOCK_BYTES: u64 = 512;
/// Endings of precompressed forms: the proxy withholds them with their file.
const FORMS: [&str; 3] = ["br", "gz", "zst"];

/// Attaches the withheld files of each tree as `withheld-OUTPUT.tar`; a line for people about each.
pub(super) async fn keep(granted: &Granted, withheld: &[Withheld]) -> Vec<String> {
    let mut by_output: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for one in withheld {
        by_output.entry(&one.output).or_default().extend(one.paths.iter().cloned());
    }
    let mut lines = Vec::new();
    for (output, globs) in by_output {
        lines.extend(of_tree(granted, output, globs).await);
    }
    lines
}

/// `None` where the output is no tree: the host has refused that before.
async fn of_tree(granted: &Granted, output: &str, globs: Vec<String>) -> Option<String> {
    let artifact = granted.deployment.outputs.artifact.as_ref()?;
    let ArtifactKind::StaticTree { tree, .. } = &artifact.output(output)?.kind else { return None };
    let root = granted.host.builder.static_tree_dir(tree);
    let masker = granted.log.masker().clone();
    let bytes_max = granted.allowed.artifact_bytes_max().min(ARCHIVE_BYTES_MAX);
    let packing = tokio::task::spawn_blocking(move || pack(&root, &globs, bytes_max, &masker));
    let packed = match packing.await.map_err(io::Error::other).flatten() {
        Ok(packed) => packed,
        Err(error) => return Some(format!("what is withheld of {output} is not kept: {error}")),
    };
    let Packed { files, left_out, .. } = packed;
    if files + left_out == 0 {
        return Some(format!("{output} has no file of the names that are withheld"));
    }
    if files == 0 {
        return Some(format!(
            "what is withheld of {output} is not kept: none of {left_out} files finds room in the {bytes_max} bytes \
             that the plugin may attach"
        ));
    }
    let name = format!("withheld-{output}.tar");
    let artifact = Artifact {
        name: name.clone(),
        kind: Kind::File,
        media_type: "application/x-tar".to_owned(),
        title: format!("Files of {output} that are not served"),
    };
    if let Err(error) = granted.attach(artifact, packed.tar).await {
        return Some(format!("what is withheld of {output} is not kept: {}", error.message));
    }
    let mut line = match files {
        1 => format!("1 withheld file of {output} is kept as {name}"),
        _ => format!("{files} withheld files of {output} are kept as {name}"),
    };
    if left_out > 0 {
        line.push_str(&format!(", and {left_out} found no room"));
    }
    Some(line)
}

/// An archive of what is withheld.
#[derive(Debug)]
struct Packed {
    tar: Vec<u8>,
    /// Files in it.
    files: usize,
    /// Files that found no room.
    left_out: usize,
}

/// Packs the files below `root` that these globs name, without what is secret. The same tree gives the same bytes.
fn pack(root: &Path, globs: &[String], bytes_max: u64, masker: &Masker) -> io::Result<Packed> {
    let mut tar = tar::Builder::new(Vec::new());
    let (mut files, mut left_out) = (0, 0);
    let mut room = bytes_max.saturating_sub(2 * BLOCK_BYTES);
    for path in found(root, &set(globs)?)? {
        let at = root.join(&path);
        if cost(fs::symlink_metadata(&at)?.len()) > room {
            left_out += 1;
            continue;
        }
        let content = masker.mask_bytes(&fs::read(at)?);
        let bytes = content.len() as u64;
        // What stands in place of a secret may be longer.
        let Some(rest) = room.checked_sub(cost(bytes)) else {
            left_out += 1;
            continue;
        };
        room = rest;
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(bytes);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        tar.append_data(&mut header, &path, content.as_slice())?;
        files += 1;
    }
    Ok(Packed { tar: tar.into_inner()?, files, left_out })
}

/// The bytes that a file of this length takes in the archive.
fn cost(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES).saturating_add(HEADER_BYTES)
}

/// Globs as the proxy reads them: `*` does not cross a slash.
fn set(globs: &[String]) -> io::Result<GlobSet> {
    let invalid = |error: globset::Error| io::Error::new(io::ErrorKind::InvalidInput, error);
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(GlobBuilder::new(glob).literal_separator(true).build().map_err(invalid)?);
    }
    set.build().map_err(invalid)
}

/// The regular files that are withheld, from the root and in order. A precompressed form is among them where there is
/// no file that it is the form of.
fn found(root: &Path, globs: &GlobSet) -> io::Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let (path, kind) = (folder.join(entry.file_name()), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && names(&path).any(|path| globs.is_match(path)) {
                found.insert(path);
            }
        }
    }
    let is_only = |path: &&PathBuf| !names(path).skip(1).any(|plain| found.contains(&plain));
    Ok(found.iter().filter(is_only).cloned().collect())
}

/// A path, and that of the file which it is a precompressed form of.
fn names(path: &Path) -> impl Iterator<Item = PathBuf> {
    let is_form = path.extension().is_some_and(|it| FORMS.iter().any(|form| it == *form));
    let plain = is_form.then(|| path.with_extension(""));
    std::iter::once(path.to_owned()).chain(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    /// Names and texts of what is in the archive.
    fn unpacked(packed: &Packed) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for entry in tar::Archive::new(packed.tar.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            files.push((name, text));
        }
        files
    }

    #[test]
    fn what_is_withheld_is_packed_without_secrets_and_without_what_links_lead_to() {
        let long = format!("assets/{}/{}.js.map", "d".repeat(120), "f".repeat(120));
        let root = tree(&[
            ("a.js", "x()"),
            ("a.js.map", "one hunter2-token two"),
            ("a.js.map.gz", "the same, packed"),
            ("b.js.map.br", "only packed"),
            ("world.map", "a map of the world"),
            (&long, "long"),
        ]);
        let outside = tree(&[("secret.js.map", "not of the tree")]);
        symlink(outside.path().join("secret.js.map"), root.path().join("link.js.map")).unwrap();
        symlink(outside.path(), root.path().join("folder")).unwrap();
        let masker = Masker::new(["hunter2-token"]);
        let globs = ["**/*.js.map".to_owned()];
        let packed = pack(root.path(), &globs, 1 << 20, &masker).unwrap();
        let owned = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            unpacked(&packed),
            [
                owned("a.js.map", "one [secret] two"),
                owned(&long, "long"),
                owned("b.js.map.br", "only packed"),
            ]
        );
        assert_eq!((packed.files, packed.left_out), (3, 0));
        let again = pack(root.path(), &globs, 1 << 20, &masker).unwrap();
        assert_eq!(again.tar, packed.tar, "the same bytes");
        let none = pack(root.path(), &["*.css.map".to_owned()], 1 << 20, &masker).unwrap();
        assert_eq!((none.files, none.left_out), (0, 0));
        assert!(pack(root.path(), &["[a".to_owned()], 1 << 20, &masker).is_err());
    }

    #[test]
    fn the_archive_is_never_larger_than_what_there_is_room_for() {
        let root =
            tree(&[("a.map", &"a".repeat(3_000)), ("b.map", &"b".repeat(9_000)), ("c.map", "c")]);
        let all = ["*.map".to_owned()];
        let check = |bytes_max: u64, names: &[&str], left_out: usize| {
            let packed = pack(root.path(), &all, bytes_max, &Masker::default()).unwrap();
            let kept: Vec<String> = unpacked(&packed).into_iter().map(|(name, _)| name).collect();
            assert_eq!(kept, names, "{bytes_max}");
            assert_eq!((packed.files, packed.left_out), (names.len(), left_out), "{bytes_max}");
            assert!(packed.tar.len() as u64 <= bytes_max.max(2 * BLOCK_BYTES), "{bytes_max}");
        };
        check(100_000, &["a.map", "b.map", "c.map"], 0);
        check(10_000, &["a.map", "c.map"], 1);
        check(0, &[], 3);
    }
}
