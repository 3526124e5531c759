//! Plans, under their digest. They can be large; the key-value store splits what it must.

use windlass_model::Digest;
use windlass_model::deployment::StoredPlan;

use crate::error::Result;
use crate::keys;
use crate::kv::{Expect, Transaction};
use crate::store::Store;

impl Store {
    /// Stores a plan; storing it again is no error.
    ///
    /// # Errors
    /// [`crate::StoreError::TooLarge`] over [`crate::kv::VALUE_BYTES_MAX`].
    pub async fn put_plan(&self, digest: &Digest, plan: &StoredPlan) -> Result<()> {
        self.put(&keys::plan(digest), Expect::Any, plan)
            .await
            .map(drop)
    }

    /// The plan of this digest, if there is one.
    pub fn plan(&self, digest: &Digest) -> Result<Option<StoredPlan>> {
        Ok(self.read(&keys::plan(digest))?.map(|doc| doc.value))
    }

    /// Deletes a plan that no deployment refers to any more.
    pub async fn delete_plan(&self, digest: &Digest) -> Result<()> {
        let tx = Transaction::new()
            .delete(keys::plan(digest), Expect::Any)
            .essential();
        self.submit(tx).await.map(drop)
    }
}
