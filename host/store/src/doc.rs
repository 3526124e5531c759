//! Records as JSON documents with a revision.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Result, StoreError};
use crate::kv::{Entry, Expect, Kv, Page, Revision};

/// A record with the revision it was read or written at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The record.
    pub value: T,
    /// Its revision: what an update must expect.
    pub revision: Revision,
}

impl<T> Versioned<T> {
    /// What an update that was made from this must expect.
    pub fn expect(&self) -> Expect {
        Expect::Revision(self.revision)
    }
}

pub(crate) fn encode<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| StoreError::Corrupt { what: what.to_owned(), why: error.to_string() })
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, entry: &Entry) -> Result<Versioned<T>> {
    let value = serde_json::from_slice(&entry.value)
        .map_err(|error| StoreError::Corrupt { what: what.to_owned(), why: error.to_string() })?;
    Ok(Versioned { value, revision: entry.revision })
}

pub(crate) fn read<T: DeserializeOwned>(kv: &dyn Kv, key: &str) -> Result<Option<Versioned<T>>> {
    kv.get(key)?.map(|entry| decode(key, &entry)).transpose()
}

pub(crate) fn read_all<T: DeserializeOwned>(
    kv: &dyn Kv,
    prefix: &str,
    page: &Page,
) -> Result<Vec<(String, Versioned<T>)>> {
    kv.list(prefix, page)?
        .into_iter()
        .map(|(key, entry)| decode(&key, &entry).map(|doc| (key, doc)))
        .collect()
}
