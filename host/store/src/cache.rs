//! Small answers kept by kind and key: losing one costs time, never correctness.

use serde_json::Value;

use crate::doc::encode;
use crate::error::Result;
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

impl Store {
    /// Keeps an answer. `kind` is a short word without `/`, `key` any text.
    pub async fn cache_put(&self, kind: &str, key: &str, answer: &Value) -> Result<()> {
        self.put(&keys::cached(kind, key), Expect::Any, answer).await.map(drop)
    }

    /// The answer, if it was kept.
    pub fn cache_get(&self, kind: &str, key: &str) -> Result<Option<Value>> {
        Ok(self.read(&keys::cached(kind, key))?.map(|doc| doc.value))
    }

    /// Keeps the newest answers of a kind and deletes the rest; returns how many were deleted.
    pub async fn cache_trim(&self, kind: &str, keep: usize) -> Result<usize> {
        let prefix = format!("cache/{kind}/");
        let found = self.inner.kv.list(&prefix, &Page::all())?;
        let mut by_age: Vec<_> =
            found.into_iter().map(|(key, entry)| (entry.revision, key)).collect();
        by_age.sort_unstable();
        by_age.truncate(by_age.len().saturating_sub(keep));
        if by_age.is_empty() {
            return Ok(0);
        }
        let mut tx = Transaction::new().essential();
        for (revision, key) in &by_age {
            tx = tx.delete(key, Expect::Revision(*revision));
        }
        self.inner.kv.submit(tx).await?;
        Ok(by_age.len())
    }

    /// Keeps a serializable answer as text; see [`Store::cache_put`].
    pub async fn cache_put_as<T: serde::Serialize>(
        &self,
        kind: &str,
        key: &str,
        answer: &T,
    ) -> Result<()> {
        let key = keys::cached(kind, key);
        let bytes = encode(&key, answer)?;
        self.submit(Transaction::new().put(key, Expect::Any, bytes)).await.map(drop)
    }

    /// The answer as a type; an answer that an older version wrote differently counts as not kept.
    pub fn cache_get_as<T: serde::de::DeserializeOwned>(
        &self,
        kind: &str,
        key: &str,
    ) -> Result<Option<T>> {
        let found = self.inner.kv.get(&keys::cached(kind, key))?;
        Ok(found.and_then(|entry| serde_json::from_slice(&entry.value).ok()))
    }
}
