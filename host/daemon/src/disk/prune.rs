//! Pruning on demand: first what would go and why, then the same carried out.
//!
//! **Invariant: only what went is told as gone**, by what tells it from everything else: names are for people, and two
//! may be called alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use windlass_build::disk::{Ask, Pass, Rule, Victim, What, Why};
use windlass_model::deployment::Artifact;
use windlass_model::disk::{PruneItem, PruneKind, PruneRequest, PruneView};
use windlass_model::{Deployment, DeploymentId, Digest, Failure, Timestamp};

use self::freed::Freed;
use super::{LOCK, retention, told};
use crate::failpoint;
use crate::host::Host;
use crate::pipeline::prune;
use crate::source::uploads;

mod freed;

/// Says what goes, and removes it unless it is a dry run. What is asked for twice goes once.
///
/// # Errors
/// The store's, the runtime's, the file system's.
pub(crate) async fn prune(host: &Host, request: &PruneRequest) -> Result<PruneView, Failure> {
    let _one = host.named_lock(LOCK.to_owned()).await;
    let mut job = Job::look(host, request).await?;
    let found = job.found();
    let items: Vec<PruneItem> = if request.dry_run {
        found.into_iter().map(|(_, item)| item).collect()
    } else {
        let gone = job.carry_out(host).await?;
        went(found, &gone)
    };
    let bytes = items.iter().map(|item| item.bytes).sum();
    Ok(PruneView { dry_run: request.dry_run, items, bytes, left: job.left })
}

/// Which one something is of all that goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    /// The artifact of a deployment.
    Deployment(DeploymentId),
    /// A record that no deployment refers to.
    Orphan(Digest),
    /// What the builder keeps, by its key.
    Kept(What, String),
    /// An upload.
    Upload,
}

impl Which {
    fn of(victim: &Victim) -> Self {
        Self::Kept(victim.what, victim.key.clone())
    }
}

/// What went of what was found. Nobody asks which uploads did.
fn went(found: Vec<(Which, PruneItem)>, gone: &BTreeSet<Which>) -> Vec<PruneItem> {
    let is_gone = |which: &Which| *which == Which::Upload || gone.contains(which);
    found.into_iter().filter(|(which, _)| is_gone(which)).map(|(_, item)| item).collect()
}

/// One whose artifact goes, as it was seen.
struct Going {
    deployment: Deployment,
    revision: u64,
    kind: PruneKind,
}

impl Going {
    fn is_held(&self, host: &Host) -> bool {
        let artifact = self.deployment.outputs.artifact.as_ref();
        artifact.is_some_and(|artifact| host.builder.is_held(&artifact.digest))
    }

    /// What it is called among what goes.
    fn name(&self) -> String {
        let Deployment { number, project, environment, kind, .. } = &self.deployment;
        let number = format!("#{number} of {project}/{environment}");
        if self.kind != PruneKind::Images {
            return number;
        }
        let name = kind.image().filter(|name| !name.is_empty());
        format!("{} ({number})", name.unwrap_or("a build without a name"))
    }

    fn item(&self, freed: Freed) -> PruneItem {
        let why = match self.kind {
            PruneKind::Images => "asked for; build it again to have it again",
            _ => "beyond what is kept (`keep_artifacts`)",
        };
        let (name, last_used) = (self.name(), self.deployment.ended_at);
        PruneItem { kind: self.kind, name, bytes: freed.bytes, last_used, why: freed.said(why) }
    }
}

/// What was found.
struct Job<'a> {
    request: &'a PruneRequest,
    deployments: Vec<Going>,
    /// Records that no deployment refers to.
    orphans: Vec<Digest>,
    /// What goes with each artifact.
    freed: BTreeMap<Digest, Freed>,
    pass: Pass,
    ask: Ask,
    victims: Vec<Victim>,
    uploads: Vec<Upload>,
    left: Vec<String>,
}

