//! Static trees: exported from a step's snapshot to a folder that the proxy serves.
//!
//! **Invariant: a folder under its digest is whole and synced.** It is made under another name in the same
//! directory and renamed last. It is held before it is looked for.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use windlass_containers::Labels;
use windlass_containers::runtime::Access;
use windlass_model::{DeploymentId, Digest, Failure};

use crate::artifact::static_dir;
use crate::builder::{Session, blocking, io_failure};
use crate::disk::Held;
use crate::rooted::{Entry, Kind, Owner, Root};
use crate::source::sha256_of;

/// Hard cap of one tree.
const TREE_BYTES_MAX: u64 = 2 << 30;
const TREE_FILES_MAX: u64 = 200_000;

/// What is exported.
pub(crate) struct StaticSource {
    /// The step's snapshot.
    pub(crate) snapshot: String,
    /// Absolute path of the tree in it.
    pub(crate) root: String,
}

/// An exported tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exported {
    /// Over paths, kinds and contents; the folder's name.
    pub(crate) digest: Digest,
    /// Regular files.
    pub(crate) files: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
}

/// Exports a tree, or finds that this snapshot's was exported before.
pub(crate) async fn export(
    session: &mut Session,
    source: &StaticSource,
) -> Result<Exported, Failure> {
    let label = format!("windlass.static.{}", Digest::of(source.root.as_bytes()).short());
    if let Some(known) = exported_before(session, source, &label).await? {
        return Ok(known);
    }
    let mounted = session
        .runtime
        .mount_snapshot(&source.snapshot, Access::ReadOnly)
        .await
        .map_err(|e| e.failure("The static tree could not be opened"))?;
    let data_dir = session.config.data_dir.clone();
    let partial = partial_dir(&data_dir, &session.request.deployment);
    let (root, held) = (source.root.clone(), session.held.clone());
    let (tree, skipped) = blocking(move || {
        let from = Root::open(mounted.path()).and_then(|whole| whole.sub(Path::new(&root)));
        let from = from.map_err(|e| no_tree(&root, &e))?;
        let outcome = export_from(&from, &data_dir, &partial, &held);
        let _absent = std::fs::remove_dir_all(&partial);
        outcome
    })
    .await??;
    for path in skipped {
        let message = format!("{} is a link out of the tree or no file: left out", path.display());
        session.warn("build.static-skipped", message);
    }
    let value = format!("{} {} {}", tree.digest, tree.files, tree.bytes);
    session
        .runtime
        .label_snapshot(&source.snapshot, &Labels::from([(label, value)]))
        .await
        .map_err(|e| e.failure("The static tree could not be recorded"))?;
    session.log.host(format!("static tree: {} files, {} bytes", tree.files, tree.bytes));
    Ok(tree)
}

/// Where a tree lies while it is made.
pub(crate) fn partial_dir(data_dir: &Path, deployment: &DeploymentId) -> PathBuf {
    data_dir.join("static").join(format!(".{deployment}"))
}

async fn exported_before(
    session: &Session,
    source: &StaticSource,
    label: &str,
) -> Result<Option<Exported>, Failure> {
    let snapshot = session.runtime.snapshot(&source.snapshot).await;
    let snapshot = snapshot.map_err(|e| e.failure("The static tree could not be looked up"))?;
    let Some(known) = snapshot.and_then(|snapshot| parse(snapshot.labels.get(label)?)) else {
        return Ok(None);
    };
    session.held.add(&known.digest).await;
    let is_there = static_dir(&session.config.data_dir, &known.digest).is_dir();
    Ok(is_there.then_some(known))
}

fn parse(label: &str) -> Option<Exported> {
    let mut words = label.split(' ');
    Some(Exported {
        digest: words.next()?.parse().ok()?,
        files: words.next()?.parse().ok()?,
        bytes: words.next()?.parse().ok()?,
    })
}

fn export_from(
    from: &Root,
    data_dir: &Path,
    partial: &Path,
    held: &Held,
) -> Result<(Exported, Vec<PathBuf>), Failure> {
    let io = |e: io::Error| io_failure("The static tree could not be written", partial, &e);
    let entries = from.walk().map_err(io)?;
    check_size(&entries)?;
    if partial.exists() {
        std::fs::remove_dir_all(partial).map_err(io)?;
    }
    std::fs::create_dir_all(partial).map_err(io)?;
    let to = Root::open(partial).map_err(io)?;
    let (tree, skipped) = copy(from, &entries, &to).map_err(io)?;
    rustix::fs::syncfs(std::fs::File::open(partial).map_err(io)?).map_err(|e| io(e.into()))?;
    held.add_blocking(&tree.digest);
    let target = static_dir(data_dir, &tree.digest);
    match std::fs::rename(partial, &target) {
        // An earlier build has made the same tree, or another one just now.
        Err(_) if target.is_dir() => {}
        renamed => renamed.map_err(io)?,
    }
    let parent = std::fs::File::open(data_dir.join("static")).map_err(io)?;
    parent.sync_all().map_err(io)?;
    Ok((tree, skipped))
}

