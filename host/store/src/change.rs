//! Several records changed at once: how the runner makes one deployment live and another draining.

use windlass_model::deployment::StoredPlan;
use windlass_model::project::Environment;
use windlass_model::running::Running;
use windlass_model::variable::Variable;
use windlass_model::{Deployment, DeploymentId, Digest};

use crate::doc::{Versioned, encode};
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Revision, Transaction};
use crate::store::Store;

/// One change of [`Store::commit`]. The revision of a [`Versioned`] is the one that was read.
#[derive(Debug, Clone)]
pub enum Change {
    /// The new state of a deployment.
    Deployment(Box<Versioned<Deployment>>),
    /// The new state of an environment. Its generation must not fall, and must grow when another
    /// deployment becomes live.
    Environment(Versioned<Environment>),
    /// What runs in an environment, with the revision that was read; none for the first record.
    Running(Box<Running>, Option<Revision>),
    /// A plan that a deployment refers to.
    Plan(Digest, StoredPlan),
    /// An intent that was acted upon.
    IntentDone(u64),
    /// The variables that a deployment gets, kept with it.
    EnvSnapshot(DeploymentId, Vec<Variable>),
}

impl Change {
    /// The new state of a deployment that was read at this revision.
    pub fn deployment(value: Deployment, revision: Revision) -> Self {
        Self::Deployment(Box::new(Versioned { value, revision }))
    }

    /// The new state of an environment that was read at this revision.
    pub fn environment(value: Environment, revision: Revision) -> Self {
        Self::Environment(Versioned { value, revision })
    }
}

impl Store {
    /// Makes all the changes or none, in one durable transaction, and returns the revision that all
    /// changed records have from now on. A read-only store takes it too.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one of the records was changed since it was read;
    /// [`StoreError::Fenced`] when an environment would go back.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<Revision> {
        let mut tx = Transaction::new().essential();
        for change in changes {
            tx = match change {
                Change::Deployment(doc) => self.updating(tx, &doc.value, doc.revision)?,
                Change::Environment(doc) => self.updating_environment(tx, &doc)?,
                Change::Running(running, expected) => {
                    crate::running::running_in(tx, &running, expected)?
                }
                Change::Plan(digest, plan) => {
                    let key = keys::plan(&digest);
                    let bytes = encode(&key, &plan)?;
                    tx.put(key, Expect::Any, bytes)
                }
                Change::EnvSnapshot(id, variables) => self.snapshotting(tx, &id, &variables)?,
                Change::IntentDone(id) => tx.delete(keys::intent(id), Expect::Any),
            };
        }
        self.submit(tx).await
    }

    fn updating_environment(
        &self,
        tx: Transaction,
        doc: &Versioned<Environment>,
    ) -> Result<Transaction> {
        let new = &doc.value;
        let stored = self.environment(&new.project, &new.name)?;
        let takes_over = new.live.is_some() && new.live != stored.value.live;
        let lowest = stored.value.generation + u64::from(takes_over);
        if new.generation < lowest {
            return Err(StoreError::Fenced {
                environment: format!("{}/{}", new.project, new.name),
                stored: stored.value.generation,
                given: new.generation,
            });
        }
        let key = keys::environment(&new.project, &new.name);
        let bytes = encode(&key, new)?;
        Ok(tx.put(key, doc.expect(), bytes))
    }
}