impl<'a> Job<'a> {
    async fn look(host: &Host, request: &'a PruneRequest) -> Result<Self, Failure> {
        let wants = |kind| request.kinds.is_empty() || request.kinds.contains(&kind);
        let mut left = Vec::new();
        let mut deployments: Vec<Going> = Vec::new();
        let mut orphans: Vec<Digest> = Vec::new();
        let mut pass = host.builder.prune_pass().await?;
        if wants(PruneKind::Artifacts) {
            let due = prune::due(host)?;
            let kind = PruneKind::Artifacts;
            let going = |(deployment, revision)| Going { deployment, revision, kind };
            deployments.extend(due.into_iter().map(going));
            let kept: BTreeSet<Digest> =
                prune::retained(host)?.into_iter().map(|(_, digest)| digest).collect();
            let records = pass.picture().artifacts.iter().map(|artifact| &artifact.digest);
            orphans.extend(records.filter(|digest| !kept.contains(digest)).cloned());
        }
        if request.kinds.contains(&PruneKind::Images) {
            let older = older_than(request);
            for (deployment, revision) in prune::images(host)? {
                let built_at = deployment.ended_at.unwrap_or(deployment.created_at);
                let known = |going: &Going| going.deployment.id == deployment.id;
                if is_older(built_at, older) && !deployments.iter().any(known) {
                    deployments.push(Going { deployment, revision, kind: PruneKind::Images });
                }
            }
        }
        let found = deployments.len() + orphans.len();
        deployments.retain(|going| !going.is_held(host));
        orphans.retain(|orphan| !host.builder.is_held(orphan));
        let held = found - deployments.len() - orphans.len();
        if held > 0 {
            left.push(in_use(held));
        }
        let going = going(host, &deployments, &orphans)?;
        let artifacts = pass.picture().artifacts.iter();
        let artifacts: Vec<Artifact> =
            artifacts.filter(|artifact| going.contains(&artifact.digest)).cloned().collect();
        pass.without(&going);
        let ask = ask(host, request);
        let used = pass.measure_mounts(&ask).await?;
        if used > 0 {
            left.push(format!("{used} of the cache mounts: a build uses them now"));
        }
        let victims = pass.choose(&ask);
        let freed = freed::with(host, pass.picture(), &artifacts, &victims).await?;
        let (uploads, young) = match wants(PruneKind::Uploads) {
            true => uploads_to_go(host).await?,
            false => (Vec::new(), 0),
        };
        if young > 0 && request.kinds.contains(&PruneKind::Uploads) {
            left.push(format!(
                "{young} of the uploads: they came less than an hour ago, and their deployments \
                 may be about to be made"
            ));
        }
        Ok(Self { request, deployments, orphans, freed, pass, ask, victims, uploads, left })
    }

    /// What goes, in order, and which it is.
    fn found(&mut self) -> Vec<(Which, PruneItem)> {
        let mut found = Vec::new();
        // What several deployments have goes once, with the first of them.
        let mut freed = std::mem::take(&mut self.freed);
        for going in &self.deployments {
            let artifact = going.deployment.outputs.artifact.as_ref();
            let freed = artifact.and_then(|artifact| freed.remove(&artifact.digest));
            let which = Which::Deployment(going.deployment.id.clone());
            found.push((which, going.item(freed.unwrap_or_default())));
        }
        for orphan in &self.orphans {
            let item = of_orphan(orphan, freed.remove(orphan).unwrap_or_default());
            found.push((Which::Orphan(orphan.clone()), item));
        }
        found.extend(self.victims.iter().map(|victim| (Which::of(victim), of_victim(victim))));
        found.extend(self.uploads.iter().map(|upload| (Which::Upload, upload.item())));
        found
    }

