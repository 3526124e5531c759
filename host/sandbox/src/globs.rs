//! Globs of listings, made ready once: a plugin asks for the same ones in every call, and making a set of them ready
//! takes much longer than a small tree takes to be matched.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::bindings::source::ReadError;

/// Globs of one listing, in bytes together: making them ready takes time and memory that are the host's.
const GLOB_BYTES_MAX: usize = 64 * 1024;
/// Sets that are kept. All of the bundled plugins together ask for about a hundred.
const SETS_MAX: usize = 512;
/// Globs of all sets that are kept, in bytes; a set ready holds some hundred times as many.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Sets that were asked for. When there are too many of them, all are made anew as they are asked for again.
#[derive(Debug, Default)]
pub(crate) struct Globs(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    sets: HashMap<Vec<String>, Arc<GlobSet>>,
    bytes: usize,
}

impl Globs {
    /// The set of these; `None` where there are none, and everything matches.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`]: they are too long. [`ReadError::Io`]: one of them does not read.
    pub(crate) fn ready(&self, globs: &[String]) -> Result<Option<Arc<GlobSet>>, ReadError> {
        if globs.is_empty() {
            return Ok(None);
        }
        let bytes = globs.iter().map(String::len).sum::<usize>();
        if bytes > GLOB_BYTES_MAX {
            return Err(ReadError::TooLarge);
        }
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).sets.get(globs).cloned();
        if kept.is_some() {
            return Ok(kept);
        }
        let set = Arc::new(set_of(globs).map_err(|_| ReadError::Io)?);
        if bytes <= KEPT_BYTES_MAX / 8 {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.keep(globs, &set, bytes);
        }
        Ok(Some(set))
    }
}

impl Kept {
    fn keep(&mut self, globs: &[String], set: &Arc<GlobSet>, bytes: usize) {
        if self.sets.len() >= SETS_MAX || self.bytes + bytes > KEPT_BYTES_MAX {
            *self = Self::default();
        }
        if self.sets.insert(globs.to_vec(), Arc::clone(set)).is_none() {
            self.bytes += bytes;
        }
    }
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
        assert!(first.is_match("src/a") && !first.is_match("src/a/b") && !other.is_match("src/a"));
        assert!(globs.ready(&[]).unwrap().is_none());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let globs = Globs::default();
        for n in 0..2 * SETS_MAX {
            globs.ready(&of(&[&format!("{n}/*")])).unwrap();
            assert!(globs.0.lock().unwrap().sets.len() <= SETS_MAX);
        }
        let long = |n: usize| of(&[&format!("{n}{}", "x".repeat(KEPT_BYTES_MAX / 10))]);
        for n in 0..30 {
            assert!(globs.ready(&long(n)).unwrap().is_some());
            assert!(globs.0.lock().unwrap().bytes <= KEPT_BYTES_MAX);
        }
        let too_long = of(&[&"x".repeat(GLOB_BYTES_MAX + 1)]);
        assert_eq!(globs.ready(&too_long).unwrap_err(), ReadError::TooLarge);
        assert_eq!(globs.ready(&of(&["[a"])).unwrap_err(), ReadError::Io);
    }
}
