//! Settings of environments: what a person laid over `windlass.toml`.

use windlass_model::settings::EnvironmentSettings;
use windlass_model::{Deployment, EnvironmentName, ProjectName, Timestamp};

use crate::doc::Versioned;
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Revision};
use crate::store::Store;

impl Store {
    /// What was set for an environment; `None` when nothing ever was.
    pub fn environment_settings(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Option<Versioned<EnvironmentSettings>>> {
        self.read(&keys::environment_settings(project, environment))
    }

    /// Stores what is set for an environment, in place of what was. `read` is the revision that the change
    /// was made from: 0 when nothing was set, `None` when it does not matter.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the environment; [`StoreError::Conflict`] when it was changed since.
    pub async fn put_environment_settings(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        settings: &EnvironmentSettings,
        read: Option<Revision>,
    ) -> Result<Revision> {
        let _structure = self.inner.structure.lock().await;
        self.environment(project, environment)?;
        let expect = match read {
            None => Expect::Any,
            Some(0) => Expect::Absent,
            Some(revision) => Expect::Revision(revision),
        };
        self.put(&keys::environment_settings(project, environment), expect, settings).await
    }

    /// Gives an environment the settings back that its deployment ran with, unless it has some.
    pub(crate) async fn put_back_settings(&self, deployment: &Deployment) -> Result<()> {
        let layers = deployment.outputs.settings.as_ref().map(|settings| &settings.layers);
        let Some(overrides) = layers.map(|layers| &layers.environment).filter(|o| !o.is_empty())
        else {
            return Ok(());
        };
        let settings = EnvironmentSettings {
            overrides: overrides.clone(),
            updated_at: Timestamp::now(),
            updated_by: "recover".to_owned(),
            retention_owed: false,
        };
        let (project, environment) = (&deployment.project, &deployment.environment);
        match self.put_environment_settings(project, environment, &settings, Some(0)).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Environments whose retention was changed and not applied since.
    pub fn environments_owed_retention(&self) -> Result<Vec<(ProjectName, EnvironmentName)>> {
        let docs =
            self.read_all::<EnvironmentSettings>(keys::ENVIRONMENT_SETTINGS, &Page::all())?;
        let owed = docs.into_iter().filter(|(_, doc)| doc.value.retention_owed);
        let names = |(key, _): (String, _)| {
            let rest = key.strip_prefix(keys::ENVIRONMENT_SETTINGS)?;
            let (project, environment) = rest.split_once('/')?;
            Some((project.parse().ok()?, environment.parse().ok()?))
        };
        Ok(owed.filter_map(names).collect())
    }

    /// Notes that an environment's retention was applied as it is set in `settings`; nothing when it was
    /// changed since.
    pub async fn retention_applied(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        settings: Versioned<EnvironmentSettings>,
    ) -> Result<()> {
        let expect = settings.expect();
        let applied = EnvironmentSettings { retention_owed: false, ..settings.value };
        let key = keys::environment_settings(project, environment);
        match self.put(&key, expect, &applied).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
