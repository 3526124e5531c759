//! The lock of an environment's migrations: one at a time, held across restarts.

use serde::{Deserialize, Serialize};
use windlass_model::{DeploymentId, EnvironmentName, ProjectName, Timestamp};

use crate::doc::encode;
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Transaction};
use crate::store::Store;

/// Who may migrate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationLock {
    /// The deployment that holds it.
    pub deployment: DeploymentId,
    /// Since when.
    pub since: Timestamp,
}

impl Store {
    /// Takes the lock for a deployment and returns who holds it now: the lock is taken when that is
    /// the same deployment. Taking it again is no error, so a resumed deployment still has it.
    pub async fn take_migration_lock(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        deployment: &DeploymentId,
    ) -> Result<MigrationLock> {
        let key = keys::migration_lock(project, environment);
        loop {
            if let Some(held) = self.read::<MigrationLock>(&key)? {
                return Ok(held.value);
            }
            let lock = MigrationLock { deployment: deployment.clone(), since: Timestamp::now() };
            let tx = Transaction::new().put(&key, Expect::Absent, encode(&key, &lock)?);
            match self.submit(tx).await {
                Ok(_) => return Ok(lock),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the lock back, if this deployment holds it.
    pub async fn release_migration_lock(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        deployment: &DeploymentId,
    ) -> Result<()> {
        let key = keys::migration_lock(project, environment);
        match self.read::<MigrationLock>(&key)? {
            Some(held) if held.value.deployment == *deployment => {
                let tx = Transaction::new().delete(&key, held.expect()).essential();
                self.submit(tx).await.map(drop)
            }
            _ => Ok(()),
        }
    }
}
