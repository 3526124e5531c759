//! The SSH key of a project, made for it alone. The private part is sealed.

use serde::{Deserialize, Serialize};
use windlass_model::{ProjectName, Secret, Timestamp};

use crate::cipher::Sealed;
use crate::doc::encode;
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Transaction};
use crate::store::Store;

/// A key pair, as it lies under the seal.
#[derive(Clone, Serialize, Deserialize)]
pub struct DeployKey {
    /// In OpenSSH's form.
    pub private: String,
    /// One line, as it is pasted at a hosting service.
    pub public: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for DeployKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeployKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Store {
    /// Stores a project's key, in place of the one before.
    pub async fn set_deploy_key(&self, project: &ProjectName, pair: &DeployKey) -> Result<()> {
        self.project(project)?;
        let key = keys::deploy_key(project);
        let text = Secret::new(serde_json::to_string(pair).unwrap_or_default());
        let sealed = self.inner.cipher.seal(&key, &text)?;
        let tx = Transaction::new().put(&key, Expect::Any, encode(&key, &sealed)?);
        self.submit(tx).await.map(drop)
    }

    /// Forgets the key.
    pub async fn remove_deploy_key(&self, project: &ProjectName) -> Result<()> {
        let tx = Transaction::new().delete(keys::deploy_key(project), Expect::Any).essential();
        self.submit(tx).await.map(drop)
    }

    /// A project's key, opened.
    ///
    /// # Errors
    /// [`StoreError::KeyLost`].
    pub fn deploy_key(&self, project: &ProjectName) -> Result<Option<DeployKey>> {
        let key = keys::deploy_key(project);
        let Some(sealed) = self.read::<Sealed>(&key)? else {
            return Ok(None);
        };
        let named = || format!("the deploy key of project {project}");
        let text = self.inner.cipher.open(&key, &sealed.value, named)?;
        let pair = serde_json::from_str(text.expose());
        pair.map(Some).map_err(|_| StoreError::not_found(named()))
    }
}
