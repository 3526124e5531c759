//! Bases that are made side by side: who waits for whom, and what keeps what they have stored so far.
//!
//! **Invariants**
//! - A base is made by one task at a time, and no base is removed while any is made.
//! - Images share layers, so what one task has stored may become part of what another makes. Nothing that any of
//!   them stored is let go before none is at work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use windlass_containers::{Labels, Runtime, RuntimeError};

use crate::builder::LABEL_WORK;

/// Work that takes longer than this loses what it stored.
const WORK_LEASE: Duration = Duration::from_secs(2 * 3600);

/// What is being made now.
#[derive(Default)]
pub(super) struct Making {
    /// Held for reading while a base is made, for writing while bases are removed.
    removals: Arc<RwLock<()>>,
    /// A lock for each base that is made or waited for.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    leases: tokio::sync::Mutex<Leases>,
}

/// Leases of the tasks at work, and of those that have ended beside them.
#[derive(Default)]
struct Leases {
    names: Vec<String>,
    taken: u64,
    /// Each task at work has a clone, which is gone with it, however it ends.
    at_work: Arc<()>,
}

/// The right to make one base.
pub(super) struct One {
    _alone_with_it: OwnedMutexGuard<()>,
    _removals_wait: OwnedRwLockReadGuard<()>,
}

/// A task's lease.
pub(super) struct Lease {
    /// Stores under the lease.
    pub(super) runtime: Arc<dyn Runtime>,
    at_work: Arc<()>,
}

impl Making {
    /// Keeps bases from being made while it is held; `None` when one is being made.
    pub(super) fn alone(&self) -> Option<OwnedRwLockWriteGuard<()>> {
        Arc::clone(&self.removals).try_write_owned().ok()
    }

    /// Waits until nobody else makes this base.
    pub(super) async fn one(&self, base: &str) -> One {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody has one of which this is the only owner.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(base.to_owned()).or_default())
        };
        let alone_with_it = lock.lock_owned().await;
        let removals_wait = Arc::clone(&self.removals).read_owned().await;
        One { _alone_with_it: alone_with_it, _removals_wait: removals_wait }
    }

    /// A lease for what is stored from now on. What is found from now on stays, too, if only another task's
    /// lease keeps it.
    pub(super) async fn lease(
        &self,
        runtime: &Arc<dyn Runtime>,
        what: &str,
    ) -> Result<Lease, RuntimeError> {
        let mut leases = self.leases.lock().await;
        leases.taken += 1;
        let name = format!("base-{what}-{}", leases.taken);
        let labels = Labels::from([(LABEL_WORK.to_owned(), "1".to_owned())]);
        runtime.create_lease(&name, &labels, WORK_LEASE).await?;
        let at_work = Arc::clone(&leases.at_work);
        let leased = runtime.leased(&name);
        leases.names.push(name);
        Ok(Lease { runtime: leased, at_work })
    }

    /// Gives a lease back. The last task at work ends all leases, with nobody beginning meanwhile.
    pub(super) async fn release(&self, runtime: &Arc<dyn Runtime>, lease: Lease) {
        let mut leases = self.leases.lock().await;
        drop(lease.at_work);
        if Arc::strong_count(&leases.at_work) > 1 {
            return;
        }
        for name in std::mem::take(&mut leases.names) {
            if let Err(error) = runtime.delete_lease(&name).await {
                tracing::warn!(lease = name, %error, "a lease is left until it expires");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use windlass_containers::fake::FakeRuntime;

    use super::*;

    #[tokio::test]
    async fn one_base_is_made_once_at_a_time_others_beside_it_and_none_is_removed_meanwhile() {
        let making = Making::default();
        let first = making.one("a").await;
        let other = making.one("b").await;
        let second = making.one("a");
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        assert!(making.alone().is_none());
        drop(first);
        let second = second.await;
        drop((second, other));
        let alone = making.alone().unwrap();
        let waits = making.one("c");
        tokio::pin!(waits);
        assert!(futures::poll!(&mut waits).is_pending());
        drop(alone);
        drop(waits.await);
        drop(making.one("d").await);
        let kept: Vec<String> = making.locks.lock().unwrap().keys().cloned().collect();
        assert_eq!(kept, ["d"], "locks that nobody uses go");
    }

    #[tokio::test]
    async fn what_one_task_stored_is_kept_until_none_is_at_work() {
        let runtime: Arc<dyn Runtime> = Arc::new(FakeRuntime::new().unwrap());
        let making = Making::default();
        let ours = making.lease(&runtime, "a").await.unwrap();
        let theirs = making.lease(&runtime, "a").await.unwrap();
        let layer = Box::new(std::io::Cursor::new(b"a layer".to_vec()));
        let layer = ours.runtime.put_blob(layer, None, &Labels::new()).await.unwrap().digest;
        making.release(&runtime, ours).await;
        runtime.collect().await.unwrap();
        assert!(runtime.blob(&layer).await.unwrap().is_some(), "the other one may stand on it");
        making.release(&runtime, theirs).await;
        runtime.collect().await.unwrap();
        assert!(runtime.blob(&layer).await.unwrap().is_none());
    }
}
