//! Telling watchers of commits. A watcher that is too slow is told that it missed something, and
//! lists again: a watch is a hint, never the truth.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::{Action, Revision, Transaction};

/// Changes a watcher may be behind before it misses some.
const BEHIND_MAX: usize = 4096;

/// A key that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// Revision of the change.
    pub revision: Revision,
    /// Whether the key was removed.
    pub deleted: bool,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// A key was changed.
    Changed(Change),
    /// The watcher was too slow and missed changes: list again.
    Missed,
}

/// Changes under a prefix.
#[derive(Debug)]
pub struct Watch {
    prefix: String,
    receiver: broadcast::Receiver<Change>,
}

impl Watch {
    /// The next change; `None` when the store is closed.
    ///
    /// Cancel-safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(change) if change.key.starts_with(&self.prefix) => {
                    return Some(WatchEvent::Changed(change));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Some(WatchEvent::Missed),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The next change that is already there.
    pub fn try_next(&mut self) -> Option<WatchEvent> {
        loop {
            match self.receiver.try_recv() {
                Ok(change) if change.key.starts_with(&self.prefix) => {
                    return Some(WatchEvent::Changed(change));
                }
                Ok(_) => {}
                Err(TryRecvError::Lagged(_)) => return Some(WatchEvent::Missed),
                Err(TryRecvError::Closed | TryRecvError::Empty) => return None,
            }
        }
    }
}

/// The sending side.
#[derive(Debug, Clone)]
pub(crate) struct Watchers(broadcast::Sender<Change>);

impl Watchers {
    pub(crate) fn new() -> Self {
        Self(broadcast::channel(BEHIND_MAX).0)
    }

    pub(crate) fn watch(&self, prefix: &str) -> Watch {
        Watch { prefix: prefix.to_owned(), receiver: self.0.subscribe() }
    }

    /// Tells of a transaction that is durable.
    pub(crate) fn tell(&self, transaction: &Transaction, revision: Revision) {
        if self.0.receiver_count() == 0 {
            return;
        }
        for op in &transaction.ops {
            let deleted = match op.action {
                Action::Put(_) => false,
                Action::Delete => true,
                Action::Check => continue,
            };
            // An error only says that the last watcher has just gone.
            let _ = self.0.send(Change { key: op.key.clone(), revision, deleted });
        }
    }
}
