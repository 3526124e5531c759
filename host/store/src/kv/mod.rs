//! The revisioned key-value trait that everything else in this crate is written against.
//!
//! **Invariant: a reply of `Ok` means that the whole transaction is on disk**; a transaction is
//! applied completely or not at all, also across a crash. One conformance suite (`tests/store/conformance.rs`)
//! runs against every implementation.
//!
//! | call | durable when it returns |
//! |---|---|
//! | [`Kv::submit`] | nothing yet: it queues |
//! | the [`Reply`], `Ok` | every operation of the transaction, and every earlier transaction |
//! | the [`Reply`], [`StoreError::Conflict`] or another refusal | nothing was changed |
//! | the [`Reply`], [`StoreError::ReadOnly`] after a failed commit | unknown, read again: all of it or nothing |
//! | [`Kv::get`], [`Kv::list`] | what they return |
//! | an event of [`Kv::watch`] | what it tells of |

pub(crate) mod dump;
mod memory;
mod reply;
mod sled;
mod watch;

use crate::error::{Result, StoreError};

pub use memory::MemoryKv;
pub use reply::Reply;
pub(crate) use reply::Responder;
pub use sled::SledKv;
pub(crate) use watch::Watchers;
pub use watch::{Change as WatchChange, Watch, WatchEvent};

/// Grows by one with every transaction; a record carries the revision of its last change.
pub type Revision = u64;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;

/// Largest value, in bytes. Implementations split it into small parts, atomically, on their own.
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A value with the revision of its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was last changed.
    pub revision: Revision,
    /// The value.
    pub value: Vec<u8>,
}

/// What must hold for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// The key does not exist.
    Absent,
    /// The key was last changed at this revision.
    Revision(Revision),
}

impl Expect {
    /// Whether it holds for a key of this revision (`None`: it does not exist).
    pub fn holds(self, revision: Option<Revision>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => revision.is_none(),
            Self::Revision(expected) => revision == Some(expected),
        }
    }
}

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Its key.
    pub key: String,
    /// What must hold.
    pub expect: Expect,
    /// What it does.
    pub action: Action,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sets the value.
    Put(Vec<u8>),
    /// Removes the key; removing what is not there is no error.
    Delete,
    /// Nothing: only the expectation counts.
    Check,
}

/// Conditional operations that are applied together or not at all. Expectations are about the state
/// before the transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The operations, in order.
    pub ops: Vec<Op>,
    /// Whether it frees space or settles something, and so is taken by a read-only store, from the
    /// space of the ballast file.
    pub essential: bool,
}

impl Transaction {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also sets a value.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, expect: Expect, value: Vec<u8>) -> Self {
        self.ops.push(Op { key: key.into(), expect, action: Action::Put(value) });
        self
    }

    /// Also removes a key.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>, expect: Expect) -> Self {
        self.ops.push(Op { key: key.into(), expect, action: Action::Delete });
        self
    }

    /// Also demands something of a key.
    #[must_use]
    pub fn check(mut self, key: impl Into<String>, expect: Expect) -> Self {
        self.ops.push(Op { key: key.into(), expect, action: Action::Check });
        self
    }

    /// Also taken by a read-only store.
    #[must_use]
    pub fn essential(mut self) -> Self {
        self.essential = true;
        self
    }

    /// Refuses keys and values that no implementation takes.
    pub(crate) fn validate(&self) -> Result<()> {
        for op in &self.ops {
            if op.key.is_empty() || op.key.len() > KEY_BYTES_MAX || op.key.contains('\0') {
                return Err(StoreError::Invalid {
                    what: "key",
                    given: op.key.clone(),
                    rule: "use 1 to 512 bytes without NUL",
                });
            }
            if let Action::Put(value) = &op.action
                && value.len() > VALUE_BYTES_MAX
            {
                return Err(StoreError::TooLarge {
                    what: op.key.clone(),
                    bytes: value.len(),
                    bytes_max: VALUE_BYTES_MAX,
                });
            }
        }
        Ok(())
    }

    /// Checks every expectation against the present revisions.
    pub(crate) fn check_expectations(
        &self,
        revision_of: impl Fn(&str) -> Result<Option<Revision>>,
    ) -> Result<()> {
        for op in self.ops.iter().filter(|op| op.expect != Expect::Any) {
            if !op.expect.holds(revision_of(&op.key)?) {
                return Err(StoreError::Conflict { what: op.key.clone() });
            }
        }
        Ok(())
    }
}

/// Which part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Only keys behind this one (before it, when reversed).
    pub after: Option<String>,
    /// At most so many; 0 means all.
    pub limit: usize,
    /// Last key first.
    pub reverse: bool,
}

impl Page {
    /// Everything, in order.
    pub fn all() -> Self {
        Self::default()
    }
}

/// Whether the store takes changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ok,
    /// Only essential ones, for this reason.
    ReadOnly {
        /// What failed.
        why: String,
    },
}

/// A small revisioned key-value store. Keys are text and sort by bytes.
pub trait Kv: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &str) -> Result<Option<Entry>>;

    /// Keys and values under a prefix, in key order; one call sees one state.
    fn list(&self, prefix: &str, page: &Page) -> Result<Vec<(String, Entry)>>;

    /// Queues a transaction; the reply tells of it. The transaction is carried out even if nobody
    /// waits for the reply.
    fn submit(&self, transaction: Transaction) -> Reply;

    /// Changes of keys under a prefix, from now on, each after it is durable, in order of commit.
    fn watch(&self, prefix: &str) -> Watch;

    /// Whether it takes changes.
    fn health(&self) -> Health;

    /// Why a part of it had to be built anew since it was opened, if it had to. Nothing was lost, but
    /// the disk or the database deserves a look.
    fn recovered(&self) -> Option<String> {
        None
    }

    /// Calls back with every key and value of one state, between two commits.
    fn export(&self, each: &mut dyn FnMut(&str, &Entry) -> Result<()>) -> Result<Revision>;

    /// Sets one key if the expectation holds.
    fn compare_and_set(&self, key: &str, expect: Expect, value: Vec<u8>) -> Reply {
        self.submit(Transaction::new().put(key, expect, value))
    }
}
