//! Plans, under their digest. They can be large; the key-value store splits what it must.

use std::collections::BTreeSet;

use windlass_model::Digest;
use windlass_model::deployment::StoredPlan;

use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

impl Store {
    /// Stores a plan; storing it again is no error.
    ///
    /// # Errors
    /// [`crate::StoreError::TooLarge`] over [`crate::kv::VALUE_BYTES_MAX`].
    pub async fn put_plan(&self, digest: &Digest, plan: &StoredPlan) -> Result<()> {
        self.put(&keys::plan(digest), Expect::Any, plan).await.map(drop)
    }

    /// The plan of this digest, if there is one.
    pub fn plan(&self, digest: &Digest) -> Result<Option<StoredPlan>> {
        Ok(self.read(&keys::plan(digest))?.map(|doc| doc.value))
    }

    /// Deletes the plans that no deployment refers to any more, unless a deployment is unsettled; returns
    /// how many. A plan that is stored again in the meantime stays.
    pub async fn prune_plans(&self) -> Result<usize> {
        let _structure = self.inner.structure.lock().await;
        // The plans first: who stored one of them and has not referred to it yet is unsettled below.
        let plans = self.inner.kv.list(keys::PLANS, &Page::all())?;
        if !self.unsettled_deployments()?.is_empty() {
            return Ok(0);
        }
        let used = self.inner.kv.list(keys::PLANS_USED, &Page::all())?;
        let digest = |key: &str| {
            let (hex, _) = key.strip_prefix(keys::PLANS_USED)?.split_once('/')?;
            Some(format!("{}{hex}", keys::PLANS))
        };
        let used: BTreeSet<String> = used.iter().filter_map(|(key, _)| digest(key)).collect();
        let mut deleted = 0;
        for (key, entry) in plans.into_iter().filter(|(key, _)| !used.contains(key)) {
            let expect = Expect::Revision(entry.revision);
            match self.submit(Transaction::new().delete(key, expect).essential()).await {
                Ok(_) => deleted += 1,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    /// Deletes a plan that no deployment refers to any more.
    pub async fn delete_plan(&self, digest: &Digest) -> Result<()> {
        let tx = Transaction::new().delete(keys::plan(digest), Expect::Any).essential();
        self.submit(tx).await.map(drop)
    }
}
