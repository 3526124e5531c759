//! Leases of the fake, and the collection of what only they kept.

use windlass_model::Digest;

use super::{FakeRuntime, FakeState, matches};
use crate::error::{Result, RuntimeError};
use crate::runtime::{LABEL_GC_REF_SNAPSHOT, LABEL_GC_ROOT, Labels, Rootfs};

/// A lease and what was made under it, in order.
pub(super) struct FakeLease {
    labels: Labels,
    held: Vec<Held>,
}

/// Something that a lease keeps.
pub(super) enum Held {
    Blob(Digest),
    Snapshot(String),
}

impl FakeRuntime {
    pub(super) fn lease_create(&self, name: &str, labels: &Labels) {
        let fresh = || FakeLease { labels: labels.clone(), held: Vec::new() };
        self.state().leases.entry(name.to_owned()).or_insert_with(fresh);
    }

    pub(super) fn lease_list(&self, labels: &Labels) -> Vec<String> {
        let state = self.state();
        let found = state.leases.iter().filter(|(_, lease)| matches(&lease.labels, labels));
        found.map(|(name, _)| name.clone()).collect()
    }

    /// Puts something under the lease of this handle, if it has one.
    pub(super) fn hold(&self, held: Held) -> Result<()> {
        let Some(name) = &self.lease else {
            return Ok(());
        };
        match self.state().leases.get_mut(name) {
            Some(lease) => {
                lease.held.push(held);
                Ok(())
            }
            None => Err(RuntimeError::NotFound { what: "resource", name: name.clone() }),
        }
    }
}

/// Deletes a lease; what it kept is looked at by the next collection.
pub(super) fn release(state: &mut FakeState, name: &str) {
    if let Some(lease) = state.leases.remove(name) {
        state.released.extend(lease.held);
    }
}

/// Deletes a lease and collects.
pub(super) fn delete(state: &mut FakeState, name: &str) {
    if state.leases.contains_key(name) {
        release(state, name);
        collect(state);
    }
}

/// Removes, youngest first, what leases kept that are gone, and what nothing else keeps.
pub(super) fn collect(state: &mut FakeState) {
    for held in std::mem::take(&mut state.released).into_iter().rev() {
        match held {
            Held::Blob(digest) => {
                let rooted = |labels: &Labels| labels.contains_key(LABEL_GC_ROOT);
                if state.blobs.get(&digest).is_some_and(|(blob, _)| !rooted(&blob.labels)) {
                    state.blobs.remove(&digest);
                }
            }
            Held::Snapshot(key) => {
                if !is_kept(state, &key)
                    && let Some(gone) = state.snapshots.remove(&key)
                {
                    let _ = std::fs::remove_dir_all(gone.path);
                }
            }
        }
    }
}

fn is_kept(state: &FakeState, key: &str) -> bool {
    let rooted = state
        .snapshots
        .get(key)
        .is_some_and(|snapshot| snapshot.info.labels.contains_key(LABEL_GC_ROOT));
    let built_on = state.snapshots.values().any(|other| other.info.parent.as_deref() == Some(key));
    let named = state.blobs.values().any(|(blob, _)| {
        let mut labels = blob.labels.iter();
        labels.any(|(label, value)| label.starts_with(LABEL_GC_REF_SNAPSHOT) && value == key)
    });
    let run = state.containers.values().any(|container| {
        let (Rootfs::Committed(root) | Rootfs::Active(root)) = &container.spec.rootfs;
        root == key
    });
    rooted || built_on || named || run
}
