//! The lock around what is made and deleted.
//!
//! **Invariant: nothing is made in what is being deleted.** Deployments are made under the shared side,
//! so that their commits are grouped, and one at a time within a project, so that they do not race for
//! its next number; everything else that makes or deletes takes the whole lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedMutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use windlass_model::ProjectName;

/// Locks that nobody holds are dropped beyond this number.
const IDLE_MAX: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Structure {
    whole: RwLock<()>,
    projects: Mutex<HashMap<ProjectName, Arc<tokio::sync::Mutex<()>>>>,
}

/// Held while a deployment is made.
pub(crate) struct Making<'a> {
    _shared: RwLockReadGuard<'a, ()>,
    _project: OwnedMutexGuard<()>,
}

impl Structure {
    /// Alone: to make or delete projects and environments, and what must not be made in deleted ones.
    pub(crate) async fn lock(&self) -> RwLockWriteGuard<'_, ()> {
        self.whole.write().await
    }

    /// To make a deployment of a project.
    pub(crate) async fn making(&self, project: &ProjectName) -> Making<'_> {
        let lock = {
            let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
            if projects.len() >= IDLE_MAX {
                projects.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            projects.entry(project.clone()).or_default().clone()
        };
        // The project first: who waits for it must not keep others from the whole lock.
        let project = lock.lock_owned().await;
        Making { _shared: self.whole.read().await, _project: project }
    }
}
