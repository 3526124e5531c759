//! Clearing the caches of builds: results of steps that no artifact needs, and cache mounts. What a running
//! build uses is left, and counted.

use windlass_model::build::CacheCleared;
use windlass_model::{Failure, ProjectName};

use super::steps::LABEL_USED_BY;
use super::{Builder, blocking, io_failure};
use crate::disk::{Ask, Piece, Rule};
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

    /// Removes the cache mounts of a project that was deleted: a later one of its name begins without.
    ///
    /// # Errors
    /// What the file system says; calling it again is safe.
    pub async fn forget_project(&self, project: &ProjectName) -> Result<(), Failure> {
        let (data_dir, project) = (self.config.data_dir.clone(), project.clone());
        let dir = data_dir.clone();
        let forgotten = blocking(move || caches::forget(&dir, &project)).await?;
        forgotten.map_err(|e| io_failure("The cache mounts could not be removed", &data_dir, &e))
    }

    async fn clear_steps(&self, project: Option<&ProjectName>) -> Result<CacheCleared, Failure> {
        let pass = self.prune_pass().await?;
        let ask = Ask { steps: Rule::ALL, ..Ask::nothing() };
        let (victims, used) = pass.choose_of(&ask, &|step| is_of(step, project));
        let chosen = victims.len();
        let gone = pass.carry_out(victims, &|_| ()).await?;
        Ok(CacheCleared {
            steps: gone.len(),
            bytes: gone.iter().map(|step| step.bytes).sum(),
            in_use: used + (chosen - gone.len()),
            ..CacheCleared::default()
        })
    }
}

/// Whether nobody but this project has used the step; every step is of no project in particular.
fn is_of(step: &Piece, project: Option<&ProjectName>) -> bool {
    let Some(project) = project else { return true };
    let mut users = step.labels.keys().filter_map(|label| label.strip_prefix(LABEL_USED_BY));
    let first = users.next();
    first == Some(project.as_str()) && users.next().is_none()
}
