//! Who uses what. Each byte is counted once: what several projects use stands with the host.
//!
//! **Invariant: the sum is the whole data directory**, but for the few folders that only hold what is counted. What
//! has no name of its own here is `other`, so that a new folder is never left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use windlass_build::disk::{Class, Picture, Piece};
use windlass_model::deployment::{Artifact, ArtifactKind};
use windlass_model::disk::{DiskBudget, DiskPart, DiskView, ProjectDisk, PruneKind};
use windlass_model::{DeploymentId, Digest, Failure, ProjectName, Timestamp};

use super::measure::{Size, names, size};
use super::{retention, space};
use crate::host::Host;
use crate::pipeline::custom::record::{self, Folder};
use crate::pipeline::{names as labels, prune};

/// Folders of the data directory that belong to projects, one folder each, and what they are.
const BY_PROJECT: [(&str, &str); 4] = [
    ("volumes", "volumes"),
    ("cache/mounts", "cache-mounts"),
    ("cache/git", "repositories"),
    ("cache/stages", "plugin-caches"),
];
/// Folders of the data directory that belong to the host.
const OF_THE_HOST: [(&str, &str, &str); 7] = [
    ("store", "state", ""),
    ("backups", "backups", "at most `backups_kept_max`"),
    ("plugins", "plugins", ""),
    ("cache/plugins", "plugins", "installed ones, and what was compiled of all"),
    ("cache/stat", "state", ""),
    ("work", "workspaces", "of deployments that are at work"),
    // What their commands have changed in cache mounts, until it is taken over.
    ("cache/changes", "workspaces", "of deployments that are at work"),
];
/// Folders of the data directory that are counted as a whole in another way.
const COUNTED: [&str; 3] = ["static", "uploads", "containerd/root"];

/// What uses what, for whom.
#[derive(Debug, Default)]
struct Sums {
    projects: BTreeMap<ProjectName, BTreeMap<String, Size>>,
    host: BTreeMap<String, (Size, String)>,
}

impl Sums {
    fn project(&mut self, project: &ProjectName, what: &str, size: Size) {
        let parts = self.projects.entry(project.clone()).or_default();
        *parts.entry(what.to_owned()).or_default() += size;
    }

    fn host(&mut self, what: &str, size: Size, note: &str) {
        let part = self.host.entry(what.to_owned()).or_default();
        part.0 += size;
        if !note.is_empty() {
            note.clone_into(&mut part.1);
        }
    }

    /// Of one project, or of the host under another name when there are several or none.
    fn shared(&mut self, users: Option<&BTreeSet<ProjectName>>, what: &str, size: Size) {
        match users.map(|users| (users.len(), users.first())) {
            Some((1, Some(project))) => self.project(project, what, size),
            Some((2.., _)) => {
                let note = "several projects use it; counted here once, and with none of them";
                self.host(&format!("shared-{what}"), size, note);
            }
            _ => {
                // An upload that just came may be about to get its deployment.
                let note = match what {
                    "uploads" => {
                        "no deployment refers to it: an hour after it came, `windlass prune \
                         --uploads` or the hourly sweep takes it"
                    }
                    _ => "no deployment refers to it: it goes with the hourly sweep",
                };
                self.host(&format!("unclaimed-{what}"), size, note);
            }
        }
    }

    fn view(self, host: &Host, picture: &Picture) -> Result<DiskView, Failure> {
        let part = |(what, (size, note)): (String, (Size, String))| DiskPart {
            what,
            bytes: size.bytes,
            items: size.files,
            note,
        };
        let project = |(project, parts): (ProjectName, BTreeMap<String, Size>)| {
            let parts = parts.into_iter().map(|(what, size)| part((what, (size, String::new()))));
            let parts: Vec<DiskPart> = parts.filter(|part| part.bytes > 0).collect();
            ProjectDisk { project, bytes: parts.iter().map(|part| part.bytes).sum(), parts }
        };
        let mut projects: Vec<ProjectDisk> = self.projects.into_iter().map(project).collect();
        projects.sort_by_key(|project| std::cmp::Reverse(project.bytes));
        let of_host: Vec<DiskPart> = self.host.into_iter().map(part).collect();
        let bytes = projects.iter().map(|project| project.bytes);
        let bytes = bytes.chain(of_host.iter().map(|part| part.bytes)).sum();
        Ok(DiskView {
            at: Timestamp::now(),
            places: space::places(&host.config.data_dir, &host.config.limits)?,
            budgets: budgets(host, picture),
            projects,
            host: of_host,
            bytes,
        })
    }
}

