//! Clearing the caches of builds: results of steps that no artifact needs, and cache mounts. What a running
//! build uses is left, and counted.

use std::collections::BTreeSet;

use windlass_containers::runtime::Snapshot;
use windlass_containers::{Labels, RuntimeError};
use windlass_model::build::CacheCleared;
use windlass_model::{Failure, ProjectName};

use super::steps::LABEL_USED_BY;
use super::{Builder, blocking, io_failure};
use crate::artifact::{self, KIND_STEP, LABEL_KIND};
use crate::ops::caches;

impl Builder {
    /// Clears the caches of all builds, or of one project's: of steps those that no other project has used.
    /// What artifacts and running builds need is left.
    ///
    /// # Errors
    /// What the runtime or the file system says; calling it again is safe.
    pub async fn clear_cache(
        &self,
        project: Option<&ProjectName>,
    ) -> Result<CacheCleared, Failure> {
        let mut cleared = self.clear_steps(project).await?;
        let (data_dir, project) = (self.config.data_dir.clone(), project.cloned());
        let dir = data_dir.clone();
        let mounts = blocking(move || caches::clear(&dir, project.as_ref())).await?;
        let mounts = mounts
            .map_err(|e| io_failure("The cache mounts could not be cleared", &data_dir, &e))?;
        cleared.mounts = mounts.removed;
        cleared.bytes += mounts.bytes;
        cleared.in_use += mounts.in_use;
        Ok(cleared)
    }

    async fn clear_steps(&self, project: Option<&ProjectName>) -> Result<CacheCleared, Failure> {
        let failed = |e: RuntimeError| e.failure("The step cache could not be cleared");
        let artifacts = artifact::all(&*self.runtime).await?;
        let needed: BTreeSet<&str> =
            artifacts.iter().flat_map(|a| a.outputs.iter().map(|o| o.snapshot.as_str())).collect();
        let kind = Labels::from([(LABEL_KIND.to_owned(), KIND_STEP.to_owned())]);
        let mut steps = self.runtime.list_snapshots(&kind).await.map_err(failed)?;
        // What is built on others goes first.
        steps.sort_by_key(|step| std::cmp::Reverse(step.created_at));
        let mut cleared = CacheCleared::default();
        for step in steps {
            if needed.contains(step.key.as_str()) || !is_of(&step, project) {
                continue;
            }
            let bytes = self.runtime.snapshot_bytes(&step.key).await.unwrap_or_default();
            let _alone = self.pins.removing().await;
            if self.pins.is_pinned(&step.key) {
                cleared.in_use += 1;
                continue;
            }
            match self.runtime.remove_snapshot(&step.key).await {
                Ok(()) => {
                    cleared.steps += 1;
                    cleared.bytes += bytes;
                }
                // Something that is needed is built on it.
                Err(RuntimeError::Refused { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(cleared)
    }
}

/// Whether nobody but this project has used the step; every step is of no project in particular.
fn is_of(step: &Snapshot, project: Option<&ProjectName>) -> bool {
    let Some(project) = project else { return true };
    let mut users = step.labels.keys().filter_map(|label| label.strip_prefix(LABEL_USED_BY));
    let first = users.next();
    first == Some(project.as_str()) && users.next().is_none()
}
