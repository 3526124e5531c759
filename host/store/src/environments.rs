//! Environments: made on demand, deleted with everything that belongs to them.

use windlass_model::project::Environment;
use windlass_model::{EnvironmentName, ProjectName};

use crate::doc::Versioned;
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

/// Keys deleted in one transaction: it bounds the time that other writers wait.
const DELETE_BATCH: usize = 200;

impl Store {
    /// The environment; makes it when the project is there and it is not.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the project.
    pub async fn ensure_environment(
        &self,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> Result<Versioned<Environment>> {
        let _structure = self.inner.structure.lock().await;
        self.ensure_environment_locked(project, name).await
    }

    pub(crate) async fn ensure_environment_locked(
        &self,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> Result<Versioned<Environment>> {
        self.project(project)?;
        if let Some(found) = self.find_environment(project, name)? {
            return Ok(found);
        }
        let value = Environment::new(project.clone(), name.clone());
        let key = keys::environment(project, name);
        let revision = self.put(&key, Expect::Absent, &value).await?;
        Ok(Versioned { value, revision })
    }

    /// The environment, if there is one.
    pub fn find_environment(
        &self,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> Result<Option<Versioned<Environment>>> {
        self.read(&keys::environment(project, name))
    }

    /// The environment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], of the project or of the environment.
    pub fn environment(
        &self,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> Result<Versioned<Environment>> {
        self.project(project)?;
        let found = self.find_environment(project, name)?;
        found.ok_or_else(|| {
            StoreError::not_found(format!("environment {name} of project {project}"))
        })
    }

    /// A project's environments, by name.
    pub fn environments(&self, project: &ProjectName) -> Result<Vec<Environment>> {
        let docs = self.read_all(&keys::environments(project), &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc)| doc.value).collect())
    }

    /// Deletes an environment with its variables, domains, services and history.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Busy`] while a deployment of it is live or unsettled.
    pub async fn delete_environment(
        &self,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> Result<()> {
        let _structure = self.inner.structure.lock().await;
        let environment = self.environment(project, name)?;
        self.refuse_if_busy(&environment.value)?;
        self.delete_environment_records(project, name).await
    }

    pub(crate) fn refuse_if_busy(&self, environment: &Environment) -> Result<()> {
        let what = format!("environment {} of project {}", environment.name, environment.project);
        if let Some(live) = &environment.live {
            self.refuse_unless_stopped(environment, live, &what)?;
        }
        let busy = self.unsettled_deployments()?.into_iter().find(|deployment| {
            let deployment = &deployment.value;
            deployment.project == environment.project && deployment.environment == environment.name
        });
        match busy {
            Some(deployment) => {
                let deployment = deployment.value;
                let why = format!("deployment #{} is {}", deployment.number, deployment.status);
                Err(StoreError::Busy { what, why })
            }
            None => Ok(()),
        }
    }

    /// A live deployment is in the way, unless a person stopped it and nothing of it is left.
    fn refuse_unless_stopped(
        &self,
        environment: &Environment,
        live: &windlass_model::DeploymentId,
        what: &str,
    ) -> Result<()> {
        let busy = |why: String| Err(StoreError::Busy { what: what.to_owned(), why });
        let stopped = |found: &Versioned<windlass_model::Deployment>| {
            found.value.status == windlass_model::DeploymentStatus::Stopped
        };
        if !self.find_deployment(live)?.is_none_or(|found| stopped(&found)) {
            return busy(format!("deployment {live} is live"));
        }
        match self.running(&environment.project, &environment.name)? {
            Some(running) if running.value.asked.is_some() => {
                busy(format!("deployment {live} is being stopped or started"))
            }
            _ => Ok(()),
        }
    }

    /// Deletes history first and the environment itself last: after a crash in between it can be
    /// deleted again.
    pub(crate) async fn delete_environment_records(
        &self,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> Result<()> {
        let history = keys::history(project, name);
        loop {
            let page = Page { limit: DELETE_BATCH / 8, ..Page::default() };
            let ids = self.read_all::<windlass_model::DeploymentId>(&history, &page)?;
            if ids.is_empty() {
                break;
            }
            let mut tx = Transaction::new().essential();
            for (key, id) in ids {
                tx = match self.find_deployment(&id.value)? {
                    Some(deployment) => self.deleting(tx, &deployment)?,
                    None => tx.delete(key, Expect::Any),
                };
            }
            self.submit(tx).await?;
        }
        let mut tx = Transaction::new().essential();
        for prefix in [
            keys::variables(project, name),
            keys::services(project, name),
            keys::events(project, name),
            keys::cron(project, name),
        ] {
            for (key, _) in self.inner.kv.list(&prefix, &Page::all())? {
                tx = tx.delete(key, Expect::Any);
            }
        }
        for domain in self.domains(project, name)? {
            tx = tx.delete(keys::domain(&domain.host), Expect::Any);
        }
        let tx = tx
            .delete(keys::auto_deploy(project, name), Expect::Any)
            .delete(keys::preview(project, name), Expect::Any)
            .delete(keys::running(project, name), Expect::Any)
            .delete(keys::environment_settings(project, name), Expect::Any)
            .delete(keys::environment(project, name), Expect::Any);
        self.submit(tx).await.map(drop)
    }
}