/// Measures everything.
///
/// # Errors
/// The store's and the runtime's, and `preflight.disk-unknown`.
pub(crate) async fn view(host: &Host) -> Result<DiskView, Failure> {
    let picture = host.builder.picture(true).await?;
    let mut sums = Sums::default();
    let artifacts = artifacts_of_projects(host)?;
    snapshots(host, &picture, &artifacts, &mut sums)?;
    let trees = users_of_trees(&picture, &artifacts);
    let mut uploads: BTreeMap<Digest, BTreeSet<ProjectName>> = BTreeMap::new();
    for project in host.store.projects().map_err(|e| e.to_failure())? {
        for digest in host.store.uploads_used(&project.name).map_err(|e| e.to_failure())? {
            uploads.entry(digest).or_default().insert(project.name.clone());
        }
        sums.projects.entry(project.name).or_default();
    }
    let (data_dir, of_deployments) = (host.config.data_dir.clone(), of_deployments(host)?);
    let archives = picture.archives.iter().map(|archive| archive.path.clone());
    let counted = of_deployments.iter().map(|left| left.dir.clone()).chain(archives).collect();
    let measured = tokio::task::spawn_blocking(move || {
        folders(&data_dir, &mut sums);
        rest(&data_dir, &counted_of(&data_dir, counted), &mut sums);
        for (hex, users) in by_hex(&trees, &data_dir.join("static")) {
            sums.shared(users, "static", size(&data_dir.join("static").join(hex)));
        }
        for (hex, users) in by_hex(&uploads, &data_dir.join("uploads")) {
            sums.shared(users, "uploads", size(&data_dir.join("uploads").join(hex)));
        }
        for Left { what, dir, project } in of_deployments {
            let users = project.map(|project| BTreeSet::from([project]));
            sums.shared(users.as_ref(), what, size(&dir));
        }
        sums
    });
    let sums = measured.await.map_err(|e| {
        let fix = "try again; if it happens again, report it with the host's log";
        Failure::host("disk.interrupted", "measuring was cut off", e.to_string(), fix)
    })?;
    sums.view(host, &picture)
}

/// What the budgets are, and what of them is used.
fn budgets(host: &Host, picture: &Picture) -> Vec<DiskBudget> {
    let ask = retention(host);
    let of = |kind, class, rule: windlass_build::disk::Rule, more: u64| {
        let (needed_bytes, bytes) = picture.bytes(class);
        let bytes_max = rule.bytes_max.unwrap_or(u64::MAX);
        DiskBudget { kind, bytes: bytes + more, bytes_max, needed_bytes }
    };
    let archives = picture.archives.iter().map(|archive| archive.bytes).sum();
    vec![
        of(PruneKind::Cache, Class::Step, ask.steps, 0),
        of(PruneKind::Bases, Class::Base, ask.bases, archives),
    ]
}

/// The projects that keep each artifact.
fn artifacts_of_projects(host: &Host) -> Result<BTreeMap<Digest, BTreeSet<ProjectName>>, Failure> {
    let mut users: BTreeMap<Digest, BTreeSet<ProjectName>> = BTreeMap::new();
    for (project, artifact) in prune::retained(host)? {
        users.entry(artifact).or_default().insert(project);
    }
    Ok(users)
}

/// Snapshots by who needs them: a step below several artifacts belongs to the projects of all of them.
fn snapshots(
    host: &Host,
    picture: &Picture,
    artifacts: &BTreeMap<Digest, BTreeSet<ProjectName>>,
    sums: &mut Sums,
) -> Result<(), Failure> {
    let mut users: BTreeMap<&str, BTreeSet<ProjectName>> = BTreeMap::new();
    let mut note = |top: &str, projects: &BTreeSet<ProjectName>| {
        for piece in picture.chain(top).filter(|piece| piece.class == Class::Step) {
            users.entry(&piece.key).or_default().extend(projects.iter().cloned());
        }
    };
    for Artifact { digest, outputs, .. } in &picture.artifacts {
        let nobody = BTreeSet::new();
        let projects = artifacts.get(digest).unwrap_or(&nobody);
        for output in outputs {
            if let Some((key, _)) = picture.pieces.get_key_value(&output.snapshot) {
                note(key, projects);
            }
        }
    }
    let mut owners = BTreeMap::new();
    for piece in picture.pieces.values() {
        if matches!(piece.class, Class::Writable | Class::Other) {
            let owner: BTreeSet<ProjectName> = owner(host, piece)?.into_iter().collect();
            note(&piece.key, &owner);
            owners.insert(piece.key.as_str(), owner);
        }
    }
    for piece in picture.pieces.values() {
        let size = Size { bytes: piece.bytes, files: 1 };
        match piece.class {
            Class::Base => sums.host("bases", size, "layers of images that steps start from"),
            Class::Step => match users.get(piece.key.as_str()) {
                Some(users) => sums.shared(Some(users), "artifacts", size),
                None => sums.host("cache", size, "steps that no artifact needs"),
            },
            Class::Writable | Class::Other => {
                sums.shared(owners.get(piece.key.as_str()), "containers", size);
            }
        }
    }
    for archive in &picture.archives {
        let size = Size { bytes: archive.bytes, files: 1 };
        sums.host("base-archives", size, "assembled bases, packed");
    }
    let records = Size { bytes: picture.content_bytes, files: 0 };
    sums.host("records", records, "containerd's content store");
    Ok(())
}

