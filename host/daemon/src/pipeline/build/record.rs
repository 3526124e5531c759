//! The record of a deployment's build, `<data>/logs/<deployment>/build.json`: what became of each step and
//! why. It is written as the steps end, so a build that fails, or is cut off, has one too; and it goes with
//! the deployment's logs.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windlass_build::Earlier;
use windlass_model::build::{BuildRecord, StepRecord};
use windlass_model::{Deployment, DeploymentId};
use windlass_store::HistoryFilter;

use crate::host::Host;

/// Records of earlier deployments that a build is compared with; a step that is in none counts as new.
const EARLIER_MAX: usize = 5;
/// Deployments that are looked through for them.
const LOOKED_AT_MAX: usize = 50;
/// A larger record was not written by us.
const RECORD_BYTES_MAX: u64 = 64 << 20;

fn file(host: &Host, deployment: &DeploymentId) -> PathBuf {
    host.logs.deployment_dir(deployment).join("build.json")
}

/// The record of a deployment; `None` when it has not come to a build, or its logs are gone.
pub(crate) fn read(host: &Host, deployment: &DeploymentId) -> Option<BuildRecord> {
    let path = file(host, deployment);
    let fits = std::fs::metadata(&path).is_ok_and(|meta| meta.len() <= RECORD_BYTES_MAX);
    let bytes = fits.then(|| std::fs::read(&path).ok()).flatten()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::warn!(%error, path = %path.display(), "a build's record"))
        .ok()
}

/// Records of the environment's deployments before this one, the newest first; read when they are needed.
pub(super) fn earlier(host: &Arc<Host>, deployment: &Deployment) -> Earlier {
    let host = Arc::clone(host);
    let filter = HistoryFilter {
        project: deployment.project.clone(),
        environment: Some(deployment.environment.clone()),
        before: Some(deployment.number),
        limit: LOOKED_AT_MAX,
    };
    Earlier::read_by(move || {
        let page = host.store.deployments(&filter);
        let page = page.inspect_err(|error| tracing::warn!(%error, "nothing to compare with"));
        let items = page.map(|page| page.items).unwrap_or_default();
        items.iter().filter_map(|one| read(&host, &one.id)).take(EARLIER_MAX).collect()
    })
}

/// A record that is being made.
pub(super) struct Writer {
    path: PathBuf,
    before: BuildRecord,
    record: Mutex<BuildRecord>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Of a build that carried out nothing it is written once.
        let record = self.record();
        if !record.steps.is_empty() {
            self.write(&record);
        }
    }
}

impl Writer {
    /// Goes on where an attempt before a crash was cut off.
    pub(super) fn open(host: &Host, deployment: &DeploymentId) -> Self {
        let before = read(host, deployment).unwrap_or_default();
        Self { path: file(host, deployment), before, record: Mutex::default() }
    }

    /// A step has ended. What the attempt before has done is a hit now, but was not for the deployment.
    pub(super) fn put(&self, mut step: StepRecord) {
        if let Some(before) = self.before.step(&step.id)
            && step.cached
            && before.key == step.key
            && before.succeeded
        {
            step = before.clone();
        }
        let at_once = !step.cached;
        let mut record = self.record();
        record.steps.retain(|known| known.id != step.id);
        record.steps.push(step);
        record.steps.sort_by_key(|step| step.place);
        if at_once {
            self.write(&record);
        }
    }

    fn record(&self) -> MutexGuard<'_, BuildRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, record: &BuildRecord) {
        if let Err(error) = write(&self.path, record) {
            tracing::warn!(%error, path = %self.path.display(), "a build's record was not written");
        }
    }
}

fn write(path: &Path, record: &BuildRecord) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    // One writer of a deployment, under a lock: a draft that a crash left is written over.
    let draft = path.with_extension("new");
    std::fs::File::create(&draft)?.write_all(&serde_json::to_vec(record)?)?;
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use windlass_model::build::{KeyParts, Reason};

    use super::*;

    fn step(place: usize, id: &str, cached: bool) -> StepRecord {
        StepRecord {
            place,
            id: id.into(),
            name: id.into(),
            key: format!("step-{id}"),
            cached,
            succeeded: true,
            took_ms: 1,
            reasons: if cached { vec![] } else { vec![Reason::NoEarlierBuild] },
            parts: KeyParts::default(),
        }
    }

    #[test]
    fn what_was_done_before_a_crash_is_no_hit_of_the_deployment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/build.json");
        let writer = |before| Writer { path: path.clone(), before, record: Mutex::default() };
        let on_disk =
            || serde_json::from_slice::<BuildRecord>(&std::fs::read(&path).unwrap()).unwrap();
        writer(BuildRecord::default()).put(step(0, "deps", false));
        let again = writer(on_disk());
        again.put(step(1, "app", false));
        again.put(step(0, "deps", true));
        drop(again);
        let steps = on_disk().steps;
        let seen: Vec<_> = steps.iter().map(|s| (s.id.as_str(), s.cached)).collect();
        assert_eq!(seen, [("deps", false), ("app", false)]);
        let fresh = writer(BuildRecord::default());
        fresh.put(step(0, "deps", true));
        drop(fresh);
        assert!(on_disk().steps[0].cached);
    }
}
