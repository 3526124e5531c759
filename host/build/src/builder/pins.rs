//! Steps that running builds use: nothing removes them.
//!
//! **Invariant: a step is pinned before it is looked up, and until its build has ended.** Who removes
//! cached steps asks and removes under the same lock, so it can never come between the two.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// All pins of a host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pins {
    held: Arc<Mutex<HashMap<String, usize>>>,
    /// Held for reading while a step is pinned and looked up, for writing while one is removed.
    gate: Arc<RwLock<()>>,
}

impl Pins {
    /// What one build holds.
    pub(crate) fn of_build(&self) -> Held {
        Held { pins: self.clone(), keys: Arc::default() }
    }

    /// Whether a running build uses this step. To be asked under [`Pins::removing`].
    pub(crate) fn is_pinned(&self, key: &str) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    /// No step is looked up while the answer is held.
    pub(crate) async fn removing(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }
}

/// The pins of one build; they end with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pins: Pins,
    keys: Arc<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    keys: Mutex<Vec<String>>,
    of: std::sync::OnceLock<Arc<Mutex<HashMap<String, usize>>>>,
}

impl Held {
    /// Begins to look steps up: nothing is removed until the answer is dropped.
    pub(crate) async fn looking(&self) -> Looking<'_> {
        let gate = self.pins.gate.read().await;
        self.keys.of.get_or_init(|| Arc::clone(&self.pins.held));
        Looking { of: self, _gate: gate }
    }
}

/// While it lives, steps are pinned and looked up, and none is removed.
pub(crate) struct Looking<'a> {
    of: &'a Held,
    _gate: RwLockReadGuard<'a, ()>,
}

impl Looking<'_> {
    /// Pins a step until the build has ended.
    pub(crate) fn pin(&self, key: &str) {
        let mut held = self.of.pins.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held.entry(key.to_owned()).or_default() += 1;
        drop(held);
        self.of.keys.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key.to_owned());
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let Some(held) = self.of.get() else { return };
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        for key in self.keys.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Some(count) = held.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    held.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pin_ends_with_the_last_build_that_holds_it() {
        let pins = Pins::default();
        let (one, two) = (pins.of_build(), pins.of_build());
        one.looking().await.pin("a");
        two.looking().await.pin("a");
        two.looking().await.pin("b");
        let step = two.clone();
        drop((one, two));
        assert!(pins.is_pinned("a") && pins.is_pinned("b"));
        drop(step);
        assert!(!pins.is_pinned("a") && !pins.is_pinned("b"));
    }

    #[tokio::test]
    async fn nothing_is_removed_between_a_pin_and_its_look_up() {
        let pins = Pins::default();
        let held = pins.of_build();
        let looking_up = held.looking().await;
        looking_up.pin("a");
        assert!(pins.gate.try_write().is_err());
        drop(looking_up);
        let _removing = pins.removing().await;
        assert!(pins.is_pinned("a"));
    }
}
