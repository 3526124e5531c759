//! Intents: what handlers store and the runner acts upon. A queue that survives everything.

use windlass_model::Timestamp;
use windlass_model::project::{Intent, StoredIntent};

use crate::doc::encode;
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction, Watch};
use crate::store::Store;

impl Store {
    /// Stores an intent behind all others and returns its id. A read-only store takes it too.
    pub async fn put_intent(&self, intent: Intent) -> Result<u64> {
        loop {
            let created_at = Timestamp::now();
            let id = self.next_intent_id(created_at)?;
            let stored = StoredIntent { id, created_at, intent: intent.clone() };
            let key = keys::intent(id);
            let bytes = encode(&key, &stored)?;
            let tx = Transaction::new().put(key, Expect::Absent, bytes).essential();
            match self.submit(tx).await {
                Ok(_) => return Ok(id),
                // Another one took the id at the same moment.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// By the clock, and behind the last one even when the clock was set back.
    fn next_intent_id(&self, now: Timestamp) -> Result<u64> {
        let page = Page { limit: 1, reverse: true, ..Page::default() };
        let last = self.read_all::<StoredIntent>(keys::INTENTS, &page)?;
        let last = last.first().map_or(0, |(_, doc)| doc.value.id);
        Ok(u64::try_from(now.as_microsecond()).unwrap_or(0).max(last + 1))
    }

    /// All intents, oldest first.
    pub fn intents(&self) -> Result<Vec<StoredIntent>> {
        let docs = self.read_all(keys::INTENTS, &Page::all())?;
        Ok(docs.into_iter().map(|(_, doc)| doc.value).collect())
    }

    /// Removes an intent that was acted upon; removing it again is no error.
    pub async fn remove_intent(&self, id: u64) -> Result<()> {
        let tx = Transaction::new().delete(keys::intent(id), Expect::Any).essential();
        self.submit(tx).await.map(drop)
    }

    /// Tells when the queue of intents changes.
    pub fn watch_intents(&self) -> IntentWatch {
        IntentWatch(self.inner.kv.watch(keys::INTENTS))
    }
}

/// Changes of the queue of intents.
#[derive(Debug)]
pub struct IntentWatch(Watch);

impl IntentWatch {
    /// Waits until an intent was stored or removed; `None` when the store is closed. Cancel-safe.
    pub async fn changed(&mut self) -> Option<()> {
        self.0.next().await.map(drop)
    }
}