fn check_size(entries: &[Entry]) -> Result<(), Failure> {
    let sizes = entries.iter().filter_map(|entry| match entry.kind {
        Kind::File { bytes } => Some(bytes),
        _ => None,
    });
    let (files, bytes) = sizes.fold((0_u64, 0_u64), |(n, sum), b| (n + 1, sum.saturating_add(b)));
    if files <= TREE_FILES_MAX && bytes <= TREE_BYTES_MAX {
        return Ok(());
    }
    Err(Failure::app(
        "build.static-too-large",
        "The static tree is too large",
        format!(
            "it has {files} files and {} MiB; at most {TREE_FILES_MAX} files and {} MiB are served",
            bytes >> 20,
            TREE_BYTES_MAX >> 20
        ),
        "check that [build] output names the folder of the built site alone",
    ))
}

/// Copies files, and the files that links inside the tree point at; the digest is of what arrives.
fn copy(from: &Root, entries: &[Entry], to: &Root) -> io::Result<(Exported, Vec<PathBuf>)> {
    let owner = Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    let (mut sha, mut skipped) = (Sha256::new(), Vec::new());
    let (mut files, mut bytes) = (0, 0);
    for entry in entries {
        match &entry.kind {
            Kind::Dir => {
                to.write_dir(&entry.path, 0o755, owner)?;
                continue;
            }
            Kind::Symlink(target) if leads_out(&entry.path, Path::new(target)) => {
                skipped.push(entry.path.clone());
                continue;
            }
            Kind::File { .. } | Kind::Symlink(_) => {}
            Kind::Other => {
                skipped.push(entry.path.clone());
                continue;
            }
        }
        let Ok(mut file) = from.open_file(&entry.path) else {
            skipped.push(entry.path.clone());
            continue;
        };
        bytes += to.write_file(&entry.path, &mut file, 0o644, owner)?;
        files += 1;
        sha.update(entry.path.as_os_str().as_bytes());
        sha.update([0]);
        sha.update(sha256_of(&mut to.open_file(&entry.path)?)?.as_bytes());
        sha.update([0]);
    }
    let digest = Digest::from_sha256(sha.finalize().into());
    Ok((Exported { digest, files, bytes }, skipped))
}

/// Whether a link's target is outside the tree by its name. (Looked up inside the tree, it would mean some
/// other file of it, which nobody intended.)
fn leads_out(at: &Path, target: &Path) -> bool {
    let mut depth = at.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            std::path::Component::Normal(_) => depth += 1,
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if depth > 0 => depth -= 1,
            _ => return true,
        }
    }
    false
}

fn no_tree(root: &str, error: &io::Error) -> Failure {
    Failure::app(
        "build.no-output",
        format!("The build made no directory {root}"),
        error.to_string(),
        "set [build] output in windlass.toml to the folder that the build command writes",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Holds;

    #[test]
    fn a_tree_is_exported_whole_under_its_digest_and_links_out_are_left_out() {
        let site = tempfile::tempdir().unwrap();
        std::fs::create_dir(site.path().join("assets")).unwrap();
        std::fs::write(site.path().join("index.html"), "<h1>hi</h1>").unwrap();
        std::fs::write(site.path().join("assets/a.js"), "1").unwrap();
        std::os::unix::fs::symlink("a.js", site.path().join("assets/b.js")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", site.path().join("secret")).unwrap();
        let data = tempfile::tempdir().unwrap();
        let export = || {
            let from = Root::open(site.path()).unwrap();
            let held = Holds::default().none();
            export_from(&from, data.path(), &data.path().join("static/.x"), &held).unwrap()
        };
        let (tree, skipped) = export();
        assert_eq!((tree.files, tree.bytes), (3, 13));
        assert_eq!(skipped, [PathBuf::from("secret")]);
        let dir = static_dir(data.path(), &tree.digest);
        assert_eq!(std::fs::read_to_string(dir.join("assets/b.js")).unwrap(), "1");
        assert!(!dir.join("secret").exists());
        assert_eq!(export().0, tree);
        std::fs::write(site.path().join("index.html"), "<h1>ho</h1>").unwrap();
        assert_ne!(export().0.digest, tree.digest);
    }

    #[test]
    fn one_tree_that_several_builds_make_at_the_same_time_is_one() {
        let site = tempfile::tempdir().unwrap();
        std::fs::write(site.path().join("index.html"), "<h1>hi</h1>").unwrap();
        let (at_once, rounds) = (4, 50);
        for _ in 0..rounds {
            let data = tempfile::tempdir().unwrap();
            let begin = std::sync::Barrier::new(at_once);
            let export = |name: usize| {
                let from = Root::open(site.path()).unwrap();
                let held = Holds::default().none();
                let partial = data.path().join(format!("static/.{name}"));
                begin.wait();
                let tree = export_from(&from, data.path(), &partial, &held).unwrap().0;
                let index = static_dir(data.path(), &tree.digest).join("index.html");
                assert_eq!(std::fs::read_to_string(index).unwrap(), "<h1>hi</h1>");
            };
            std::thread::scope(|scope| {
                for name in 0..at_once {
                    let export = &export;
                    scope.spawn(move || export(name));
                }
            });
        }
    }
}
