//! What builds use now, in memory: the process is the only one that prunes its host.
//!
//! **Invariant: a name that was touched while a [`Mark`] is held is not removed before that mark is given
//! back.** A build holds one from its beginning to its end, a prune from before it looks until it is done;
//! that one counts from the oldest build on that ran when it was taken, because what that build used may
//! get a record after the look. A look-up touches before it looks, and holds removals off until it has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Who uses what. The clock is a counter: the machine's may be set back.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// Held for reading while something is looked up, for writing while something is removed.
    looking: RwLock<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: u64,
    /// Marks: when they were taken, and from when on they count.
    marks: BTreeMap<u64, u64>,
    touched: HashMap<String, u64>,
}

/// While it lives, names are pinned and looked up, and nothing is removed.
pub(crate) struct Looking<'a> {
    guard: &'a Guard,
    _removals_wait: RwLockReadGuard<'a, ()>,
}

impl Looking<'_> {
    /// Keeps what has this name, or gets it, as long as somebody who holds a [`Mark`] needs it.
    pub(crate) fn pin(&self, key: &str) {
        let mut state = self.guard.state();
        if !state.marks.is_empty() {
            let now = state.now;
            state.touched.insert(key.to_owned(), now);
        }
    }
}

/// Somebody who needs what is touched from now on. Dropping it gives it back.
#[derive(Debug)]
pub struct Mark {
    guard: Arc<Guard>,
    since: u64,
}

impl Guard {
    /// The mark of a build: it counts from now on.
    pub(crate) fn build(self: &Arc<Self>) -> Mark {
        self.mark(|now, _| now)
    }

    /// The mark of a prune: it counts from the beginning of the oldest build that runs.
    pub(crate) fn prune(self: &Arc<Self>) -> Mark {
        self.mark(|now, held| held.first_key_value().map_or(now, |(oldest, _)| *oldest))
    }

    fn mark(self: &Arc<Self>, from: impl FnOnce(u64, &BTreeMap<u64, u64>) -> u64) -> Mark {
        let mut state = self.state();
        state.now += 1;
        let since = state.now;
        let from = from(since, &state.marks);
        state.marks.insert(since, from);
        drop(state);
        Mark { guard: Arc::clone(self), since }
    }

    /// To be called before something is looked up that is used when it is there: nothing is removed until
    /// the answer is dropped.
    pub(crate) async fn looking(&self) -> Looking<'_> {
        Looking { guard: self, _removals_wait: self.looking.read().await }
    }

    /// The same for one name.
    pub(crate) async fn touch(&self, key: &str) -> Looking<'_> {
        let looking = self.looking().await;
        looking.pin(key);
        looking
    }

    /// Holds look-ups off while this is removed; `None` when it is in use.
    pub(crate) async fn removal(&self, key: &str) -> Option<RwLockWriteGuard<'_, ()>> {
        let alone = self.looking.write().await;
        let is_used = self.state().is_used(key);
        (!is_used).then_some(alone)
    }

    /// Everything that is in use.
    pub(crate) fn in_use(&self) -> BTreeSet<String> {
        let state = self.state();
        let used = state.touched.keys().filter(|key| state.is_used(key));
        used.cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_used(&self, key: &str) -> bool {
        self.touched.get(key).is_some_and(|at| self.counts(*at))
    }

    fn counts(&self, at: u64) -> bool {
        self.marks.values().min().is_some_and(|from| at >= *from)
    }
}

impl Mark {
    pub(super) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let mut state = self.guard.state();
        state.marks.remove(&self.since);
        let touched = std::mem::take(&mut state.touched);
        state.touched = touched.into_iter().filter(|(_, at)| state.counts(*at)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_touched_stays_until_the_last_mark_that_needs_it_is_given_back() {
        let guard = Arc::new(Guard::default());
        drop(guard.touch("before").await);
        let build = guard.build();
        drop(guard.touch("a").await);
        let prune = guard.prune();
        drop(guard.touch("b").await);
        assert!(guard.removal("before").await.is_some());
        assert!(guard.removal("a").await.is_none() && guard.removal("b").await.is_none());
        drop(build);
        // The build may have got its record after the prune looked.
        assert!(guard.removal("a").await.is_none() && guard.removal("b").await.is_none());
        let later = guard.build();
        drop(prune);
        assert!(guard.removal("a").await.is_some() && guard.removal("b").await.is_some());
        drop(guard.touch("c").await);
        assert_eq!(guard.in_use(), BTreeSet::from(["c".to_owned()]));
        drop(later);
        assert!(guard.removal("c").await.is_some());
        assert!(guard.state().touched.is_empty());
    }

    #[tokio::test]
    async fn a_removal_waits_for_a_look_up_and_then_finds_it_used() {
        let guard = Arc::new(Guard::default());
        let _build = guard.build();
        let looking = guard.touch("a").await;
        let removal = guard.removal("a");
        tokio::pin!(removal);
        assert!(futures::poll!(&mut removal).is_pending());
        drop(looking);
        assert!(removal.await.is_none());
    }
}