/// Whose a container's snapshot is: by its labels, or by the deployment that its name begins with.
fn owner(host: &Host, piece: &Piece) -> Result<Option<ProjectName>, Failure> {
    if let Some((project, _)) = labels::labelled_environment(&piece.labels) {
        return Ok(Some(project));
    }
    let id = piece.key.split('.').next().and_then(|id| id.parse::<DeploymentId>().ok());
    let found = id.map(|id| host.deployment(&id)).transpose()?.flatten();
    Ok(found.map(|(deployment, _)| deployment.project))
}

fn users_of_trees(
    picture: &Picture,
    artifacts: &BTreeMap<Digest, BTreeSet<ProjectName>>,
) -> BTreeMap<Digest, BTreeSet<ProjectName>> {
    let mut users: BTreeMap<Digest, BTreeSet<ProjectName>> = BTreeMap::new();
    for artifact in &picture.artifacts {
        for output in &artifact.outputs {
            if let ArtifactKind::StaticTree { tree, .. } = &output.kind {
                let of_artifact = artifacts.get(&artifact.digest).into_iter().flatten();
                users.entry(tree.clone()).or_default().extend(of_artifact.cloned());
            }
        }
    }
    users
}

/// The files of a folder that are named by a digest, with who uses them.
fn by_hex<'a>(
    users: &'a BTreeMap<Digest, BTreeSet<ProjectName>>,
    dir: &Path,
) -> Vec<(String, Option<&'a BTreeSet<ProjectName>>)> {
    let users: BTreeMap<&str, &BTreeSet<ProjectName>> =
        users.iter().map(|(digest, users)| (digest.hex(), users)).collect();
    names(dir).into_iter().map(|name| (name.clone(), users.get(name.as_str()).copied())).collect()
}

/// A folder of a deployment: what it is, where, and whose.
struct Left {
    what: &'static str,
    dir: PathBuf,
    project: Option<ProjectName>,
}

