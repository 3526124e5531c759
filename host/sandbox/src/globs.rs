//! Globs of listings, made ready once: a plugin asks for the same ones in every call, and making a set of them ready
//! takes much longer than a small tree takes to be matched.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::bindings::source::ReadError;

/// Weight of the globs of one listing: see [`weight`].
const WEIGHT_MAX: usize = 16 * 1024;
/// Weight of all sets that are kept. All of the bundled plugins together ask for about a hundred sets.
const KEPT_WEIGHT_MAX: usize = 256 * 1024;

/// Sets that were asked for. When they weigh too much, all are made anew as they are asked for again.
#[derive(Debug, Default)]
pub(crate) struct Globs(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    sets: HashMap<Vec<String>, Arc<Ready>>,
    weight: usize,
}

/// A set of globs, made ready.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) set: GlobSet,
    /// What it takes of the host: see [`weight`].
    pub(crate) weight: usize,
}

impl Globs {
    /// The set of these; `None` where there are none, and everything matches.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`]: they weigh too much. [`ReadError::Io`]: one of them does not read.
    pub(crate) fn ready(&self, globs: &[String]) -> Result<Option<Arc<Ready>>, ReadError> {
        if globs.is_empty() {
            return Ok(None);
        }
        let weight = weight(globs);
        if weight > WEIGHT_MAX {
            return Err(ReadError::TooLarge);
        }
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).sets.get(globs).cloned();
        if kept.is_some() {
            return Ok(kept);
        }
        let set = set_of(globs).map_err(|_| ReadError::Io)?;
        let ready = Arc::new(Ready { set, weight });
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = kept.keep(globs, &ready);
        drop(kept);
        drop(dropped);
        Ok(Some(ready))
    }
}

impl Kept {
    /// Keeps a set, and answers what has to go for it.
    fn keep(&mut self, globs: &[String], ready: &Arc<Ready>) -> Option<Self> {
        let is_full = self.weight + ready.weight > KEPT_WEIGHT_MAX;
        let dropped = is_full.then(|| std::mem::take(self));
        if self.sets.insert(globs.to_vec(), Arc::clone(ready)).is_none() {
            self.weight += ready.weight;
        }
        dropped
    }
}

/// What globs take of the host: those with a wildcard become one automaton, which in the worst case takes memory as
/// their length times their number; a name alone is looked up.
fn weight(globs: &[String]) -> usize {
    let one = |glob: &String| match glob.contains(['*', '?', '[', '{', '\\']) {
        true => glob.len() + 32,
        false => glob.len() / 8 + 1,
    };
    globs.iter().map(one).sum()
}

/// A set of globs in which `*` stays within a name.
pub(crate) fn set_of(globs: &[impl AsRef<str>]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(GlobBuilder::new(glob.as_ref()).literal_separator(true).build()?);
    }
    set.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(globs: &[&str]) -> Vec<String> {
        globs.iter().map(|&glob| glob.to_owned()).collect()
    }

    #[test]
    fn the_same_globs_are_made_ready_once() {
        let globs = Globs::default();
        let first = globs.ready(&of(&["*.ts", "src/*"])).unwrap().unwrap();
        let again = globs.ready(&of(&["*.ts", "src/*"])).unwrap().unwrap();
        let other = globs.ready(&of(&["*.ts"])).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &other));
        let (first, other) = (&first.set, &other.set);
        assert!(first.is_match("src/a") && !first.is_match("src/a/b") && !other.is_match("src/a"));
        assert!(globs.ready(&[]).unwrap().is_none());
    }

    #[test]
    fn what_is_made_ready_and_what_is_kept_is_bounded() {
        let globs = Globs::default();
        let weighs = |globs: &Globs| {
            let kept = globs.0.lock().unwrap();
            assert_eq!(kept.weight, kept.sets.keys().map(|set| weight(set)).sum::<usize>());
            kept.weight
        };
        let mut most = 0;
        for n in 0..KEPT_WEIGHT_MAX / 16 {
            globs.ready(&of(&[&format!("{n}/*")])).unwrap();
            assert!(weighs(&globs) <= KEPT_WEIGHT_MAX);
            most = most.max(globs.0.lock().unwrap().sets.len());
        }
        assert!(most > 1_000 && globs.0.lock().unwrap().sets.len() < most, "{most}");
        // Many that are short weigh as much as few that are long.
        let many = |glob: &str, number: usize| vec![glob.to_owned(); number];
        for (glob, number) in [("", 100_000), ("*", 1_000), ("?.a", 500), (&"x".repeat(200_000), 1)]
        {
            let refused = globs.ready(&many(glob, number)).unwrap_err();
            assert_eq!(refused, ReadError::TooLarge, "{number} of {} bytes", glob.len());
        }
        for (glob, number) in [("apps/web/package.json", 2_000), ("packages/*/package.json", 200)] {
            assert!(globs.ready(&many(glob, number)).unwrap().is_some(), "{number} of {glob}");
        }
        assert_eq!(globs.ready(&of(&["[a"])).unwrap_err(), ReadError::Io);
    }
}
