//! What the calls of plugins amounted to, one record for each project.
//!
//! **Invariant: a record belongs to a project that is there.** It goes with its project, in the same transaction;
//! one that is put for a project that is gone is not kept.

use windlass_model::plugin::account::Account;

use crate::doc::encode;
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

impl Store {
    /// What is kept of every project.
    pub fn plugin_accounts(&self) -> Result<Vec<Account>> {
        let docs = self.read_all(keys::PLUGIN_ACCOUNTS, &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc)| doc.value).collect())
    }

    /// Keeps what is counted of a project, in place of what was kept before. The answer is whether the project is
    /// still there: of one that is gone nothing is kept.
    ///
    /// # Errors
    /// The store's: a read-only one does not take it.
    pub async fn put_plugin_account(&self, account: &Account) -> Result<bool> {
        loop {
            let project = match self.project(&account.project) {
                Ok(project) => project,
                Err(StoreError::NotFound { .. }) => return Ok(false),
                Err(error) => return Err(error),
            };
            let key = keys::plugin_account(&account.project);
            let bytes = encode(&key, account)?;
            let tx = Transaction::new()
                .check(keys::project(&account.project), project.expect())
                .put(key, Expect::Any, bytes);
            match self.submit(tx).await {
                Ok(_) => return Ok(true),
                // The project was changed, or deleted, at the same moment.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
