//! Projects and their Git tokens.

use windlass_model::project::{Environment, Project};
use windlass_model::{ProjectName, Secret};

use crate::cipher::Sealed;
use crate::doc::{Versioned, encode};
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

impl Store {
    /// Makes a project.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub async fn create_project(&self, project: &Project) -> Result<Versioned<Project>> {
        let _structure = self.inner.structure.lock().await;
        let key = keys::project(&project.name);
        match self.put(&key, Expect::Absent, project).await {
            Ok(revision) => Ok(Versioned { value: project.clone(), revision }),
            Err(StoreError::Conflict { .. }) => {
                Err(StoreError::Exists { what: named(&project.name) })
            }
            Err(error) => Err(error),
        }
    }

    /// The project of this name; makes it when it is not there.
    pub async fn ensure_project(&self, name: &ProjectName) -> Result<Versioned<Project>> {
        if let Some(found) = self.find_project(name)? {
            return Ok(found);
        }
        match self.create_project(&Project::new(name.clone())).await {
            Err(StoreError::Exists { .. }) => self.project(name),
            other => other,
        }
    }

    /// The project of this name, if there is one.
    pub fn find_project(&self, name: &ProjectName) -> Result<Option<Versioned<Project>>> {
        self.read(&keys::project(name))
    }

    /// The project of this name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn project(&self, name: &ProjectName) -> Result<Versioned<Project>> {
        self.find_project(name)?.ok_or_else(|| StoreError::not_found(named(name)))
    }

    /// All projects, by name.
    pub fn projects(&self) -> Result<Vec<Project>> {
        let docs = self.read_all(keys::PROJECTS, &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc)| doc.value).collect())
    }

    /// Changes a project's settings. Its number counter stays what the store says.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it was changed since `project` was read.
    pub async fn update_project(&self, project: Versioned<Project>) -> Result<Versioned<Project>> {
        let key = keys::project(&project.value.name);
        let revision = self.put(&key, project.expect(), &project.value).await?;
        Ok(Versioned { value: project.value, revision })
    }

    /// Deletes a project with its environments, variables, domains, services and history. Tokens that are
    /// limited to it lose it, and are revoked when it was their only one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Busy`] while one of its deployments is live or unsettled.
    pub async fn delete_project(&self, name: &ProjectName) -> Result<()> {
        let _structure = self.inner.structure.lock().await;
        let project = self.project(name)?;
        let environments = self.environments(name)?;
        for environment in &environments {
            self.refuse_if_busy(environment)?;
        }
        self.take_from_tokens(name).await?;
        for Environment { name: environment, .. } in &environments {
            self.delete_environment_records(name, environment).await?;
        }
        for webhook in self.webhooks(name)? {
            self.delete_webhook(&webhook.id).await?;
        }
        let mut last = Transaction::new();
        for (key, _) in self.inner.kv.list(&keys::idempotency(name), &Page::all())? {
            last = last.delete(key, Expect::Any);
        }
        for (registry, _) in self.registry_logins(name)? {
            last = last.delete(keys::registry_login(name, &registry), Expect::Any);
        }
        let last = last
            .delete(keys::git_token(name), Expect::Any)
            .delete(keys::preview_settings(name), Expect::Any)
            .delete(keys::deploy_key(name), Expect::Any)
            .delete(keys::plugin_account(name), Expect::Any)
            .delete(keys::project(name), project.expect())
            .essential();
        self.submit(last).await.map(drop)
    }

    /// Stores the project's token for HTTPS Git remotes, encrypted.
    pub async fn set_git_token(&self, name: &ProjectName, token: &Secret<String>) -> Result<()> {
        self.project(name)?;
        let bytes_max = self.inner.limits.variable_value_bytes_max;
        let bytes = token.expose().len();
        if bytes > bytes_max {
            return Err(StoreError::TooLarge { what: token_of(name), bytes, bytes_max });
        }
        let key = keys::git_token(name);
        let sealed = self.inner.cipher.seal(&key, token)?;
        let tx = Transaction::new().put(&key, Expect::Any, encode(&key, &sealed)?);
        self.submit(tx).await.map(drop)
    }

    /// Removes the project's token.
    pub async fn remove_git_token(&self, name: &ProjectName) -> Result<()> {
        let tx = Transaction::new().delete(keys::git_token(name), Expect::Any).essential();
        self.submit(tx).await.map(drop)
    }

    /// Whether a token is stored; the only thing about it that may be shown.
    pub fn has_git_token(&self, name: &ProjectName) -> Result<bool> {
        Ok(self.inner.kv.get(&keys::git_token(name))?.is_some())
    }

    /// The token itself, for fetching.
    ///
    /// # Errors
    /// [`StoreError::KeyLost`].
    pub fn git_token(&self, name: &ProjectName) -> Result<Option<Secret<String>>> {
        let key = keys::git_token(name);
        let Some(sealed) = self.read::<Sealed>(&key)? else {
            return Ok(None);
        };
        self.inner.cipher.open(&key, &sealed.value, || token_of(name)).map(Some)
    }
}

fn named(name: &ProjectName) -> String {
    format!("project {name}")
}

fn token_of(name: &ProjectName) -> String {
    format!("the Git token of project {name}")
}
