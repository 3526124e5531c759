//! Facts of deployments that never change, remembered by id: whose they are, and their numbers.
//!
//! Looking at the queue needs nothing else, and a queue of a thousand is looked at often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use windlass_model::deployment::Kind;
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, EnvironmentName, ProjectName};

use crate::error::Result;
use crate::keys;
use crate::kv::Page;
use crate::store::Store;

/// Remembered at most; then all are forgotten, and read again as they are asked for.
const REMEMBERED_MAX: usize = 8192;

/// What never changes of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Its id.
    pub id: DeploymentId,
    /// Its project.
    pub project: ProjectName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its number within the project.
    pub number: u64,
    /// The deployment whose artifact or variables it takes over.
    pub wants: Option<DeploymentId>,
    /// Whether it is only built, and so takes no turn of its environment.
    pub build: bool,
}

impl Brief {
    /// Whether both take turns: they are of the same environment of the same project, and none is a build.
    pub fn shares_environment(&self, other: &Self) -> bool {
        let builds = self.build || other.build;
        !builds && self.project == other.project && self.environment == other.environment
    }
}

impl From<&Deployment> for Brief {
    fn from(deployment: &Deployment) -> Self {
        Self {
            id: deployment.id.clone(),
            project: deployment.project.clone(),
            environment: deployment.environment.clone(),
            number: deployment.number,
            wants: match &deployment.kind {
                Kind::Rollback { to, .. } => Some(to.clone()),
                other => other.artifact_of().cloned(),
            },
            build: deployment.kind.is_build(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Briefs(Mutex<HashMap<DeploymentId, Arc<Brief>>>);

impl Briefs {
    fn get(&self, id: &DeploymentId) -> Option<Arc<Brief>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn remember(&self, deployment: &Deployment) -> Arc<Brief> {
        let brief = Arc::new(Brief::from(deployment));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(deployment.id.clone(), brief.clone());
        brief
    }
}

impl Store {
    /// The deployments of this status, oldest first, without reading the records of those that were
    /// seen before.
    pub fn briefs_with_status(&self, status: DeploymentStatus) -> Result<Vec<Arc<Brief>>> {
        let mut found = Vec::new();
        for (_, id) in self.read_all::<DeploymentId>(&keys::in_status(status), &Page::all())? {
            if let Some(known) = self.inner.briefs.get(&id.value) {
                found.push(known);
            } else if let Some(deployment) = self.find_deployment(&id.value)? {
                found.push(self.inner.briefs.remember(&deployment.value));
            }
        }
        Ok(found)
    }
}