    /// Artifacts first, so that their steps are nobody's any more. Answers what went, but for uploads.
    async fn carry_out(&mut self, host: &Host) -> Result<BTreeSet<Which>, Failure> {
        let mut gone = self.carry_out_artifacts(host).await?;
        let victims = std::mem::take(&mut self.victims);
        let asked = victims.len();
        let removed = self.pass.carry_out(victims, &told).await?;
        gone.extend(removed.iter().map(Which::of));
        if removed.len() < asked {
            let n = asked - removed.len();
            self.left
                .push(format!("{n} of the cache: a build uses them now, or bases are being made"));
        }
        if !self.uploads.is_empty() {
            let kept = uploads_kept(host)?;
            remove_uploads(host.config.data_dir.clone(), kept).await?;
        }
        tracing::info!(kinds = ?self.request.kinds, "pruned on demand");
        Ok(gone)
    }

    /// Lets artifacts go, and takes those steps off the list that stand in one that has come into use since the look.
    async fn carry_out_artifacts(&mut self, host: &Host) -> Result<BTreeSet<Which>, Failure> {
        let mut gone = BTreeSet::new();
        let asked = self.deployments.len() + self.orphans.len();
        if asked == 0 {
            return Ok(gone);
        }
        let mut stayed = 0;
        for going in std::mem::take(&mut self.deployments) {
            let which = Which::Deployment(going.deployment.id.clone());
            if prune::let_go(host, going.deployment, going.revision).await? {
                gone.insert(which);
            } else {
                stayed += 1;
            }
            failpoint::reached("during:prune-artifacts");
        }
        for orphan in std::mem::take(&mut self.orphans) {
            let removing = host.builder.removing().await;
            // A build may have been stored with it since.
            let is_kept = prune::is_kept_without(host, &orphan, &BTreeSet::new())?;
            if !is_kept && removing.delete(&orphan).await? {
                gone.insert(Which::Orphan(orphan));
            } else {
                stayed += 1;
            }
        }
        if stayed > 0 {
            self.left.push(in_use(stayed));
        }
        self.pass.look_at_artifacts().await?;
        let chosen = self.pass.choose(&self.ask);
        let still: BTreeSet<String> = chosen.into_iter().map(|victim| victim.key).collect();
        self.victims.retain(|victim| still.contains(&victim.key));
        Ok(gone)
    }
}

/// What is said of artifacts that stay although they could go.
fn in_use(artifacts: usize) -> String {
    format!("{artifacts} of the artifacts: just built, or being pushed or saved; ask again")
}

fn older_than(request: &PruneRequest) -> Duration {
    Duration::from_secs(request.older_than_s.unwrap_or(0))
}

fn is_older(at: Timestamp, than: Duration) -> bool {
    Duration::try_from(Timestamp::now().duration_since(at)).is_ok_and(|age| age >= than)
}

/// The rules in force, or of each named kind everything that is old enough.
fn ask(host: &Host, request: &PruneRequest) -> Ask {
    if request.kinds.is_empty() {
        return retention(host);
    }
    let rule = |kind| match (request.kinds.contains(&kind), request.older_than_s) {
        (false, _) => Rule::default(),
        (true, None) => Rule::ALL,
        (true, Some(_)) => Rule { bytes_max: None, unused_for: Some(older_than(request)) },
    };
    let (steps, bases) = (rule(PruneKind::Cache), rule(PruneKind::Bases));
    Ask { steps, bases, mounts: rule(PruneKind::Mounts), ..Ask::nothing() }
}

/// The artifacts that nothing keeps then.
fn going(
    host: &Host,
    deployments: &[Going],
    orphans: &[Digest],
) -> Result<BTreeSet<Digest>, Failure> {
    let ids: BTreeSet<_> = deployments.iter().map(|going| going.deployment.id.clone()).collect();
    let mut going: BTreeSet<Digest> = orphans.iter().cloned().collect();
    let artifacts =
        deployments.iter().filter_map(|going| going.deployment.outputs.artifact.as_ref());
    for artifact in artifacts {
        if !prune::is_kept_without(host, &artifact.digest, &ids)? {
            going.insert(artifact.digest.clone());
        }
    }
    Ok(going)
}

