//! A store in memory, for tests of what stands on the trait. Nothing in it outlives the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Action, Entry, Health, Kv, Page, Reply, Revision, Transaction, Watch, Watchers};
use crate::error::{Result, StoreError};

/// See the module.
#[derive(Debug)]
pub struct MemoryKv {
    state: Mutex<State>,
    watchers: Watchers,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    revision: Revision,
    read_only: Option<String>,
}

impl Default for MemoryKv {
    fn default() -> Self {
        Self { state: Mutex::default(), watchers: Watchers::new() }
    }
}

impl MemoryKv {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes it read-only, as a full disk does to the real one, or well again.
    pub fn set_read_only(&self, why: Option<&str>) {
        self.state().read_only = why.map(str::to_owned);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, transaction: &Transaction) -> Result<Revision> {
        transaction.validate()?;
        let mut state = self.state();
        if let Some(why) = state.read_only.clone().filter(|_| !transaction.essential) {
            return Err(StoreError::ReadOnly { why });
        }
        transaction
            .check_expectations(|key| Ok(state.entries.get(key).map(|entry| entry.revision)))?;
        state.revision += 1;
        let revision = state.revision;
        for op in &transaction.ops {
            match &op.action {
                Action::Put(value) => {
                    let entry = Entry { revision, value: value.clone() };
                    state.entries.insert(op.key.clone(), entry);
                }
                Action::Delete => {
                    state.entries.remove(&op.key);
                }
                Action::Check => {}
            }
        }
        // Under the lock, so that watchers see commits in order.
        self.watchers.tell(transaction, revision);
        Ok(revision)
    }
}

impl Kv for MemoryKv {
    fn get(&self, key: &str) -> Result<Option<Entry>> {
        Ok(self.state().entries.get(key).cloned())
    }

    fn list(&self, prefix: &str, page: &Page) -> Result<Vec<(String, Entry)>> {
        let state = self.state();
        let limit = if page.limit == 0 { usize::MAX } else { page.limit };
        let from = Bound::Included(prefix.to_owned());
        let found = state
            .entries
            .range((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, entry)| (key.clone(), entry.clone()));
        let behind = |key: &str| page.after.as_deref().is_none_or(|after| key > after);
        let before = |key: &str| page.after.as_deref().is_none_or(|after| key < after);
        Ok(if page.reverse {
            let mut found: Vec<_> = found.filter(|(key, _)| before(key)).collect();
            found.reverse();
            found.truncate(limit);
            found
        } else {
            found.filter(|(key, _)| behind(key)).take(limit).collect()
        })
    }

    fn submit(&self, transaction: Transaction) -> Reply {
        Reply::ready(self.apply(&transaction))
    }

    fn watch(&self, prefix: &str) -> Watch {
        self.watchers.watch(prefix)
    }

    fn health(&self) -> Health {
        self.state().read_only.clone().map_or(Health::Ok, |why| Health::ReadOnly { why })
    }

    fn export(&self, each: &mut dyn FnMut(&str, &Entry) -> Result<()>) -> Result<Revision> {
        let state = self.state();
        for (key, entry) in &state.entries {
            each(key, entry)?;
        }
        Ok(state.revision)
    }
}
