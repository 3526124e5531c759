//! What a stage withholds of a static tree, kept for download: an archive that is attached in its plugin's name.
//! Nobody can read those files where the tree is served, and no command can: a tree is no image.
//!
//! **Invariants.** Only regular files below the root of the tree are read, and no link is followed. The archive
//! counts among the plugin's artifacts, so it is only there as far as those were granted, and it holds no secret
//! of the environment: what is there in a compressed form alone, in which nobody would find one, is left out. That it
//! could not be made fails no stage: it is said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use windlass_model::Digest;
use windlass_model::deployment::ArtifactKind;
use windlass_model::secret::Masker;
use windlass_model::stage;
use windlass_proxy::Withheld;
use windlass_sandbox::contract::artifacts::{Artifact, Kind};

use super::attached;
use super::effects::Granted;
use super::record::Folder;

/// Bytes of one archive.
const ARCHIVE_BYTES_MAX: u64 = 48 << 20;
/// What everything in a tar is filled up to, and the length of a header.
const BLOCK_BYTES: u64 = 512;
/// A name of so many bytes, or more, may take a header and blocks of its own.
const NAME_BYTES_MIN: u64 = 100;

/// Attaches the files that a stage withholds of each tree as `withheld-STAGE.OUTPUT.tar`; a line for people about each.
pub(super) async fn keep(
    granted: &Granted,
    stage: &str,
    withheld: &[stage::Withheld],
) -> Vec<String> {
    let mut by_output: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for one in withheld {
        by_output.entry(&one.output).or_default().extend(one.paths.iter().cloned());
    }
    let mut lines = Vec::new();
    for (output, globs) in by_output {
        lines.extend(of_tree(granted, stage, output, globs).await);
    }
    lines
}

/// `None` where the output is no tree: the host has refused that before.
async fn of_tree(
    granted: &Granted,
    stage: &str,
    output: &str,
    globs: Vec<String>,
) -> Option<String> {
    let artifact = granted.deployment.outputs.artifact.as_ref()?;
    let ArtifactKind::StaticTree { tree, .. } = &artifact.output(output)?.kind else { return None };
    let root = granted.host.builder.static_tree_dir(tree);
    let masker = granted.log.masker().clone();
    let name = file_name(stage, output);
    let own = (granted.folder.clone(), granted.plugin.clone(), name.clone());
    let bytes_max = granted.allowed.artifact_bytes_max();
    let packing = tokio::task::spawn_blocking(move || {
        let (folder, plugin, name) = own;
        let bytes_max = left(&folder, &plugin, &name, bytes_max).min(ARCHIVE_BYTES_MAX);
        pack(&root, &globs, bytes_max, &masker)
    });
    let packed = match packing.await.map_err(io::Error::other).flatten() {
        Ok(packed) => packed,
        Err(error) => return Some(format!("what is withheld of {output} is not kept: {error}")),
    };
    let files = packed.files;
    let lacks = packed.lacks();
    if files == 0 {
        return Some(match lacks.as_slice() {
            [] => format!("{output} has no file of the names that are withheld"),
            _ => format!("what is withheld of {output} is not kept: {}", lacks.join(", ")),
        });
    }
    let artifact = Artifact {
        name: name.clone(),
        kind: Kind::File,
        media_type: "application/x-tar".to_owned(),
        title: format!("Files of {output} that are not served"),
    };
    if let Err(error) = granted.keep_file(artifact, packed.tar).await {
        return Some(format!("what is withheld of {output} is not kept: {}", error.message));
    }
    let mut line = match files {
        1 => format!("1 withheld file of {output} is kept as {name}"),
        _ => format!("{files} withheld files of {output} are kept as {name}"),
    };
    for lack in lacks {
        line.push_str(&format!(", {lack}"));
    }
    Some(line)
}

/// The name of an archive. No stage has a dot in its name, so no two share one; that of an output may be too long for it.
fn file_name(stage: &str, output: &str) -> String {
    let name = format!("withheld-{stage}.{output}.tar");
    if attached::is_file_name(&name) {
        return name;
    }
    format!("withheld-{stage}.{}.tar", Digest::of(output.as_bytes()).short())
}