fn of_orphan(digest: &Digest, freed: Freed) -> PruneItem {
    PruneItem {
        kind: PruneKind::Artifacts,
        name: digest.short().to_owned(),
        bytes: freed.bytes,
        last_used: None,
        why: freed.said("no deployment refers to it"),
    }
}

fn of_victim(victim: &Victim) -> PruneItem {
    let kind = match victim.what {
        What::Step => PruneKind::Cache,
        What::Base | What::BaseArchive => PruneKind::Bases,
        What::Mount => PruneKind::Mounts,
    };
    PruneItem {
        kind,
        name: victim.name.clone(),
        bytes: victim.bytes,
        last_used: Some(victim.last_used),
        why: why(&victim.why),
    }
}

fn why(why: &Why) -> String {
    match why {
        Why::Unused(age) if age.as_secs() < 24 * 3600 => "asked for; nothing needs it".to_owned(),
        Why::Unused(age) => {
            format!("nothing needs it; not used for {} days", age.as_secs() / (24 * 3600))
        }
        Why::OverBudget { bytes, bytes_max } => {
            format!("{} MiB are there, {} MiB may be", bytes >> 20, bytes_max >> 20)
        }
        Why::LowOnSpace => "too little disk space is free".to_owned(),
        Why::StandsOn(base) => format!("it stands on {base}, which goes"),
    }
}

/// An archive that no deployment refers to.
struct Upload {
    path: PathBuf,
    bytes: u64,
}

impl Upload {
    fn item(&self) -> PruneItem {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        PruneItem {
            kind: PruneKind::Uploads,
            name: name.chars().take(12).collect(),
            bytes: self.bytes,
            last_used: None,
            why: "no deployment refers to it".to_owned(),
        }
    }
}

fn uploads_kept(host: &Host) -> Result<BTreeSet<Digest>, Failure> {
    let mut kept = BTreeSet::new();
    for project in host.store.projects().map_err(|e| e.to_failure())? {
        kept.extend(host.store.uploads_used(&project.name).map_err(|e| e.to_failure())?);
    }
    Ok(kept)
}

/// Those that go, and how many are too young for it.
async fn uploads_to_go(host: &Host) -> Result<(Vec<Upload>, usize), Failure> {
    let (kept, data_dir) = (uploads_kept(host)?, host.config.data_dir.clone());
    let found = tokio::task::spawn_blocking(move || {
        let upload = |path: PathBuf| Upload { bytes: super::measure::size(&path).bytes, path };
        let found = uploads::unclaimed(&data_dir, &kept)?;
        Ok::<_, std::io::Error>((found.old.into_iter().map(upload).collect(), found.young))
    });
    found.await.map_err(std::io::Error::other).flatten().map_err(|e| broken(&e))
}

async fn remove_uploads(data_dir: PathBuf, kept: BTreeSet<Digest>) -> Result<(), Failure> {
    let removed = tokio::task::spawn_blocking(move || uploads::prune(Path::new(&data_dir), &kept));
    removed.await.map_err(std::io::Error::other).flatten().map_err(|e| broken(&e))
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::host(
        "prune.uploads",
        "uploads that are no longer needed could not be removed",
        error.to_string(),
        "check the permissions of `uploads` in the data directory",
    )
}

#[cfg(test)]
mod tests {
    use windlass_containers::runtime::Access;
    use windlass_containers::{Labels, Runtime as _};
    use windlass_model::Limits;

    use super::*;
    use crate::testing::TestHost;

    /// A cached step that holds so many bytes.
    async fn step(parts: &TestHost, key: &str, bytes: usize) {
        let labels = Labels::from([("windlass.kind".to_owned(), "step".to_owned())]);
        parts.runtime.prepare_snapshot("draft", None, &labels).await.unwrap();
        let mounted = parts.runtime.mount_snapshot("draft", Access::ReadWrite).await.unwrap();
        std::fs::write(mounted.path().join("file"), vec![1; bytes]).unwrap();
        drop(mounted);
        parts.runtime.commit_snapshot("draft", key, &labels).await.unwrap();
    }