/// The folders of deployments: of their logs, and of what custom stages left.
fn of_deployments(host: &Host) -> Result<Vec<Left>, Failure> {
    let data_dir = &host.config.data_dir;
    let mut folders: BTreeMap<DeploymentId, Vec<(&'static str, PathBuf)>> = BTreeMap::new();
    for id in host.logs.deployments().unwrap_or_default() {
        let folder = host.logs.deployment_dir(&id);
        folders.entry(id).or_default().push(("logs", folder));
    }
    for id in record::deployments(data_dir).unwrap_or_default() {
        let folder = Folder::of(data_dir, &id).at("");
        folders.entry(id).or_default().push(("stages", folder));
    }
    let mut found = Vec::new();
    for (id, folders) in folders {
        let project = host.deployment(&id)?.map(|(deployment, _)| deployment.project);
        let left = |(what, dir)| Left { what, dir, project: project.clone() };
        found.extend(folders.into_iter().map(left));
    }
    Ok(found)
}

/// What lies in folders that say by their names whose they are.
fn folders(data_dir: &Path, sums: &mut Sums) {
    for (folder, what) in BY_PROJECT {
        for name in names(&data_dir.join(folder)) {
            let path = data_dir.join(folder).join(&name);
            match name.parse() {
                Ok(project) if path.is_dir() => sums.project(&project, what, size(&path)),
                _ => sums.host("other", size(&path), ""),
            }
        }
    }
    for (folder, what, note) in OF_THE_HOST {
        sums.host(what, size(&data_dir.join(folder)), note);
    }
    // Of containerd's own, but for what it was asked about.
    let root = space::containerd_root(data_dir);
    for name in names(&root) {
        if name.contains("snapshotter") {
            let snapshotter = root.join(&name);
            let inner = names(&snapshotter).into_iter().filter(|name| name != "snapshots");
            inner.for_each(|name| sums.host("state", size(&snapshotter.join(name)), ""));
        } else if !name.contains("content") {
            sums.host("state", size(&root.join(&name)), "records of Windlass and of containerd");
        }
    }
}

/// The files and folders that are counted by their names: these, and those of the tables.
fn counted_of(data_dir: &Path, mut counted: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let of_projects = BY_PROJECT.map(|(folder, _)| folder);
    let of_the_host = OF_THE_HOST.map(|(folder, ..)| folder);
    let folders = of_projects.into_iter().chain(of_the_host).chain(COUNTED);
    counted.extend(folders.map(|folder| data_dir.join(folder)));
    counted
}

/// Everything in a folder that is not among what is counted, and in which nothing of that lies.
fn rest(dir: &Path, counted: &BTreeSet<PathBuf>, sums: &mut Sums) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        // What lies in a folder comes right behind it.
        match counted.range(path.clone()..).next() {
            Some(found) if *found == path => {}
            Some(found) if found.starts_with(&path) => rest(&path, counted, sums),
            _ => sums.host("other", size(&path), "logs of the host, events, audit log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_uses_is_his_and_what_several_use_is_counted_once() {
        let mut sums = Sums::default();
        let project = |name: &str| name.parse::<ProjectName>().unwrap();
        let size = |bytes| Size { bytes, files: 1 };
        let one = BTreeSet::from([project("shop")]);
        let two = BTreeSet::from([project("shop"), project("blog")]);
        sums.shared(Some(&one), "artifacts", size(1));
        sums.shared(Some(&two), "artifacts", size(10));
        sums.shared(Some(&BTreeSet::new()), "artifacts", size(100));
        sums.shared(None, "uploads", size(1000));
        assert_eq!(sums.projects[&project("shop")]["artifacts"], size(1));
        assert_eq!(sums.projects.len(), 1);
        assert_eq!(sums.host["shared-artifacts"].0, size(10));
        assert_eq!(sums.host["unclaimed-artifacts"].0, size(100));
        assert_eq!(sums.host["unclaimed-uploads"].0, size(1000));
    }

    #[test]
    fn folders_count_for_the_project_that_they_are_named_by() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![1; 8192]).unwrap();
        };
        write("volumes/shop/production/data/file");
        write("cache/mounts/shop/npm/file");
        write("cache/git/config");
        write("cache/changes/01/npm/upper/file");
        write("cache/stat/0a1b.json");
        write("backups/one.tar.zst");
        write("containerd/root/io.containerd.metadata.v1.bolt/meta.db");
        write("containerd/root/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/file");
        let mut sums = Sums::default();
        folders(dir.path(), &mut sums);
        let shop = &sums.projects[&"shop".parse::<ProjectName>().unwrap()];
        assert!(shop["volumes"].bytes >= 8192 && shop["cache-mounts"].bytes >= 8192, "{shop:?}");
        let files = |what: &str| sums.host[what].0.files;
        assert_eq!((files("backups"), files("state"), files("other")), (1, 2, 1));
        assert_eq!(files("workspaces"), 1);
        assert!(sums.host["workspaces"].0.bytes >= 8192);
        assert_eq!(sums.projects.len(), 1, "Git's configuration is no project");
    }

    #[test]
    fn what_no_name_stands_for_is_counted_and_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![1; 8192]).unwrap();
        };
        // Counted one by one, with what uses them.
        let elsewhere =
            ["logs/01/08-build.jsonl", "stages/01/stages.json", "cache/bases/done.tar.zst"];
        let of_names = [
            "volumes/shop/data",
            "cache/mounts/shop/npm/file",
            "cache/changes/01/npm/upper/file",
            "cache/stat/0a1b.json",
            "work/01/source/file",
            "static/0a1b/index.html",
            "uploads/0a1b",
            "containerd/root/io.containerd.content.v1.content/blob",
        ];
        let others = [
            "cache/salt",
            "cache/bases/.begun/base.tar.zst",
            "cache/of-a-later-version/file",
            "logs/not-a-deployment/file",
            "stages/02/stages.json",
            "containerd/containerd.log",
            "build/01/file",
            "proxy.log",
        ];
        elsewhere.iter().chain(&of_names).chain(&others).for_each(|path| write(path));
        let counted = ["logs/01", "stages/01/", "cache/bases/done.tar.zst"];
        let counted = counted.iter().map(|path| dir.path().join(path)).collect();
        let mut sums = Sums::default();
        rest(dir.path(), &counted_of(dir.path(), counted), &mut sums);
        assert_eq!(sums.host["other"].0.files, others.len() as u64);
        assert!(sums.host.len() == 1 && sums.projects.is_empty(), "{sums:?}");

        // With those that the tables name it is all but what is counted one by one.
        folders(dir.path(), &mut sums);
        let of_projects = sums.projects.values().flat_map(BTreeMap::values).copied();
        let all = of_projects.chain(sums.host.values().map(|(size, _)| *size));
        let files: u64 = all.map(|size| size.files).sum();
        // Trees, uploads and blobs are counted by the digests of artifacts.
        assert_eq!(files + 3 + elsewhere.len() as u64, size(dir.path()).files);
    }
}
