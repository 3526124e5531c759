//! Artifacts that are in use although no deployment's record says so: one that a build has just made and that is
//! not recorded yet, and one that is pushed or saved.
//!
//! **Invariants**
//! - What is [held](Held) is not removed, neither an artifact's record nor a static tree.
//! - Whoever begins to hold something does so before or after a removal, never in the middle of it: one that
//!   holds first and looks then finds the whole of it, or nothing.
//!
//! One lock over builds and removals would not do: on a busy host it is never free, so whoever only tries it never
//! removes anything, and if a removal waited for its turn, each new build would wait for the longest one that runs.
//! Here nobody waits for work. A removal passes over what is held, and is asked again; to hold takes as long as one
//! removal at most. While it removes, [`Removing`] waits for the store and the runtime alone, and neither waits for
//! what it holds, so there is nothing to be locked up in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windlass_model::{Digest, Failure};

use super::{Ask, Rule, What};
use crate::artifact::{self, Pruned};
use crate::builder::Builder;

/// What is held on a host, and how often.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holds(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Held from the look at what is held until it is removed, and while something becomes held.
    removing: tokio::sync::Mutex<()>,
    held: Mutex<BTreeMap<Digest, usize>>,
}

/// Artifacts and static trees that are not removed before the last clone of this is dropped.
#[derive(Debug, Clone)]
pub struct Held(Arc<Names>);

#[derive(Debug)]
struct Names {
    holds: Holds,
    names: Mutex<Vec<Digest>>,
}

/// The right to remove artifacts: nothing becomes held as long as it lives. To be given back soon.
pub struct Removing<'a> {
    builder: &'a Builder,
    alone: tokio::sync::MutexGuard<'a, ()>,
}

impl Holds {
    /// Nothing yet.
    pub(crate) fn none(&self) -> Held {
        Held(Arc::new(Names { holds: self.clone(), names: Mutex::default() }))
    }

    /// Whether this is held.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        locked(&self.0.held).contains_key(digest)
    }
}

impl Held {
    /// Holds this, too, from now on. Waits for a removal that is under way.
    pub(crate) async fn add(&self, digest: &Digest) {
        let _none_removed = self.0.holds.0.removing.lock().await;
        self.0.note(digest);
    }

    /// The same on a thread that may wait.
    pub(crate) fn add_blocking(&self, digest: &Digest) {
        let _none_removed = self.0.holds.0.removing.blocking_lock();
        self.0.note(digest);
    }
}

impl Names {
    fn note(&self, digest: &Digest) {
        *locked(&self.holds.0.held).entry(digest.clone()).or_default() += 1;
        locked(&self.names).push(digest.clone());
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let mut held = locked(&self.holds.0.held);
        for name in locked(&self.names).drain(..) {
            if let Some(times) = held.get_mut(&name) {
                *times -= 1;
                if *times == 0 {
                    held.remove(&name);
                }
            }
        }
    }
}

impl Builder {
    /// Holds an artifact. Whether it is there is to be looked at afterwards: see [`Builder::verify_artifact`].
    pub async fn hold(&self, artifact: &Digest) -> Held {
        let held = self.holds().none();
        held.add(artifact).await;
        held
    }

    /// Whether an artifact is in use, so that it has to stay. One that is not may become so, unless [`Removing`] lives.
    pub fn is_held(&self, artifact: &Digest) -> bool {
        self.holds().has(artifact)
    }

    /// Waits for the right to remove artifacts, in turn.
    pub async fn removing(&self) -> Removing<'_> {
        Removing { builder: self, alone: self.holds().0.removing.lock().await }
    }
}

impl Removing<'_> {
    /// Deletes an artifact's record, which releases its snapshots, and its static trees unless another
    /// artifact has them too. False when it is held, and stays; one that is gone already counts as deleted.
    ///
    /// # Errors
    /// What the runtime or the file system says; calling it again is safe.
    pub async fn delete(&self, artifact: &Digest) -> Result<bool, Failure> {
        if self.builder.is_held(artifact) {
            return Ok(false);
        }
        let Builder { runtime, config, .. } = self.builder;
        artifact::delete(&**runtime, &config.data_dir, artifact, self.builder.holds()).await?;
        Ok(true)
    }

    /// Removes every artifact that is neither to be kept nor held, static trees without an artifact, and, when
    /// the right is given back, cached steps that were not used for this long.
    ///
    /// # Errors
    /// What the runtime or the file system says; calling it again is safe.
    pub async fn prune(
        self,
        keep: &BTreeSet<Digest>,
        cache_unused_for: Duration,
    ) -> Result<Pruned, Failure> {
        let Self { builder, alone } = self;
        let (runtime, dir) = (&**builder.runtime(), builder.data_dir());
        let pruned = artifact::prune(runtime, dir, keep, builder.holds(), cache_unused_for).await;
        drop(alone);
        let mut pruned = pruned?;
        let pass = builder.prune_pass().await?;
        let unused = Rule { bytes_max: None, unused_for: Some(cache_unused_for) };
        let victims = pass.choose(&Ask { steps: unused, ..Ask::nothing() });
        let gone = pass.carry_out(victims, &|_| ()).await?;
        pruned.snapshots = gone.iter().filter(|victim| victim.what == What::Step).count();
        Ok(pruned)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_held_twice_is_held_until_both_are_gone() {
        let holds = Holds::default();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let (build, push) = (holds.none(), holds.none());
        build.add(&one).await;
        build.add(&other).await;
        push.add(&one).await;
        let of_a_thread = build.clone();
        drop(build);
        assert!(holds.has(&one) && holds.has(&other));
        drop(of_a_thread);
        assert!(holds.has(&one) && !holds.has(&other));
        drop(push);
        assert!(!holds.has(&one));
        assert!(locked(&holds.0.held).is_empty());
    }

    #[tokio::test]
    async fn what_becomes_held_waits_for_a_removal_and_no_removal_for_what_is_held() {
        let holds = Holds::default();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let (first, second) = (holds.none(), holds.none());
        first.add(&one).await;
        let removal = holds.0.removing.lock().await;
        assert!(holds.has(&one));
        let later = second.add(&other);
        tokio::pin!(later);
        assert!(futures::poll!(&mut later).is_pending());
        assert!(!holds.has(&other));
        drop(removal);
        later.await;
        assert!(holds.has(&other));
    }
}
