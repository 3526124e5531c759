//! What pushes lead to: rules of environments, previews, and commit statuses still to be reported.

use windlass_model::webhook::{AutoDeploy, Preview, PreviewSettings, StatusReport};
use windlass_model::{DeploymentId, EnvironmentName, ProjectName};

use crate::doc::Versioned;
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

impl Store {
    /// Sets when pushes deploy to an environment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the environment.
    pub async fn set_auto_deploy(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        rule: &AutoDeploy,
    ) -> Result<()> {
        let _structure = self.inner.structure.lock().await;
        self.environment(project, environment)?;
        self.put(&keys::auto_deploy(project, environment), Expect::Any, rule).await.map(drop)
    }

    /// When pushes deploy to an environment, if that was ever set.
    pub fn auto_deploy(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Option<AutoDeploy>> {
        Ok(self.read(&keys::auto_deploy(project, environment))?.map(|doc| doc.value))
    }

    /// Sets what previews a project has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the project.
    pub async fn set_preview_settings(
        &self,
        project: &ProjectName,
        settings: &PreviewSettings,
    ) -> Result<()> {
        let _structure = self.inner.structure.lock().await;
        self.project(project)?;
        self.put(&keys::preview_settings(project), Expect::Any, settings).await.map(drop)
    }

    /// What previews a project has.
    pub fn preview_settings(&self, project: &ProjectName) -> Result<PreviewSettings> {
        let found = self.read(&keys::preview_settings(project))?;
        Ok(found.map(|doc| doc.value).unwrap_or_default())
    }

    /// Stores a preview, new or changed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the project.
    pub async fn put_preview(&self, preview: &Preview) -> Result<()> {
        let _structure = self.inner.structure.lock().await;
        self.project(&preview.project)?;
        let key = keys::preview(&preview.project, &preview.environment);
        self.put(&key, Expect::Any, preview).await.map(drop)
    }

    /// The preview that an environment is, if it is one.
    pub fn preview(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Option<Preview>> {
        Ok(self.read(&keys::preview(project, environment))?.map(|doc| doc.value))
    }

    /// A project's previews, by environment.
    pub fn previews(&self, project: &ProjectName) -> Result<Vec<Preview>> {
        let docs = self.read_all(&keys::previews(project), &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc)| doc.value).collect())
    }

    /// Every preview of this host.
    pub fn all_previews(&self) -> Result<Vec<Preview>> {
        let docs = self.read_all(keys::PREVIEWS, &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc)| doc.value).collect())
    }

    /// Tells when a preview changes.
    pub fn watch_previews(&self) -> crate::webhooks::HookWatch {
        crate::webhooks::HookWatch(self.inner.kv.watch(keys::PREVIEWS))
    }

    /// Forgets a preview whose environment is gone.
    pub async fn delete_preview(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<()> {
        let key = keys::preview(project, environment);
        self.submit(Transaction::new().delete(key, Expect::Any).essential()).await.map(drop)
    }

    /// Keeps a commit status that is to be reported.
    pub async fn put_status_report(&self, report: &StatusReport) -> Result<()> {
        self.put(&keys::status_report(&report.deployment), Expect::Any, report).await.map(drop)
    }

    /// Keeps it unless it is kept already.
    pub async fn ensure_status_report(&self, report: &StatusReport) -> Result<()> {
        let key = keys::status_report(&report.deployment);
        match self.put(&key, Expect::Absent, report).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Commit statuses that are still to be reported, oldest first.
    pub fn status_reports(&self) -> Result<Vec<StatusReport>> {
        let docs = self.read_all::<StatusReport>(keys::STATUS_REPORTS, &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc): (String, Versioned<StatusReport>)| doc.value).collect())
    }

    /// Forgets a commit status that was reported for good.
    pub async fn delete_status_report(&self, deployment: &DeploymentId) -> Result<()> {
        let key = keys::status_report(deployment);
        self.submit(Transaction::new().delete(key, Expect::Any).essential()).await.map(drop)
    }
}