    #[tokio::test]
    async fn of_two_that_are_called_alike_the_one_that_stays_is_not_told_as_gone() {
        let parts = TestHost::with(Limits::default(), &crate::pipeline::TABLE).await;
        // The second one was made again after the machine had stopped.
        let first = format!("step-{}", "ab".repeat(32));
        let second = format!("{first}-5e0c7a1b");
        step(&parts, &first, 1000).await;
        step(&parts, &second, 5000).await;
        let kinds = vec![PruneKind::Cache];
        let request = PruneRequest { dry_run: false, kinds, older_than_s: None };
        let mut job = Box::pin(Job::look(&parts.host, &request)).await.unwrap();
        let found = job.found();
        let names: Vec<&str> = found.iter().map(|(_, item)| item.name.as_str()).collect();
        assert_eq!(names, ["abababababab"; 2]);

        // Somebody builds on it before it is its turn.
        let work = Labels::new();
        parts.runtime.prepare_snapshot("work", Some(&second), &work).await.unwrap();
        let gone = Box::pin(job.carry_out(&parts.host)).await.unwrap();
        let bytes: Vec<u64> = went(found, &gone).iter().map(|item| item.bytes).collect();
        assert_eq!(bytes, [1000]);
        assert!(parts.runtime.snapshot(&first).await.unwrap().is_none());
        assert!(parts.runtime.snapshot(&second).await.unwrap().is_some());
        assert_eq!(job.left.len(), 1, "{:?}", job.left);
    }

    #[tokio::test]
    async fn uploads_that_just_came_are_left_and_told() {
        let parts = TestHost::with(Limits::default(), &crate::pipeline::TABLE).await;
        let dir = parts.host.config.data_dir.join("uploads");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(Digest::of(b"young").hex()), "young").unwrap();
        let old = std::fs::File::create(dir.join(Digest::of(b"old").hex())).unwrap();
        let before = std::time::SystemTime::now() - Duration::from_secs(2 * 3600);
        old.set_modified(before).unwrap();
        let request = |kinds| PruneRequest { dry_run: false, kinds, older_than_s: None };
        let asked = request(vec![PruneKind::Uploads]);
        let view = Box::pin(prune(&parts.host, &asked)).await.unwrap();
        assert_eq!((view.items.len(), view.left.len()), (1, 1), "{view:?}");
        assert!(view.left.iter().all(|left| left.starts_with("1 of the uploads: ")), "{view:?}");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        // Nobody asked for uploads.
        let view = Box::pin(prune(&parts.host, &request(Vec::new()))).await.unwrap();
        assert_eq!((view.items.len(), view.left.len()), (0, 0), "{view:?}");
    }

    #[test]
    fn what_is_called_alike_is_told_apart_by_its_kind_and_its_key() {
        let item = || PruneItem {
            kind: PruneKind::Bases,
            name: "node:22".to_owned(),
            bytes: 1,
            last_used: None,
            why: String::new(),
        };
        // Two bases of a tag that moved.
        let base = |key: &str| Which::Kept(What::Base, key.to_owned());
        let archive = || Which::Kept(What::BaseArchive, "image-b".to_owned());
        let went = |gone: &[Which]| {
            let all = [base("image-a"), base("image-b"), archive(), Which::Upload];
            let found = all.into_iter().map(|which| (which, item())).collect();
            went(found, &gone.iter().cloned().collect()).len()
        };
        assert_eq!(went(&[]), 1, "nobody asks which uploads went");
        assert_eq!(went(&[base("image-a")]), 2);
        assert_eq!(went(&[base("image-a"), archive()]), 3);
        assert_eq!(went(&[Which::Orphan(Digest::of(b"image-a"))]), 1);
    }
}
