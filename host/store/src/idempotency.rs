//! Idempotency keys: a request that is sent again makes nothing again.
//!
//! **Invariant: a key is stored in the transaction that stores its deployment**, so there is never one
//! without the other. Keys are counted per project; the oldest are forgotten after their time, a few
//! with each new one, and never before it.

use serde::{Deserialize, Serialize};
use windlass_model::{Deployment, DeploymentId, Digest, ProjectName, Timestamp};

use crate::doc::{Versioned, encode};
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

/// Keys that are over their time and are forgotten with a new one.
const FORGOTTEN_AT_ONCE: usize = 8;

/// What a client sent to be able to send its request again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// Of what is asked for: the same key with another one is refused.
    pub fingerprint: Digest,
}

/// What became of a request with an idempotency key.
#[derive(Debug, Clone)]
pub enum Created {
    /// A new deployment.
    New(Versioned<Deployment>),
    /// The deployment that the first request with this key made.
    Replayed(Versioned<Deployment>),
    /// The key was used for another request, which made this deployment.
    KeyReused {
        /// Its number.
        number: u64,
    },
    /// The first request's deployment has left the history.
    Gone {
        /// Its number.
        number: u64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Used {
    fingerprint: Digest,
    deployment: DeploymentId,
    number: u64,
    at: Timestamp,
}

fn used_key(project: &ProjectName, key: &str) -> String {
    format!("{}key/{}", keys::idempotency(project), Digest::of(key.as_bytes()).hex())
}

fn aged_prefix(project: &ProjectName) -> String {
    format!("{}at/", keys::idempotency(project))
}

fn count_key(project: &ProjectName) -> String {
    format!("{}count", keys::idempotency(project))
}

impl Store {
    /// What a key was used for before, if it was; a key that is over its time was not.
    pub fn idempotency_key_used(
        &self,
        project: &ProjectName,
        once: &Idempotency,
    ) -> Result<Option<Created>> {
        let Some(used) = self.read::<Used>(&used_key(project, &once.key))? else {
            return Ok(None);
        };
        let Used { fingerprint, deployment, number, at } = used.value;
        if self.is_over(at) {
            return Ok(None);
        }
        if fingerprint != once.fingerprint {
            return Ok(Some(Created::KeyReused { number }));
        }
        Ok(Some(match self.find_deployment(&deployment)? {
            Some(found) => Created::Replayed(found),
            None => Created::Gone { number },
        }))
    }

    fn is_over(&self, at: Timestamp) -> bool {
        let age_s = Timestamp::now().as_second().saturating_sub(at.as_second());
        u64::try_from(age_s).unwrap_or(0) >= self.inner.limits.idempotency_keep_s
    }

    /// Adds the key of a new deployment to its transaction. The project's creation lock is held.
    pub(crate) fn using_key(
        &self,
        mut tx: Transaction,
        once: &Idempotency,
        deployment: &Deployment,
    ) -> Result<Transaction> {
        let project = &deployment.project;
        let at = Timestamp::now();
        let used = Used {
            fingerprint: once.fingerprint.clone(),
            deployment: deployment.id.clone(),
            number: deployment.number,
            at,
        };
        let count = self.read::<usize>(&count_key(project))?.map_or(0, |doc| doc.value);
        let (mut tx_and_count, key) = ((tx, count), used_key(project, &once.key));
        tx_and_count = self.forgetting_old_keys(tx_and_count, project, &key)?;
        let count_max = self.inner.limits.idempotency_keys_max;
        if tx_and_count.1 >= count_max {
            let what = format!("idempotency keys of project {project}");
            return Err(StoreError::TooMany { what, count_max });
        }
        let aged = aged_key(project, at, &key);
        (tx, _) = tx_and_count;
        let bytes = encode(&aged, &key)?;
        tx = tx.put(aged, Expect::Any, bytes);
        let bytes = encode(&key, &used)?;
        tx = tx.put(key, Expect::Any, bytes);
        let counted = encode("count", &(tx_and_count.1 + 1))?;
        Ok(tx.put(count_key(project), Expect::Any, counted))
    }

    fn forgetting_old_keys(
        &self,
        (mut tx, mut count): (Transaction, usize),
        project: &ProjectName,
        taken_again: &str,
    ) -> Result<(Transaction, usize)> {
        let page = Page { limit: FORGOTTEN_AT_ONCE, ..Page::default() };
        for (aged, key) in self.read_all::<String>(&aged_prefix(project), &page)? {
            let used = self.read::<Used>(&key.value)?;
            let same =
                used.as_ref().is_some_and(|u| aged == aged_key(project, u.value.at, &key.value));
            if used.as_ref().is_some_and(|used| same && !self.is_over(used.value.at)) {
                break;
            }
            // A key that was taken again after its time is kept under its new time.
            if same && key.value != taken_again {
                tx = tx.delete(key.value, Expect::Any);
            }
            tx = tx.delete(aged, Expect::Any);
            count = count.saturating_sub(1);
        }
        Ok((tx, count))
    }
}

fn aged_key(project: &ProjectName, at: Timestamp, key: &str) -> String {
    let digest = key.rsplit('/').next().unwrap_or_default();
    format!("{}{:020}-{digest}", aged_prefix(project), at.as_microsecond().max(0))
}
