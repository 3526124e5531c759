//! The variables as they were when a deployment was begun, encrypted like those of its environment:
//! a deployment that is taken up again, an instance that is started again, and a rollback
//! `--with-its-env` get exactly these. They are never shown.

use windlass_model::DeploymentId;
use windlass_model::variable::Variable;

use crate::doc::encode;
use crate::error::Result;
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;
use crate::variables::Stored;

/// Stands for "taken, and there were none": no variable has this name.
const TAKEN: &str = "-";

impl Store {
    /// The variables of a deployment; `None` when none were kept: it was never begun, or by a version
    /// of Windlass that kept none.
    ///
    /// # Errors
    /// [`crate::StoreError::KeyLost`], naming the first variable whose value cannot be decrypted.
    pub fn env_snapshot(&self, deployment: &DeploymentId) -> Result<Option<Vec<Variable>>> {
        let prefix = keys::env_snapshot(deployment);
        if self.inner.kv.get(&format!("{prefix}{TAKEN}"))?.is_none() {
            return Ok(None);
        }
        let what = format!("deployment {deployment}");
        self.opened_variables(&prefix, &what, |name| name != TAKEN).map(Some)
    }

    /// Adds the snapshot to a transaction.
    pub(crate) fn snapshotting(
        &self,
        mut tx: Transaction,
        deployment: &DeploymentId,
        variables: &[Variable],
    ) -> Result<Transaction> {
        let prefix = keys::env_snapshot(deployment);
        for variable in variables {
            let key = format!("{prefix}{}", variable.name);
            let stored = Stored::seal(&self.inner.cipher, &key, variable)?;
            tx = tx.put(&key, Expect::Any, encode(&key, &stored)?);
        }
        let taken = format!("{prefix}{TAKEN}");
        let bytes = encode(&taken, &variables.len())?;
        Ok(tx.put(taken, Expect::Any, bytes))
    }

    /// Adds the removal of the snapshot to a transaction.
    pub(crate) fn dropping_snapshot(
        &self,
        mut tx: Transaction,
        deployment: &DeploymentId,
    ) -> Result<Transaction> {
        for (key, _) in self.inner.kv.list(&keys::env_snapshot(deployment), &Page::all())? {
            tx = tx.delete(key, Expect::Any);
        }
        Ok(tx)
    }
}
