//! Replacing the key that values are encrypted with.
//!
//! **Invariant: every sealed value of the store is found**, because every record is looked at for the
//! shape of one; there is no list of records that could be incomplete.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::Value;

use crate::cipher::{self, Resealed};
use crate::error::{Result, StoreError};
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

/// Records looked at in one batch: it bounds the time that other writers wait.
const BATCH: usize = 100;

/// How the key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// Id of the key that new values are encrypted with; it says nothing about the key.
    pub id: String,
    /// Whether it is replacing another one, and not everything is under it yet.
    pub is_rotating: bool,
    /// Files of keys that were replaced, and that backups from before need.
    pub old_files: Vec<PathBuf>,
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationReport {
    /// Id of the key that everything is under now.
    pub id: String,
    /// Values that were encrypted anew.
    pub resealed: u64,
    /// What looks like an encrypted value and could not be opened with any key; it was left as it is.
    pub unreadable: u64,
}

/// A place in a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationPoint {
    /// The new key is on the disk.
    Begun,
    /// So many batches of records were committed.
    Batches(usize),
    /// Everything is under the new key, and the old one is still in its place.
    Resealed,
    /// The new key is in its place.
    Finished,
}

impl Store {
    /// How the key stands.
    pub fn key_state(&self) -> Result<KeyState> {
        let cipher = &self.inner.cipher;
        let old_files = match self.data_dir() {
            Some(dir) => cipher::old_files(&dir.join("secret.key"))?,
            None => Vec::new(),
        };
        Ok(KeyState { id: cipher.key_id(), is_rotating: cipher.is_rotating(), old_files })
    }

    /// Keeps the key as it is for as long as the guard lives: a copy of the state and of the key that are
    /// made meanwhile fit together. Blocks while a replacement is at work; not for asynchronous code.
    pub fn hold_key(&self) -> impl Drop + '_ {
        self.inner.rotation.blocking_lock()
    }

    /// Replaces the key, or goes on with a replacement that was cut off: at any moment every value can
    /// be read. `at` is told of each place and may end it there, as a crash would.
    ///
    /// # Errors
    /// The store's or the disk's; what was done so far stays, and the next call goes on.
    pub async fn rotate_key(
        &self,
        at: &(dyn Fn(RotationPoint) -> ControlFlow<()> + Sync),
    ) -> Result<RotationReport> {
        let _only_one = self.inner.rotation.lock().await;
        self.inner.cipher.begin_rotation()?;
        let mut report =
            RotationReport { id: self.inner.cipher.key_id(), resealed: 0, unreadable: 0 };
        if at(RotationPoint::Begun).is_break() {
            return Ok(report);
        }
        // Twice: what was sealed just before the new key came, and stored just behind the first pass.
        for _ in 0..2 {
            let Some(Resealed { resealed, unreadable }) = self.reseal_all(at).await? else {
                return Ok(report);
            };
            (report.resealed, report.unreadable) = (report.resealed + resealed, unreadable);
        }
        if at(RotationPoint::Resealed).is_break() {
            return Ok(report);
        }
        self.inner.cipher.finish_rotation()?;
        let _ = at(RotationPoint::Finished);
        Ok(report)
    }

    /// One pass over all records; none when `at` ended it.
    async fn reseal_all(
        &self,
        at: &(dyn Fn(RotationPoint) -> ControlFlow<()> + Sync),
    ) -> Result<Option<Resealed>> {
        let (mut all, mut after, mut batches) = (Resealed::default(), None, 0);
        loop {
            let page = Page { after: after.clone(), limit: BATCH, reverse: false };
            let entries = self.inner.kv.list("", &page)?;
            let Some((last, _)) = entries.last() else { return Ok(Some(all)) };
            let last = last.clone();
            let mut tx = Transaction::new();
            let mut found = Resealed::default();
            for (key, entry) in &entries {
                if !cipher::may_hold_sealed(&entry.value) {
                    continue;
                }
                let Ok(mut record) = serde_json::from_slice::<Value>(&entry.value) else {
                    continue;
                };
                let here = self.inner.cipher.reseal(key, &mut record)?;
                found.resealed += here.resealed;
                found.unreadable += here.unreadable;
                if here.resealed > 0 {
                    let bytes = crate::doc::encode(key, &record)?;
                    tx = tx.put(key, Expect::Revision(entry.revision), bytes);
                }
            }
            if found.resealed > 0 {
                match self.submit(tx).await {
                    Ok(_) => {}
                    // One of them was changed meanwhile: the batch is read again.
                    Err(StoreError::Conflict { .. }) => continue,
                    Err(error) => return Err(error),
                }
                batches += 1;
                if at(RotationPoint::Batches(batches)).is_break() {
                    return Ok(None);
                }
            }
            all.resealed += found.resealed;
            all.unreadable += found.unreadable;
            after = Some(last);
        }
    }
}
