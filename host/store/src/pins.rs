//! Pins: deployments that a person wants to keep. Records of their own, because only the runner writes a
//! deployment.

use std::collections::BTreeSet;

use windlass_model::queue::Pin;
use windlass_model::{Deployment, DeploymentId, EnvironmentName, ProjectName};

use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

impl Store {
    /// Pins a deployment; pinning it again changes nothing but who and when.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] over `pins_max`; [`StoreError::NotFound`] when it was deleted meanwhile.
    pub async fn pin(&self, deployment: &Deployment, pin: &Pin) -> Result<()> {
        let _structure = self.inner.structure.lock().await;
        self.deployment(&deployment.id)?;
        let prefix = keys::pins(&deployment.project, &deployment.environment);
        let key = format!("{prefix}{}", deployment.id);
        let count_max = self.inner.limits.pins_max;
        let is_new = self.inner.kv.get(&key)?.is_none();
        if is_new && self.inner.kv.list(&prefix, &Page::all())?.len() >= count_max {
            return Err(StoreError::TooMany { what: "pinned deployments".into(), count_max });
        }
        self.put(&key, Expect::Any, pin).await.map(drop)
    }

    /// Takes a pin away; one that is not there is no error.
    pub async fn unpin(&self, deployment: &Deployment) -> Result<()> {
        let prefix = keys::pins(&deployment.project, &deployment.environment);
        let key = format!("{prefix}{}", deployment.id);
        self.submit(Transaction::new().delete(key, Expect::Any).essential()).await.map(drop)
    }

    /// Whether a deployment is pinned.
    pub fn is_pinned(&self, deployment: &Deployment) -> Result<bool> {
        let prefix = keys::pins(&deployment.project, &deployment.environment);
        Ok(self.inner.kv.get(&format!("{prefix}{}", deployment.id))?.is_some())
    }

    /// The pinned deployments of an environment.
    pub fn pins(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<BTreeSet<DeploymentId>> {
        let docs = self.read_all::<Pin>(&keys::pins(project, environment), &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc)| doc.value.deployment).collect())
    }
}
