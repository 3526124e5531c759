//! Logins of image registries, per project. The whole login is sealed, the registry's name is not.

use serde::{Deserialize, Serialize};
use windlass_model::{ProjectName, Secret};

use crate::cipher::Sealed;
use crate::doc::encode;
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

/// A login, as it lies under the seal.
#[derive(Clone, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// Name.
    pub user: String,
    /// Password or token.
    pub password: String,
}

impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Store {
    /// Stores a project's login for a registry, in place of the one before.
    pub async fn set_registry_login(
        &self,
        project: &ProjectName,
        registry: &str,
        login: &RegistryLogin,
    ) -> Result<()> {
        self.project(project)?;
        let key = keys::registry_login(project, registry);
        let text = serde_json::to_string(login).unwrap_or_default();
        let sealed = self.inner.cipher.seal(&key, &Secret::new(text))?;
        let tx = Transaction::new().put(&key, Expect::Any, encode(&key, &sealed)?);
        self.submit(tx).await.map(drop)
    }

    /// Forgets a login.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_registry_login(&self, project: &ProjectName, registry: &str) -> Result<()> {
        let key = keys::registry_login(project, registry);
        if self.inner.kv.get(&key)?.is_none() {
            return Err(StoreError::not_found(format!("registry-login {registry}")));
        }
        let tx = Transaction::new().delete(key, Expect::Any).essential();
        self.submit(tx).await.map(drop)
    }

    /// A project's logins by registry, opened.
    ///
    /// # Errors
    /// [`StoreError::KeyLost`].
    pub fn registry_logins(&self, project: &ProjectName) -> Result<Vec<(String, RegistryLogin)>> {
        let prefix = keys::registry_logins(project);
        let mut logins = Vec::new();
        for (key, sealed) in self.read_all::<Sealed>(&prefix, &Page::all())? {
            let registry = key.strip_prefix(&prefix).unwrap_or(&key).to_owned();
            let named = || format!("the login of project {project} for {registry}");
            let text = self.inner.cipher.open(&key, &sealed.value, named)?;
            let login = serde_json::from_str(text.expose())
                .map_err(|_| StoreError::not_found(format!("registry-login {registry}")))?;
            logins.push((registry, login));
        }
        Ok(logins)
    }
}