/// What is left of a plugin's grant for the file of this name: its other ones count.
fn left(folder: &Folder, plugin: &str, name: &str, granted_bytes: u64) -> u64 {
    let all = folder.attached();
    let others = all.iter().filter(|one| one.plugin == plugin && one.name != name);
    granted_bytes.saturating_sub(others.map(|one| one.bytes).sum())
}

/// An archive of what is withheld.
#[derive(Debug)]
struct Packed {
    tar: Vec<u8>,
    bytes_max: u64,
    /// Files in it.
    files: usize,
    /// Files that are left out: they found no room.
    no_room: usize,
    /// Files that are left out: only a compressed form of them is there.
    compressed: usize,
}

impl Packed {
    /// What was left out and why, for people.
    fn lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        if self.no_room > 0 {
            let (files, bytes_max) = (self.no_room, self.bytes_max);
            lacks.push(format!(
                "{files} found no room in the {bytes_max} bytes that are left for it"
            ));
        }
        if self.compressed > 0 {
            let files = self.compressed;
            lacks.push(format!("{files} left out as compressed, where no secret would be seen"));
        }
        lacks
    }
}

/// Packs the files below `root` that these globs name, without what is secret. The same tree gives the same bytes.
fn pack(root: &Path, globs: &[String], bytes_max: u64, masker: &Masker) -> io::Result<Packed> {
    let mut tar = tar::Builder::new(Vec::new());
    let (mut files, mut no_room, mut compressed) = (0, 0, 0);
    let mut room = bytes_max.saturating_sub(2 * BLOCK_BYTES);
    for path in found(root, &Withheld::of(globs)?)? {
        if windlass_proxy::plain_of(&path).is_some() {
            compressed += 1;
            continue;
        }
        let at = root.join(&path);
        if cost(&path, fs::symlink_metadata(&at)?.len()) > room {
            no_room += 1;
            continue;
        }
        let content = masker.mask_bytes(&fs::read(at)?);
        let bytes = content.len() as u64;
        // What stands in place of a secret may be longer.
        let Some(rest) = room.checked_sub(cost(&path, bytes)) else {
            no_room += 1;
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
    Ok(Packed { tar: tar.into_inner()?, bytes_max, files, no_room, compressed })
}

/// The bytes that a file of this path and length takes in the archive.
fn cost(path: &Path, bytes: u64) -> u64 {
    let name_bytes = path.as_os_str().len() as u64;
    let long_name = if name_bytes < NAME_BYTES_MIN {
        0
    } else {
        BLOCK_BYTES + (name_bytes + 1).next_multiple_of(BLOCK_BYTES)
    };
    bytes.next_multiple_of(BLOCK_BYTES).saturating_add(BLOCK_BYTES + long_name)
}

/// The regular files that are withheld, from the root and in order. A precompressed form is among them where there is
/// no file that it is the form of.
fn found(root: &Path, withheld: &Withheld) -> io::Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let (path, kind) = (folder.join(entry.file_name()), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && withheld.has_file(&path) {
                found.insert(path);
            }
        }
    }
    let is_only =
        |path: &&PathBuf| windlass_proxy::plain_of(path).is_none_or(|plain| !found.contains(plain));
    Ok(found.iter().filter(is_only).cloned().collect())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use windlass_model::plugin::{Capability, Grants, effective};
    use windlass_model::{DeploymentId, Limits, StepName};
    use windlass_test_support::folder_of;

    use super::*;
    use crate::pipeline::TABLE;
    use crate::pipeline::custom::effects::Counts;
    use crate::testing::{TestHost, queued};

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

    /// A gzip file of this text.
    fn gzip(text: &str) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn what_is_withheld_is_packed_without_secrets_and_without_what_links_lead_to() {
        let long = format!("assets/{}/{}.js.map", "d".repeat(120), "f".repeat(120));
        let root = folder_of(&[
            ("a.js", "x()"),
            ("a.js.map", "one hunter2-token two"),
            ("world.map", "a map of the world"),
            (&long, "long"),
        ]);
        fs::write(root.path().join("a.js.map.gz"), gzip("one hunter2-token two")).unwrap();
        let outside = folder_of(&[("secret.js.map", "not of the tree")]);
        symlink(outside.path().join("secret.js.map"), root.path().join("link.js.map")).unwrap();
        symlink(outside.path(), root.path().join("folder")).unwrap();
        let masker = Masker::new(["hunter2-token"]);
        let globs = ["**/*.js.map".to_owned()];
        let packed = pack(root.path(), &globs, 1 << 20, &masker).unwrap();
        let owned = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            unpacked(&packed),
            [owned("a.js.map", "one [secret] two"), owned(&long, "long")]
        );
        assert_eq!((packed.files, packed.lacks()), (2, Vec::new()));
        let again = pack(root.path(), &globs, 1 << 20, &masker).unwrap();
        assert_eq!(again.tar, packed.tar, "the same bytes");
        let none = pack(root.path(), &["*.css.map".to_owned()], 1 << 20, &masker).unwrap();
        assert_eq!((none.files, none.lacks()), (0, Vec::new()));
        assert!(pack(root.path(), &["[a".to_owned()], 1 << 20, &masker).is_err());
    }

    #[test]
    fn what_is_there_in_a_compressed_form_alone_is_left_out_and_counted() {
        let secret = "one hunter2-token two";
        let root = folder_of(&[("a.js.map", secret), ("plain.txt", "served")]);
        for (path, text) in [
            ("a.js.map.gz", secret),
            ("b.js.map.gz", secret),
            ("c.js.map.br", "as good as any"),
            ("dump.sql.gz", secret),
            ("plain.txt.gz", secret),
        ] {
            fs::write(root.path().join(path), gzip(text)).unwrap();
        }
        let masker = Masker::new(["hunter2-token"]);
        let check = |globs: &[&str], names: &[&str], compressed: usize| {
            let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
            let packed = pack(root.path(), &globs, 1 << 20, &masker).unwrap();
            let kept: Vec<String> = unpacked(&packed).into_iter().map(|(name, _)| name).collect();
            assert_eq!(kept, names, "{globs:?}");
            assert_eq!((packed.compressed, packed.no_room), (compressed, 0), "{globs:?}");
            let says = packed.lacks();
            assert_eq!(says.len(), usize::from(compressed > 0), "{says:?}");
            assert!(says.iter().all(|it| it.starts_with(&compressed.to_string())), "{says:?}");
        };
        check(&["*.js.map"], &["a.js.map"], 2);
        check(&["*.sql.gz", "plain.txt.gz"], &[], 2);
        check(&["plain.txt"], &["plain.txt"], 0);
    }

    /// Checks what an archive of at most so many bytes has.
    fn check_room(root: &Path, bytes_max: u64, names: &[&str], no_room: usize) {
        let all = ["**/*.map".to_owned()];
        let packed = pack(root, &all, bytes_max, &Masker::default()).unwrap();
        let kept: Vec<String> = unpacked(&packed).into_iter().map(|(name, _)| name).collect();
        assert_eq!(kept, names, "{bytes_max}");
        assert_eq!((packed.files, packed.no_room), (names.len(), no_room), "{bytes_max}");
        assert!(packed.tar.len() as u64 <= bytes_max.max(2 * BLOCK_BYTES), "{bytes_max}");
    }

    #[test]
    fn the_archive_is_never_larger_than_what_there_is_room_for() {
        let root = folder_of(&[
            ("a.map", &"a".repeat(3_000)),
            ("b.map", &"b".repeat(9_000)),
            ("c.map", "c"),
        ]);
        check_room(root.path(), 100_000, &["a.map", "b.map", "c.map"], 0);
        check_room(root.path(), 15_360, &["a.map", "b.map", "c.map"], 0);
        check_room(root.path(), 15_359, &["a.map", "b.map"], 1);
        check_room(root.path(), 10_000, &["a.map", "c.map"], 1);
        check_room(root.path(), 0, &[], 3);

        // A header of its own and three blocks for each name.
        let folder = vec!["d".repeat(250); 5].join("/");
        let [a, b, c] = ["a", "b", "c"].map(|name| format!("{folder}/{name}.map"));
        let root = folder_of(&[(&a, "a"), (&b, "b"), (&c, "c")]);
        check_room(root.path(), 10_240, &[&a, &b, &c], 0);
        check_room(root.path(), 10_239, &[&a, &b], 1);
    }

    /// A file of a plugin's own.
    fn attach(folder: &Folder, plugin: &str, name: &str, bytes: usize) {
        let artifact = Artifact {
            name: name.to_owned(),
            kind: Kind::File,
            media_type: "application/x-tar".to_owned(),
            title: String::new(),
        };
        let own =
            attached::Own { folder, plugin, sums: &attached::Sums::default(), bytes_max: 1 << 20 };
        own.attach(&artifact, &vec![0_u8; bytes]).unwrap();
    }

    #[tokio::test]
    async fn what_is_withheld_is_kept_beside_other_files_of_the_plugin_as_far_as_there_is_room() {
        let parts = TestHost::with(Limits::default(), &TABLE).await;
        let host = &parts.host;
        let mut artifact = crate::testing::artifact();
        let digest = Digest::of(b"a tree");
        let root = host.builder.static_tree_dir(&digest);
        artifact.outputs[0].kind = ArtifactKind::StaticTree {
            tree: digest,
            spa_fallback: None,
            not_found: None,
            files: 2,
            bytes: 6_000,
        };
        fs::create_dir_all(&root).unwrap();
        for name in ["a.map", "b.map"] {
            fs::write(root.join(name), "m".repeat(3_000)).unwrap();
        }
        let mut deployment = queued(0);
        deployment.outputs.artifact = Some(artifact);
        let capabilities = serde_json::json!([{ "name": "artifacts", "bytes_max": 8_000 }]);
        let grants: Grants = serde_json::from_value(capabilities).unwrap();
        let asked = serde_json::json!([
            { "name": "artifacts", "bytes_max": 8_000, "reason": "test" },
        ]);
        let asked: Vec<Capability> = serde_json::from_value(asked).unwrap();
        let granted = Granted {
            host: host.clone(),
            plugin: "p".to_owned(),
            allowed: effective(&asked, &grants),
            variables: Vec::new(),
            log: host.logs.open(&deployment.id, StepName::Build, Masker::default()).unwrap(),
            folder: Folder::of(&host.config.data_dir, &deployment.id),
            counts: Counts::new(&host.config.limits.stages),
            sums: Arc::default(),
            deployment,
        };
        attach(&granted.folder, "p", "maps.tar", 3_000);
        attach(&granted.folder, "other", "maps.tar", 3_000);
        let withheld =
            [stage::Withheld { output: "app".to_owned(), paths: vec!["*.map".to_owned()] }];
        let kept = "1 withheld file of app is kept as withheld-collect.app.tar, 1 found no room in the 5000 \
                    bytes that are left for it";
        assert_eq!(keep(&granted, "collect", &withheld).await, [kept]);
        assert_eq!(keep(&granted, "collect", &withheld).await, [kept], "as after a crash");
        let other = "what is withheld of app is not kept: 2 found no room in the 392 bytes that are left for it";
        assert_eq!(keep(&granted, "other", &withheld).await, [other]);
        let files = granted.folder.attached();
        let own: Vec<(&str, u64)> = files
            .iter()
            .filter(|file| file.plugin == "p")
            .map(|file| (file.name.as_str(), file.bytes))
            .collect();
        assert_eq!(own, [("maps.tar", 3_000), ("withheld-collect.app.tar", 4_608)]);
    }

    #[test]
    fn an_archive_has_the_room_that_other_files_of_its_plugin_leave() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(dir.path(), &DeploymentId::generate());
        let name = file_name("collect", "site");
        for (plugin, name, bytes) in
            [("p", "maps.tar", 300), ("p", name.as_str(), 200), ("other", "maps.tar", 400)]
        {
            attach(&folder, plugin, name, bytes);
        }
        assert_eq!(left(&folder, "p", &name, 1_000), 700, "its own earlier one makes room");
        assert_eq!(left(&folder, "p", &file_name("other", "site"), 1_000), 500);
        assert_eq!(left(&folder, "p", &name, 100), 0);
    }

    #[test]
    fn each_stage_and_output_has_an_archive_of_its_own() {
        assert_eq!(file_name("collect", "site"), "withheld-collect.site.tar");
        assert_ne!(file_name("a-b", "c"), file_name("a", "b-c"));
        let longest = file_name(&"s".repeat(40), &"o".repeat(64));
        assert!(attached::is_file_name(&longest), "{longest}");
        assert_ne!(longest, file_name(&"s".repeat(40), &format!("{}p", "o".repeat(63))));
    }
}
